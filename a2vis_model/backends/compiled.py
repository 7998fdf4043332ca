"""Inductor backend: torch.compile's compiler, run ahead of time to native code."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..compat import compile_and_package, load_package
from ..machine import processor_features
from ..modeling.deformable_attention import Sampling
from .network import Graph


class InductorEngines:
    """AOTInductor packages: native code and weights of a whole graph, for static shapes."""

    fused_attention = True
    sampling: Sampling | None = None
    suffix = ".pt2"

    def requirements(self) -> dict[str, str]:
        """Return the processor's instruction sets, and the number of threads, which is compiled in."""
        return {"processor": processor_features(), "threads": str(torch.get_num_threads())}

    def build(self, program: ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> None:
        """Compile a graph (see `Engines`); the inputs are also in the program."""
        with warnings.catch_warnings():
            # PyTorch warns of its own use of interfaces that it is about to change.
            warnings.simplefilter("ignore", FutureWarning)
            # By default the code is for as many threads as there are processors, and writes past its memory when run
            # with more.
            options: dict[str, Any] = {"cpp.threads": torch.get_num_threads()}
            # Precompiled headers are kept in the temporary folder of all users, wherever its caches are (see
            # `private_caches`).
            options["aot_inductor.precompile_headers"] = False
            compile_and_package(program, path, options)

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Graph:
        """Load an engine (see `Engines`); on a GPU it runs as a CUDA graph."""
        # One thread at a time runs a network. Locks in the package would prevent the capture of a CUDA graph.
        device = inputs[0].device
        index = -1 if device.index is None else device.index
        package = load_package(path, index)

        def run(*arguments: Tensor) -> tuple[Tensor, ...]:
            return tuple(package(*(_laid_out(x, like) for x, like in zip(arguments, inputs, strict=True))))

        return CudaGraph(run, inputs) if device.type == "cuda" else run


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the tensor with the strides of another: compiled code assumes them and checks nothing."""
    if (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
        raise ValueError(
            f"an input is {tensor.dtype} {list(tensor.shape)}, the engine was built for {like.dtype} {list(like.shape)}"
        )
    if all(n == 1 or a == b for n, a, b in zip(tensor.shape, tensor.stride(), like.stride(), strict=True)):
        return tensor
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device).copy_(tensor)


class CudaGraph:
    """Launches all kernels of a graph at once.

    Args:
        graph: the graph to capture; it must launch the same kernels whatever its inputs hold.
        inputs: inputs on the GPU, of the shapes and types of all later inputs.
    """

    def __init__(self, graph: Graph, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs[0].device), torch.no_grad():
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            # Whatever a first run sets up cannot be captured.
            with torch.cuda.stream(stream):
                graph(*self._inputs)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(self._graph):
                self._outputs = graph(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the graph on inputs like those it was captured with."""
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        # Outputs are copied, because the next run overwrites them while features wait in the window.
        return tuple(tensor.clone() for tensor in self._outputs)
