"""OpenVINO: both graphs converted from `torch.export` and compiled for a CPU, an Intel GPU or an Intel NPU.

What is stored is OpenVINO's own compiled model, one of each graph: loading it needs OpenVINO alone.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..backend_names import OpenVINODevice, Precision
from ..errors import BackendError
from ..modeling.deformable_attention import Sampling
from .network import Graph
from .quantisation import quantise

Calibration = Callable[[], Iterable[Tensor]]
"""Makes the images, normalised [1, 3, H, W], by which the ranges of int8 are chosen."""

DEVICES: dict[OpenVINODevice, str] = {"cpu": "CPU", "intel:gpu": "GPU", "intel:npu": "NPU"}
"""OpenVINO's names of devices."""

_TYPES: dict[Precision, str] = {"fp32": "f32", "fp16": "f16", "bf16": "bf16", "int8": "f32"}
"""What is computed in, as OpenVINO spells it; with int8 everything that is not quantised."""


class OpenVINOEngines:
    """OpenVINO's compiled models of whole graphs, for static shapes.

    Args:
        precision: bf16 and fp16 are hints to OpenVINO, which keeps fp32 where its kernels have nothing else; with int8
            convolutions of the frame graph are quantised (`quantise`), and all else is fp32.
        device: what computes.
        calibration: needed to build an engine of int8.
    """

    fused_attention = True
    sampling: Sampling | None = None
    suffix = ".blob"

    def __init__(
        self, precision: Precision = "fp32", device: OpenVINODevice = "cpu", calibration: Calibration | None = None
    ) -> None:
        self.precision = precision
        self.device = DEVICES[device]
        self.calibration = calibration

    def requirements(self) -> dict[str, str]:
        """The version of OpenVINO and what it computes on."""
        openvino = importlib.import_module("openvino")
        name = openvino.Core().get_property(self.device, "FULL_DEVICE_NAME")
        return {"openvino": openvino.get_version(), "openvino device": f"{self.device}, {name}"}

    def build(self, program: ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> None:
        """See `Engines`."""
        if self.precision == "int8" and self.calibration is None:
            raise BackendError(
                "no engine of int8 is in the cache, and frames are needed to build one; "
                "a2vis build-engine --backend openvino --precision int8 --calibrate VIDEO|FOLDER"
            )
        model = convert(program, inputs)
        # The clip graph is products of masks and attention, and carries the state: nothing of it is quantised.
        if self.precision == "int8" and self.calibration is not None and len(inputs) == 1:
            model = quantise(model, ([_array(image)] for image in self.calibration()))
        path.write_bytes(self._core().compile_model(model, self.device, self._options()).export_model().getvalue())

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Graph:
        """See `Engines`."""
        compiled = self._core().import_model(path.read_bytes(), self.device, self._options())
        return OpenVINOGraph(compiled)

    def _core(self) -> Any:
        return importlib.import_module("openvino").Core()

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _TYPES[self.precision]}
        if self.device == "CPU":
            options["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
        return options


def convert(program: ExportedProgram, inputs: tuple[Tensor, ...]) -> Any:
    """An exported graph as OpenVINO's model in fp32, its shapes those of the inputs."""
    openvino = importlib.import_module("openvino")
    with warnings.catch_warnings():
        # OpenVINO uses interfaces that PyTorch warns about.
        warnings.simplefilter("ignore", FutureWarning)
        model = openvino.convert_model(program)
    model.reshape({i: list(tensor.shape) for i, tensor in enumerate(inputs)})
    return model


class OpenVINOGraph:
    """A compiled model, ready to run.

    Args:
        compiled: OpenVINO's.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._shapes = [tuple(port.shape) for port in compiled.inputs]

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the graph on tensors of the shapes it was built for, on the CPU; ValueError for other shapes."""
        for number, (tensor, shape) in enumerate(zip(inputs, self._shapes, strict=True)):
            # OpenVINO would compile itself anew for another shape.
            if tuple(tensor.shape) != shape:
                raise ValueError(f"input {number} is {list(tensor.shape)}, the engine was built for {list(shape)}")
        # Results are copied out of OpenVINO's memory, which the next run overwrites.
        results = self._compiled([_array(tensor) for tensor in inputs], share_inputs=True, share_outputs=False)
        return tuple(torch.from_numpy(results[port]) for port in self._compiled.outputs)


def _array(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    return tensor.detach().float().contiguous().numpy()
