"""Loading and warming up a model from a file of weights."""

from a2vis_model import openmp as openmp  # This must precede the import of torch.

# isort: split
import time

import numpy as np
import torch

from a2vis_model import A2VISError, StreamingTracker, freeze, load_weights
from a2vis_model.backends import Backend, default_cache, openvino_device, prepare_backend
from a2vis_model.devices import tensor_device
from a2vis_model.files.home import at_home
from a2vis_model.weights import read_recommended

from .models import LoadedModel, ModelRequest, ReportProgress


def load_model(request: ModelRequest, progress: ReportProgress) -> LoadedModel:
    """Load the model, move it to the device, load or build the backend's engine, and warm up.

    Raises:
        A2VISError: weights, device, stride or backend cannot be used.
    """
    start = time.monotonic()
    if request.threads:
        # This applies to all threads that have not computed yet: the thread that runs the network is made later.
        torch.set_num_threads(request.threads)
    device = tensor_device(request.device, "device=")
    progress(f"reading {request.weights}")
    model, config = load_weights(request.weights, request.changes)
    if request.stride > config.clip_length:
        raise A2VISError(f"stride={request.stride} is over the clip length of {config.name}, {config.clip_length}")
    backend = prepare_backend(
        freeze(model.to(device)),
        config,
        backend=request.backend,
        precision=request.precision,
        device=openvino_device(request.device),
        cache=at_home(request.engine_cache) if request.engine_cache else default_cache(),
        progress=progress,
    )
    loaded = time.monotonic()
    progress(f"warming up {backend.name}")
    warmup = StreamingTracker(backend.network, config, stride=request.stride)
    blank = np.zeros((config.input_height, config.input_width, 3), np.uint8)
    for _ in range(request.warmup_frames):
        warmup.push(blank, 0.0)
    # A clip too, if there were fewer frames than a stride.
    warmup.flush()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return LoadedModel(
        new_tracker=lambda tracks: StreamingTracker(backend.network, config, stride=request.stride, settings=tracks),
        clip_length=config.clip_length,
        name=config.name,
        source=request.weights,
        backend=_backend_name(backend),
        classes=config.classes,
        device=str(device),
        reason=backend.reason,
        engine=backend.fingerprint,
        parity="" if backend.gate is None else str(backend.gate),
        load_s=loaded - start,
        warmup_s=time.monotonic() - loaded,
        recommended=read_recommended(request.weights),
    )


def _backend_name(backend: Backend) -> str:
    precision = "" if backend.precision == "fp32" else f"-{backend.precision}"
    return f"{backend.name}{precision}/{backend.device}"
