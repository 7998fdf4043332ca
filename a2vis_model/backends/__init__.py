"""Backends that compute the network: eager PyTorch, or its two graphs compiled ahead of time by Inductor or TensorRT.

backend = prepare_backend(freeze(model), config, backend="auto", cache=default_cache())
tracker = StreamingTracker(backend.network, config)
"""

from .choice import BACKENDS, PRECISIONS, BackendName, Precision
from .engine_cache import default_cache
from .parity import GateResult
from .prepare import Backend, prepare_backend

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "BackendName",
    "GateResult",
    "Precision",
    "default_cache",
    "prepare_backend",
]
