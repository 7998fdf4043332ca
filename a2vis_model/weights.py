"""Weight files: safetensors with the network's configuration inside."""

import json
import math
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .config import ModelConfig, change_config, config_from_dict, config_to_dict, current_fields
from .errors import CheckpointError, ConfigError
from .files.atomic import replacing
from .modeling import VideoNetwork, build_blank, build_model
from .shipped import check_intact, find_weights
from .tracking.settings import TrackSettings

_FORMAT = "a2vis/1"
RECOMMENDED = ("start_score", "keep_score", "idle_frames")
"""Thresholds that weights may recommend: those that depend on how sure a network is and how long its state keeps."""
MOST_IDLE_FRAMES = 10**6
"""Limit on a recommended number of frames, the node's own."""
_MOST_TABLES = 2 << 30
"""Limit on the size of a network's constants in bytes; the largest preset needs a hundredth of it."""


def save_weights(
    path: str | Path,
    model: VideoNetwork,
    config: ModelConfig,
    *,
    half: bool = False,
    notes: str = "",
    recommended: Mapping[str, float] | None = None,
) -> None:
    """Write a network to a file; the file appears complete or not at all.

    Args:
        path: path of the file, ending in .safetensors.
        model: the network.
        config: its configuration, stored in the file.
        half: store fp16, half the size.
        notes: free text about the weights.
        recommended: thresholds of tracks that suit the weights, some of `start_score`, `keep_score` and
            `idle_frames`; whoever runs the file uses them where nothing else is said (see `read_track_settings`).

    Raises:
        ConfigError: a threshold cannot be recommended.
    """
    thresholds = check_recommended(recommended or {})
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
    metadata = {"format": _FORMAT, "config": json.dumps(config_to_dict(config)), "notes": notes}
    if thresholds:
        metadata["tracks"] = json.dumps(thresholds)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def is_weight_file(path: str | Path) -> bool:
    """Return whether a file is one of ours, possibly a broken one, which `load_weights` then reports."""
    if Path(path).suffix != ".safetensors":
        return False
    if not Path(path).is_file():  # which a pipe is not; to open one would wait for whoever writes into it
        return True
    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("format", "")).startswith("a2vis/")
    except (SafetensorError, OSError):
        return True


def read_config(weights: str | Path) -> ModelConfig:
    """Return the configuration inside a weight file (see `load_weights`)."""
    return _read_header(find_weights(weights))[0]


def read_recommended(weights: str | Path) -> dict[str, float]:
    """Return the thresholds of tracks that a weight file recommends by their names; empty where it has no opinion.

    Raises:
        CheckpointError: the file is missing or broken, or what it recommends is no threshold.
    """
    path = find_weights(weights)
    with _opened(path) as file:
        text = (file.metadata() or {}).get("tracks", "{}")
    try:
        return check_recommended(json.loads(text))
    except (ConfigError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its thresholds of tracks are unusable ({error}); export it again") from error


def read_track_settings(weights: str | Path) -> TrackSettings:
    """Return the thresholds of tracks for a weight file: those that it recommends, and the defaults.

    Raises:
        CheckpointError: see `read_recommended`.
    """
    return _track_settings(read_recommended(weights))


def check_recommended(thresholds: Any) -> dict[str, float]:
    """Return thresholds of tracks that weights may recommend.

    Raises:
        ConfigError: one is unknown or out of range, or a track would end as it starts.
    """
    if not isinstance(thresholds, Mapping):
        raise ConfigError(f"expected names and values of thresholds, found {type(thresholds).__name__}")
    for name, value in thresholds.items():
        if name not in RECOMMENDED:
            raise ConfigError(f"unknown threshold {reprlib.repr(name)}; known are {', '.join(RECOMMENDED)}")
        known = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
        if name == "idle_frames" and not (known and 1 <= value <= MOST_IDLE_FRAMES and value == int(value)):
            raise ConfigError(f"{name}={reprlib.repr(value)}; expected a number of frames, 1 to {MOST_IDLE_FRAMES}")
        if name != "idle_frames" and not (known and 0 <= value <= 1):
            raise ConfigError(f"{name}={reprlib.repr(value)}; expected a probability, 0 to 1")
    found = {name: float(value) for name, value in thresholds.items()}
    settings = _track_settings(found)
    if settings.keep_score > settings.start_score:
        raise ConfigError(
            f"keep_score={settings.keep_score:g} is over start_score={settings.start_score:g}: a track would end as it "
            "starts; lower keep_score"
        )
    return found


def _track_settings(recommended: Mapping[str, float]) -> TrackSettings:
    default = TrackSettings()
    return TrackSettings(
        start_score=recommended.get("start_score", default.start_score),
        keep_score=recommended.get("keep_score", default.keep_score),
        idle_frames=int(recommended.get("idle_frames", default.idle_frames)),
    )


def load_weights(weights: str | Path, changes: Mapping[str, Any] | None = None) -> tuple[VideoNetwork, ModelConfig]:
    """Build the network that weights hold, in fp32, prepared for its input size.

    Args:
        weights: the name of a set that comes with the package, such as "onboard", or the path of a file.
        changes: values to use instead of the file's, nested as in a preset, such as `{"samh": {"key_stride": 16}}`;
            the tensors must still fit.

    Raises:
        CheckpointError: if the file is missing, truncated, not ours or does not fit its configuration, or comes with
            the package and is not as it was.
        ConfigError: a change is unusable.
    """
    path = find_weights(weights)
    check_intact(path)
    config, shapes = _read_header(path)
    if changes:
        config = change_config(config, changes)
    _check_tables(path, config)
    with _memory_for(path):
        model = build_blank(config)
    _check_header(path, model, shapes)
    with _memory_for(path):
        model.prepare(config.input_height, config.input_width, config.clip_length)
    model.load_state_dict(_read_tensors(path))
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity; use an earlier checkpoint")
    return model, config


def _read_header(path: Path) -> tuple[ModelConfig, dict[str, list[int]]]:
    """Return the configuration, and the shape of each tensor by its name."""
    with _opened(path) as file:
        config = _config(path, file.metadata() or {})
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    return config, shapes


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a .safetensors file")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise CheckpointError(f"{path}: truncated or not a safetensors file ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error


@contextmanager
def _memory_for(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # This includes running out of memory.
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path}: its network cannot be built here ({reason}); is there memory for it?"
        ) from error


def _check_header(path: Path, blank: VideoNetwork, shapes: dict[str, list[int]]) -> None:
    """Check that the file holds its configuration's network, before the network's memory is written to.

    Raises:
        CheckpointError: names or shapes differ.
    """
    expected = {name: list(tensor.shape) for name, tensor in blank.state_dict().items()}
    missing, unknown = sorted(expected.keys() - shapes.keys()), sorted(shapes.keys() - expected.keys())
    if missing or unknown:
        what = f"lacks {missing[0]!r}" if missing else f"holds the unknown {unknown[0]!r}"
        raise CheckpointError(
            f"{path}: {what} ({len(missing)} missing, {len(unknown)} unknown); written by another version? "
            "Export it again"
        )
    for name, shape in shapes.items():
        if shape != expected[name]:
            raise CheckpointError(f"{path}: {name} is {shape}, its configuration says {expected[name]}")


def _check_tables(path: Path, config: ModelConfig) -> None:
    """Check that the network's tables, which depend on the input size and are in no file, are of a usable size.

    Raises:
        CheckpointError: they are too large.
    """
    if _most_bytes_of_tables(config) <= _MOST_TABLES:
        return
    # Only what may be too large is counted: to outline a network PyTorch imports its compiler, which takes seconds and
    # 140 MiB.
    with _memory_for(path), torch.device("meta"):
        outline = build_model(config)
    tables = sum(buffer.numel() * buffer.element_size() for buffer in outline.buffers())
    if tables > _MOST_TABLES:
        raise CheckpointError(
            f"{path}: for {config.input_width}x{config.input_height} pixels its network needs tables of "
            f"{tables / 2**30:.0f} GiB, which no usable network does; get the file again"
        )


def _most_bytes_of_tables(config: ModelConfig) -> int:
    """Return a size in bytes that the tables of a configuration's network cannot exceed.

    These are positions of cells, of 4 x 4 pixels or more, in each map and in each frame of a clip, and for Swin the
    pairs of cells of each window that may not attend to each other, and for each block the pairs of a window.
    """
    cells = config.input_height * config.input_width // 16
    window, blocks = getattr(config.backbone, "window", 0), sum(getattr(config.backbone, "depths", ()))
    positions = 3 * config.dim + (config.clip_length + 1) * config.mask_dim
    return 4 * cells * (positions + 2 * window**2) + 8 * blocks * window**4


def _config(path: Path, metadata: dict[str, str]) -> ModelConfig:
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: not an A2VIS weight file; convert it with 'a2vis import-weights' first")
    try:
        return config_from_dict(current_fields(json.loads(metadata["config"])))
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its configuration is unusable ({error}); export it again") from error
