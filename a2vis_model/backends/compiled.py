"""Inductor: torch.compile's compiler, ahead of time into native code."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ..machine import processor_features
from ..modeling.deformable_attention import Sampling
from .network import Graph


class InductorEngines:
    """AOTInductor packages: native code and weights of a whole graph, for static shapes."""

    fused_attention = True
    sampling: Sampling | None = None
    suffix = ".pt2"

    def requirements(self) -> dict[str, str]:
        """The processor's instructions, and the number of threads, which is compiled in."""
        return {"processor": processor_features(), "threads": str(torch.get_num_threads())}

    def build(self, program: ExportedProgram, inputs: tuple[Tensor, ...], path: Path) -> None:
        """See `Engines`; the inputs are in the program."""
        with warnings.catch_warnings():
            # Of PyTorch to itself.
            warnings.simplefilter("ignore", FutureWarning)
            # Left to itself, code for as many threads as there are processors overruns its memory with more.
            options: dict[str, Any] = {"cpp.threads": torch.get_num_threads()}
            # Those are kept in the temporary folder of all users, wherever its caches are (see `private_caches`).
            options["aot_inductor.precompile_headers"] = False
            torch._inductor.aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Graph:
        """See `Engines`; on a GPU a CUDA graph of it."""
        # One thread at a time runs a network; with locks in it, it could not be captured.
        device = inputs[0].device
        index = -1 if device.index is None else device.index
        package = torch._inductor.aoti_load_package(str(path), run_single_threaded=True, device_index=index)

        def run(*arguments: Tensor) -> tuple[Tensor, ...]:
            return tuple(package(*(_laid_out(x, like) for x, like in zip(arguments, inputs, strict=True))))

        return CudaGraph(run, inputs) if device.type == "cuda" else run


def _laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """The tensor with the strides of another: the compiled code takes those for granted and checks nothing."""
    if (tensor.shape, tensor.dtype) != (like.shape, like.dtype):
        raise ValueError(
            f"an input is {tensor.dtype} {list(tensor.shape)}, the engine was built for {like.dtype} {list(like.shape)}"
        )
    if all(n == 1 or a == b for n, a, b in zip(tensor.shape, tensor.stride(), like.stride(), strict=True)):
        return tensor
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device).copy_(tensor)


class CudaGraph:
    """All kernels of a graph launched at once.

    Args:
        graph: what to capture; it must launch the same kernels whatever is in its inputs.
        inputs: on the GPU, of the shapes and types of all inputs to come.
    """

    def __init__(self, graph: Graph, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs[0].device), torch.no_grad():
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            # What is set up in a first run cannot be captured.
            with torch.cuda.stream(stream):
                graph(*self._inputs)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(self._graph):
                self._outputs = graph(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        # The next run overwrites them, while features wait in the window and the state for the next clip.
        return tuple(tensor.clone() for tensor in self._outputs)
