"""Interface of engine builders; each compiling backend implements it."""

from pathlib import Path
from typing import Protocol

from torch import Tensor
from torch.export import ExportedProgram

from ..backend_names import EngineName, OpenVINODevice, Precision
from ..modeling.deformable_attention import Sampling
from .compiled import InductorEngines
from .network import Graph
from .openvino import Calibration, OpenVINOEngines
from .tensorrt import TensorRTEngines


class Engines(Protocol):
    """Builds and loads the engines of a backend. Building takes minutes, loading seconds; both may raise anything."""

    suffix: str
    """Suffix of engine files."""
    fused_attention: bool
    """Whether attention is exported as one operation (see `export_graphs`)."""
    sampling: Sampling | None
    """Sampling method that deformable attention must use; None keeps the configured one."""

    def requirements(self) -> dict[str, str]:
        """Return what an engine depends on, by name, besides torch, CUDA, the device and the graphs."""

    def build(self, program: ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> None:
        """Compile a graph with static shapes and write the engine into a file."""

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Graph:
        """Load the engine in a file, ready to run on tensors like `inputs`."""


ENGINES: dict[EngineName, Engines] = {
    "compile": InductorEngines(),
    "tensorrt": TensorRTEngines(),
    "openvino": OpenVINOEngines(),
}


def engines_for(
    name: EngineName,
    precision: Precision,
    device: OpenVINODevice = "cpu",
    calibration: Calibration | None = None,
) -> Engines:
    """The engines of a backend; those of openvino are of a precision and for a device of their own."""
    if name == "openvino":
        return OpenVINOEngines(precision, device, calibration)
    return ENGINES[name]
