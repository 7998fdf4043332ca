"""TensorRT backend: engines built by Torch-TensorRT's converters and run by TensorRT itself.

Either wheel works: torch-tensorrt with TensorRT, or torch-tensorrt-rtx with TensorRT-RTX. TensorRT's own serialised
engines are stored, one per graph: loading them needs TensorRT alone.
"""

import importlib
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..modeling.deformable_attention import Sampling
from .network import Graph


class TensorRTEngines:
    """Serialised TensorRT engines of whole graphs, for static shapes."""

    fused_attention = False
    # Deformable attention on TensorRT's own grid sampling is reported to be silently wrong in fp32 in versions that
    # this Torch-TensorRT uses: NVIDIA/TensorRT#4813.
    sampling: Sampling | None = "gather"
    suffix = ".plan"

    def requirements(self) -> dict[str, str]:
        """Return the versions of Torch-TensorRT and TensorRT."""
        torch_tensorrt, tensorrt = _modules()
        return {
            "torch_tensorrt": str(torch_tensorrt.__version__),
            "tensorrt": f"{tensorrt.__package__} {tensorrt.__version__}",
        }

    def build(self, program: ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> None:
        """Build an engine (see `Engines`)."""
        path.write_bytes(convert(program, inputs))

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Graph:
        """Load an engine (see `Engines`)."""
        return TensorRTGraph(_modules()[1], path.read_bytes(), inputs[0].device)


def convert(program: ExportedProgram, inputs: tuple[Tensor, ...]) -> bytes:
    """Convert a whole graph into one serialised engine; an operation without a converter raises an error.

    Types are those of the graph (strongly typed), so that `half_precision` alone decides the precision.
    """
    torch_tensorrt, _ = _modules()
    # Torch-TensorRT would print the whole graph with every error, which is raised as well.
    logging.getLogger("torch_tensorrt").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        engine: bytes = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
            program,
            # It would take a tensor's memory layout as the input's format.
            arg_inputs=[tensor.contiguous() for tensor in inputs],
            require_full_compilation=True,
            min_block_size=1,
            # Its converter for fused attention treats every bias as a causal mask.
            decompose_attention=True,
            # The default is one file in /tmp for all users.
            timing_cache_path=str(Path(folder) / "timing.cache"),
        )
    return engine


class TensorRTGraph:
    """A serialised engine, ready to run.

    Args:
        tensorrt: the module, TensorRT's or TensorRT-RTX's.
        engine: the serialised engine.
        device: the GPU it runs on.
    """

    def __init__(self, tensorrt: Any, engine: bytes, device: torch.device) -> None:
        self._device = device
        # On the default stream TensorRT would wait for the device.
        self._stream = torch.cuda.Stream(device)
        with torch.cuda.device(device):
            self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))
            self._engine = self._runtime.deserialize_cuda_engine(engine)
            if self._engine is None:
                raise RuntimeError("TensorRT cannot load this engine; its messages on standard error say why")
            self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        types = {
            tensorrt.DataType.FLOAT: torch.float32,
            tensorrt.DataType.HALF: torch.float16,
            tensorrt.DataType.BOOL: torch.bool,
        }
        self._types = {name: types[self._engine.get_tensor_dtype(name)] for name in names}
        self._shapes = {name: tuple(self._engine.get_tensor_shape(name)) for name in names}
        taken = [self._engine.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT for name in names]
        # Inputs are in the order of the graph's arguments; outputs are called output0, output1, ...
        self._inputs = [name for name, is_input in zip(names, taken, strict=True) if is_input]
        self._outputs = sorted((n for n, is_input in zip(names, taken, strict=True) if not is_input), key=_number)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the engine."""
        given = [tensor.to(self._types[name]).contiguous() for name, tensor in zip(self._inputs, inputs, strict=True)]
        results = tuple(
            torch.empty(self._shapes[name], dtype=self._types[name], device=self._device) for name in self._outputs
        )
        for name, tensor in zip((*self._inputs, *self._outputs), (*given, *results), strict=True):
            if tuple(tensor.shape) != self._shapes[name]:
                raise ValueError(f"{name} is {list(tensor.shape)}, the engine was built for {list(self._shapes[name])}")
            self._context.set_tensor_address(name, tensor.data_ptr())
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.device(self._device):
            done = self._context.execute_async_v3(self._stream.cuda_stream)
        # The current stream owns the inputs' memory, so waiting also prevents that it is reused too early.
        current.wait_stream(self._stream)
        if not done:
            raise RuntimeError("TensorRT could not run the engine; its messages on standard error say why")
        return results


def _number(name: str) -> int:
    return int(re.sub(r"\D", "", name))


def _modules() -> tuple[Any, Any]:
    """Import Torch-TensorRT and TensorRT; the installed wheel decides which of the two TensorRTs it is."""
    torch_tensorrt = importlib.import_module("torch_tensorrt")
    return torch_tensorrt, importlib.import_module("tensorrt")
