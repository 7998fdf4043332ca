"""Preparing a backend: choose it, load its engine from the cache or build it, and pass it through the parity gate."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor

from ..backend_names import (
    BACKENDS,
    OPENVINO_DEVICES,
    PRECISIONS,
    EngineName,
    OpenVINODevice,
    Precision,
)
from ..config import ModelConfig
from ..errors import BackendError
from ..export import ClipGraph, FrameGraph, example_inputs, export_graphs
from ..modeling import A2VIS, StreamNetwork, VideoNetwork
from .choice import backend_obstacle, precision_obstacle
from .compiler_caches import private_caches
from .engine_cache import GRAPHS, EngineCache, Key, engine_key, fingerprint
from .engines import Engines, engines_for
from .network import GraphNetwork
from .openvino import Calibration
from .parity import CLIPS, CLIPS_AGAIN, TOLERANCES, GateResult, compare
from .precision import prepared
from .progress import Progress, ReportProgress

_EXPORT, _BUILD_FRAME, _BUILD_CLIP = "exporting the graphs", "building the frame graph", "building the clip graph"
_SHARES = {_EXPORT: 0.1, _BUILD_FRAME: 0.6, _BUILD_CLIP: 0.3}
"""Share of the build time of each stage, measured with `onboard`; Inductor and TensorRT have the same.

OpenVINO builds in seconds.
"""

Name = Literal["eager", "compile", "tensorrt", "openvino"]


@dataclass(frozen=True)
class Backend:
    """A network ready to run, and facts about it."""

    name: Name
    precision: Precision
    device: torch.device
    network: StreamNetwork
    """Network for `StreamingTracker`, in place of the model."""
    reason: str
    """Reason for which the backend was chosen."""
    fingerprint: str
    """Fingerprint of the engine: 16 hexadecimal digits, empty where there is none."""
    gate: GateResult | None
    """Result of the comparison with eager fp32 on this machine; None for eager fp32 itself."""
    accelerator: OpenVINODevice = "cpu"
    """OpenVINO's device; the network's tensors are on `device`."""

    def __str__(self) -> str:
        where = self.device if self.accelerator == "cpu" else self.accelerator
        engine = f", engine {self.fingerprint}" if self.fingerprint else ""
        gate = f"; compared with eager: {self.gate}" if self.gate else ""
        return f"{self.name} {self.precision} on {where}{engine} ({self.reason}){gate}"


def prepare_backend(
    model: VideoNetwork,
    config: ModelConfig,
    *,
    backend: str = "auto",
    precision: str = "fp32",
    device: str = "cpu",
    calibration: Calibration | None = None,
    cache: Path | None = None,
    progress: ReportProgress = lambda text: None,
) -> Backend:
    """Make a network ready to run. This takes minutes where an engine must be built.

    Args:
        model: the network, frozen and on its device. A compiled network holds a copy of its weights.
        config: its configuration.
        backend: eager, compile, tensorrt or openvino; or auto: an engine that is in the cache, TensorRT's first, then
            OpenVINO's, else compile on a GPU, else eager.
        precision: fp32; fp16 on a GPU; with openvino any precision of its device, bf16 and int8 among them.
        device: device of the backend openvino: cpu, intel:gpu or intel:npu. The network's tensors stay on the CPU.
        calibration: makes the images for an int8 engine that is not in the cache.
        cache: folder where engines are kept (see `engine_cache` for whom it trusts); None keeps none.
        progress: called with a line of text on what is being done; possibly from another thread.

    Raises:
        BackendError: the named backend is not available (the message says what to install), an engine in the cache is
            broken, or an engine computes something else than eager does (with the figures).
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend={backend!r}; choose one of {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise BackendError(f"precision={precision!r}; choose one of {', '.join(PRECISIONS)}")
    if device not in OPENVINO_DEVICES:
        raise BackendError(f"device={device!r}; choose one of {', '.join(OPENVINO_DEVICES)}")
    wanted = _Wanted(precision, device, calibration)
    engines = None if cache is None else EngineCache(cache)
    if backend != "auto":
        obstacle = _obstacle(model, backend, wanted)
        if obstacle is not None:
            raise BackendError(obstacle)
        return _prepare(model, config, backend, wanted, engines, progress, "named")
    refusals: list[str] = []
    for name, reason in _automatic(model, config, wanted, engines):
        said = "; ".join((f"auto: {reason}", *refusals))
        result = _attempt(model, config, name, wanted, engines, progress, said)
        if isinstance(result, Backend):
            return result
        refusals.append(f"{name} is not used: {result}")
        progress(refusals[-1])
    raise BackendError(f"backend=auto: {'; '.join(refusals)}")


@dataclass(frozen=True)
class _Wanted:
    """What was asked for besides the backend."""

    precision: Precision
    device: OpenVINODevice
    calibration: Calibration | None

    def engines(self, name: EngineName) -> Engines:
        """Return the engines of a backend."""
        return engines_for(name, self.precision, self.device, self.calibration)


def _obstacle(model: VideoNetwork, name: Name, wanted: _Wanted) -> str | None:
    """Return why a backend is not available, naming the parameter in the way; None if it is."""
    obstacle = backend_obstacle(model, name, wanted.device)
    if obstacle is not None:
        return f"backend={name}: {obstacle}"
    obstacle = precision_obstacle(model, wanted.precision, name, wanted.device)
    return None if obstacle is None else f"precision={wanted.precision}: {obstacle}"


def _automatic(
    model: VideoNetwork, config: ModelConfig, wanted: _Wanted, cache: EngineCache | None
) -> Iterator[tuple[Name, str]]:
    """Yield the backends that `auto` tries, in this order, with the reason for each.

    Raises:
        BackendError: no backend has the precision on the device.
    """
    names: tuple[EngineName, ...] = ("tensorrt", "openvino", "compile")
    possible: list[EngineName] = [name for name in names if _obstacle(model, name, wanted) is None]
    for name in possible:
        if cache is not None and cache.holds(
            engine_key(model, config, name, wanted.precision, wanted.engines(name).requirements())
        ):
            yield name, "its engine is in the cache"
    on_gpu = model.device.type == "cuda"
    if on_gpu and "compile" in possible:
        yield "compile", "the fastest on a GPU without an engine in the cache"
    obstacle = _obstacle(model, "eager", wanted)
    if obstacle is None and on_gpu:
        yield "eager", backend_obstacle(model, "compile") or "the only backend available"
    elif obstacle is None:
        yield "eager", "no GPU and no engine in the cache"
    elif "openvino" in possible:
        yield "openvino", f"nothing else computes in {wanted.precision} on {wanted.device}"
    else:
        raise BackendError(obstacle)


def _attempt(*arguments: Any) -> Backend | BackendError:
    """Return the result of `_prepare`, or its error."""
    try:
        return _prepare(*arguments)
    except BackendError as error:
        return error


def _prepare(
    model: VideoNetwork,
    config: ModelConfig,
    name: Name,
    wanted: _Wanted,
    cache: EngineCache | None,
    progress: ReportProgress,
    reason: str,
) -> Backend:
    precision = wanted.precision
    if name == "eager" and precision == "fp32":
        return Backend(name, precision, model.device, model.eval(), reason, "", None)
    model = cast(A2VIS, model)
    if name == "eager":
        source = prepared(model, precision, None)
        network = GraphNetwork(model, FrameGraph(source), ClipGraph(source))
        return Backend(
            name, precision, model.device, network, reason, "", _gate(model, network, config, name, precision)
        )
    engines = wanted.engines(name)
    try:
        key = engine_key(model, config, name, precision, engines.requirements())
        job = _Job(model, prepared(model, precision, engines.sampling), config, name, precision, engines, key, progress)
        network, gate = job.without_cache() if cache is None else job.with_cache(cache)
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(f"backend={name}: {_error_line(error)}; use another backend") from error
    return Backend(name, precision, model.device, network, reason, fingerprint(key), gate, wanted.device)


@dataclass(frozen=True)
class _Job:
    """An engine that is needed."""

    model: A2VIS
    source: A2VIS
    """Network of the engine's precision and sampling method."""
    config: ModelConfig
    name: EngineName
    precision: Precision
    engines: Engines
    key: Key
    progress: ReportProgress

    def without_cache(self) -> tuple[GraphNetwork, GateResult]:
        """Build the engine for this process alone."""
        with tempfile.TemporaryDirectory() as folder:
            self._build(Path(folder))
            network = self._load(Path(folder))
            return network, self._compare(network, CLIPS)

    def with_cache(self, cache: EngineCache) -> tuple[GraphNetwork, GateResult]:
        """Load the engine from the cache, or build it into the cache."""
        stored = cache.find(self.key)
        if stored is not None:
            self.progress(f"loading the engine {stored}")
            try:
                network = self._load(stored)
                return network, self._compare(network, CLIPS_AGAIN)
            except Exception as error:
                raise BackendError(f"engine {stored}: {_error_line(error)}; delete it and build it again") from error
        for text in cache.near_misses(self.key):
            self.progress(f"not used: {text}")
        with cache.unfinished() as folder:
            self._build(folder)
            network = self._load(folder)
            gate = self._compare(network, CLIPS)
            # Nothing is kept that would be refused when it is loaded.
            self._compare(network, CLIPS_AGAIN)
            cache.keep(folder, self.key, gate)
        return network, gate

    def _build(self, folder: Path) -> None:
        with private_caches(folder):
            self._build_graphs(folder)

    def _build_graphs(self, folder: Path) -> None:
        progress = Progress(self.progress, _SHARES)
        with progress.stage(_EXPORT):
            programs = export_graphs(self.source, self.config, fused_attention=self.engines.fused_attention)
        inputs = example_inputs(self.source, self.config)
        for stage, graph, program, arguments in zip((_BUILD_FRAME, _BUILD_CLIP), GRAPHS, programs, inputs, strict=True):
            with progress.stage(stage):
                self.engines.build(program, arguments, self._file(folder, graph))

    def _load(self, folder: Path) -> GraphNetwork:
        inputs: tuple[tuple[Tensor, ...], ...] = example_inputs(self.source, self.config)
        graphs = [
            self.engines.load(self._file(folder, graph), arguments)
            for graph, arguments in zip(GRAPHS, inputs, strict=True)
        ]
        return GraphNetwork(self.model, *graphs)

    def _compare(self, network: GraphNetwork, clips: int) -> GateResult:
        self.progress(f"comparing with eager over {clips} clips")
        return _gate(self.model, network, self.config, self.name, self.precision, clips)

    def _file(self, folder: Path, graph: str) -> Path:
        return folder / f"{graph}{self.engines.suffix}"


def _error_line(error: Exception) -> str:
    """Describe an error in one line."""
    first = str(error).strip().partition("\n")[0]
    return first if isinstance(error, BackendError) else f"{type(error).__name__}: {first}"


def _gate(
    model: VideoNetwork,
    network: StreamNetwork,
    config: ModelConfig,
    name: Name,
    precision: Precision,
    clips: int = CLIPS,
) -> GateResult:
    result = compare(model.eval(), network, config, TOLERANCES[precision], clips)
    if not result.passed:
        raise BackendError(
            f"backend={name}, precision={precision}: refused, it does not compute what eager does: {result}"
        )
    return result
