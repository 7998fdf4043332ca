"""Inductor: torch.compile's compiler, ahead of time into native code."""

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..modeling.deformable_attention import Sampling
from .network import Graph


class InductorEngines:
    """AOTInductor packages: native code and weights of a whole graph, for static shapes."""

    fused_attention = True
    sampling: Sampling | None = None
    suffix = ".pt2"

    def versions(self) -> dict[str, str]:
        """Nothing beside torch."""
        return {}

    def build(self, program: ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> None:
        """See `Engines`; the inputs are in the program."""
        with warnings.catch_warnings():
            # Of PyTorch to itself.
            warnings.simplefilter("ignore", FutureWarning)
            torch._inductor.aoti_compile_and_package(program, package_path=str(path))

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Graph:
        """See `Engines`; on a GPU a CUDA graph of it."""
        # One thread at a time runs a network; with locks in it, it could not be captured.
        package = torch._inductor.aoti_load_package(str(path), run_single_threaded=True)

        def run(*arguments: Tensor) -> tuple[Tensor, ...]:
            return tuple(package(*arguments))

        return CudaGraph(run, inputs) if inputs[0].device.type == "cuda" else run


class CudaGraph:
    """All kernels of a graph launched at once.

    Args:
        graph: what to capture; it must launch the same kernels whatever is in its inputs.
        inputs: on the GPU, of the shapes and types of all inputs to come.
    """

    def __init__(self, graph: Graph, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        stream = torch.cuda.Stream(inputs[0].device)
        stream.wait_stream(torch.cuda.current_stream(inputs[0].device))
        # What is set up in a first run cannot be captured.
        with torch.cuda.stream(stream), torch.no_grad():
            graph(*self._inputs)
        torch.cuda.current_stream(inputs[0].device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph), torch.no_grad():
            self._outputs = graph(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        # The next run overwrites them, while features wait in the window and the state for the next clip.
        return tuple(tensor.clone() for tensor in self._outputs)
