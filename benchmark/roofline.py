"""The least time a network could take: FLOP and bytes of each operation against what the device can do."""

from a2vis_model import openmp as openmp  # This must precede the import of torch.

# isort: split
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True)
class Ceilings:
    """What the device does at best, measured."""

    flops: dict[str, float]
    """Rate of a large matrix product, by type: float32, float16; "convolution" for float32 as cuDNN computes it."""
    bytes: float
    """Bytes a second that a large copy reads and writes."""


@dataclass
class Work:
    """Work of some operations."""

    flops: float = 0.0
    bytes: float = 0.0
    seconds: float = 0.0
    """Time at the ceilings, operation by operation; each reads its operands and writes its result once."""


@dataclass
class NetworkWork:
    """Work of a whole network."""

    parts: dict[str, Work] = field(default_factory=dict)
    kinds: dict[str, Work] = field(default_factory=dict)


def measure_ceilings(device: torch.device) -> Ceilings:
    """Time large matrix products and copies."""
    gpu = device.type == "cuda"
    size, length = (8192, 2**30) if gpu else (1024, 2**26)
    rates = {}
    tf32 = torch.backends.cuda.matmul.allow_tf32
    for name, dtype, allowed in (
        ("float32", torch.float32, tf32),
        ("convolution", torch.float32, torch.backends.cudnn.allow_tf32),
        ("float16", torch.float16, tf32),
    ):
        if dtype is torch.float16 and not gpu:
            continue
        torch.backends.cuda.matmul.allow_tf32 = allowed
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        rates[name] = 2 * size**3 / _best(lambda a=a, b=b: a @ b, device)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    source = torch.ones(length, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Ceilings(rates, 2 * length / _best(lambda: target.copy_(source), device))


def _best(function: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(8):
        synchronise(device)
        start = time.perf_counter()
        function()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return min(times)


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def count_work(run: Callable[[], object], modules: dict[str, nn.Module], ceilings: Ceilings) -> NetworkWork:
    """Count what a run does, by module and by kind of operation.

    Args:
        run: what to count; not compiled, and not in inference mode, where operations come in one piece that are
            several.
        modules: by the name of the part.
        ceilings: of the device.
    """
    counter = _Counter(ceilings)
    with counter.watching(modules), counter:
        run()
    return counter.work


class _Counter(TorchDispatchMode):
    def __init__(self, ceilings: Ceilings) -> None:
        super().__init__()
        self.work = NetworkWork()
        self._ceilings = ceilings
        self._inside = ["rest"]

    @contextmanager
    def watching(self, modules: dict[str, nn.Module]) -> Iterator[None]:
        with ExitStack() as hooks:
            for name, module in modules.items():
                enter = module.register_forward_pre_hook(lambda *_, name=name: self._inside.append(name))
                leave = module.register_forward_hook(lambda *_: self._leave())
                hooks.callback(enter.remove)
                hooks.callback(leave.remove)
            yield

    def _leave(self) -> None:
        self._inside.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        operands = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        results = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        if func.is_view or not results or not operands:
            return result
        moved = float(sum(x.numel() * x.element_size() for x in (*operands, *results)))
        count = flop_registry.get(func.overloadpacket)
        flops = float(count(*args, **kwargs, out_val=result)) if count else 0.0
        kind = kind_of(func.overloadpacket.__name__) if count else "other"
        rates = self._ceilings.flops
        dtype = str(results[0].dtype).removeprefix("torch.")
        rate = rates["convolution" if (kind, dtype) == ("convolution", "float32") else dtype] if count else 1.0
        seconds = max(flops / rate, moved / self._ceilings.bytes)
        for group, name in ((self.work.parts, self._inside[-1]), (self.work.kinds, kind)):
            work = group.setdefault(name, Work())
            work.flops += flops
            work.bytes += moved
            work.seconds += seconds
        return result


def kind_of(name: str) -> str:
    """Convolution, matrix product, or other, from the name of an operation or kernel."""
    lower = name.lower()
    if "conv" in lower and "to_copy" not in lower:
        return "convolution"
    return "matrix product" if any(word in lower for word in ("mm", "attention", "matmul")) else "other"
