"""Backends that compute the network: eager PyTorch, or its two graphs compiled by Inductor, TensorRT or OpenVINO.

backend = prepare_backend(freeze(model), config, backend="auto", cache=default_cache())
tracker = StreamingTracker(backend.network, config, settings=read_track_settings("onboard"))
"""

from ..backend_names import (
    BACKENDS,
    OPENVINO_DEVICES,
    PRECISIONS,
    BackendName,
    OpenVINODevice,
    Precision,
    openvino_device,
)
from .engine_cache import default_cache
from .openvino import Calibration
from .parity import GateResult
from .prepare import Backend, prepare_backend

__all__ = [
    "BACKENDS",
    "OPENVINO_DEVICES",
    "PRECISIONS",
    "Backend",
    "BackendName",
    "Calibration",
    "GateResult",
    "OpenVINODevice",
    "Precision",
    "default_cache",
    "openvino_device",
    "prepare_backend",
]
