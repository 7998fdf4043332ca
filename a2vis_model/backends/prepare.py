"""The one way to a backend: choose it, get its engine from the cache or build it, and gate it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..config import ModelConfig
from ..errors import BackendError
from ..modeling import StreamNetwork, VideoNetwork
from .choice import BACKENDS, PRECISIONS, BackendName, Precision, backend_obstacle, precision_obstacle
from .parity import GateResult

Progress = Callable[[str], None]
"""Told in words what is being done and how long it may take."""


@dataclass(frozen=True)
class Backend:
    """A network ready to run, and what to say of it."""

    name: BackendName
    """Never "auto"."""
    precision: Precision
    device: torch.device
    network: StreamNetwork
    """For `StreamingTracker`, in place of the model."""
    reason: str
    """Why it was chosen, in words."""
    fingerprint: str
    """Of the engine, 16 hexadecimal digits; empty where there is none."""
    gate: GateResult | None
    """How it compares with eager fp32; None for eager fp32 itself."""


def default_cache() -> Path:
    """The user's folder for engines, $XDG_CACHE_HOME/a2vis/engines."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "a2vis" / "engines"


def prepare_backend(
    model: VideoNetwork,
    config: ModelConfig,
    *,
    backend: str = "auto",
    precision: str = "fp32",
    cache: Path | None = None,
    progress: Progress = lambda text: None,
) -> Backend:
    """Make a network ready to run. May take minutes where an engine must be built.

    Args:
        model: the network, frozen and on its device. Engines hold copies of its weights; it may be dropped then.
        config: its configuration.
        backend: eager, compile or tensorrt; auto takes the fastest that can be had here without a long build.
        precision: fp32, or fp16 on a GPU.
        cache: folder where engines are kept; None keeps none. See `engine_cache` on whom it trusts.
        progress: called in the same thread.

    Raises:
        BackendError: for what was named and cannot be had, with what to install; for a broken engine in the cache;
            for an engine that computes something else than eager does, with the figures.
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend={backend!r}; choose one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise BackendError(f"precision={precision!r}; choose one of {', '.join(PRECISIONS)}")
    obstacle = precision_obstacle(model, precision)
    if obstacle:
        raise BackendError(f"precision={precision}: {obstacle}")
    if backend in ("compile", "tensorrt"):
        obstacle = backend_obstacle(model, backend)
        raise BackendError(f"backend={backend}: {obstacle or 'not yet built into this version; use eager'}")
    reason = "auto: the only backend of this version" if backend == "auto" else "named"
    return Backend("eager", "fp32", model.device, model.eval(), reason, "", None)
