"""Where a processor's time for one clip goes: by part of the network, by kind of operation, and the dearest operations.

    python benchmark/clip_profile.py --preset onboard --runs 15

One thread; of each operation the least time of all runs, by the processor's clock, so that other programs on the
machine disturb little. What Python needs in between is left out.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import time
from collections import defaultdict
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from a2vis_model import build_model, freeze, load_config
from a2vis_model.modeling import concatenate
from a2vis_model.preprocessing import FrameTransform
from a2vis_model.profiling import network_parts
from a2vis_model.sample_video import sample_video

Operation = tuple[str, str, str]
"""Part, name and the shapes of the first two operands."""


class Recorder(TorchDispatchMode):
    """Times every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = ["rest"]
        self.times: list[tuple[Operation, float]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        start = time.thread_time()
        result = func(*args, **(kwargs or {}))
        taken = (time.thread_time() - start) * 1e3
        shapes = [list(x.shape) for x in tree_leaves(args) if isinstance(x, torch.Tensor)][:2]
        name = func.overloadpacket.__name__
        self.times.append(((self.inside[-1], name, " ".join(map(str, shapes))), taken))
        return result

    def leave(self) -> None:
        """A part ends."""
        self.inside.pop()


@torch.no_grad()
def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="onboard")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--lines", type=int, default=25, help="operations to print (%(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = load_config(args.preset)
    model = freeze(build_model(config))
    recorder = Recorder()
    for name, module in network_parts(model).items():
        module.register_forward_pre_hook(lambda *_, name=name: recorder.inside.append(name))
        module.register_forward_hook(lambda *_: recorder.leave())
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width)
    image = transform(sample_video(config.input_height, config.input_width)[0])[0][None, None]
    earlier, state = [model.extract(image)] * (config.clip_length - 1), model.initial_state()
    runs = []
    for _ in range(args.runs):
        recorder.times = []
        with recorder:
            model.step(concatenate([*earlier, model.extract(image)]), state)
        runs.append(recorder.times)
    parts: dict[str, float] = defaultdict(float)
    names: dict[str, float] = defaultdict(float)
    operations: dict[Operation, float] = defaultdict(float)
    for same in zip(*runs, strict=True):
        operation, least = same[0][0], min(taken for _, taken in same)
        parts[operation[0]] += least
        names[operation[1]] += least
        operations[operation] += least
    print(
        f"{args.preset} {config.input_width}x{config.input_height}, torch {torch.__version__}, 1 thread, least of "
        f"{args.runs} runs: {sum(parts.values()):.1f} ms a frame with clip stride 1"
    )
    for title, times in (("by part", parts), ("by operation", names)):
        print(title)
        for name, taken in sorted(times.items(), key=lambda item: -item[1])[: args.lines]:
            print(f"  {name:<48}{taken:8.2f} ms")
    print("the dearest")
    for (part, name, shapes), taken in sorted(operations.items(), key=lambda item: -item[1])[: args.lines]:
        print(f"  {part:<20} {name:<27}{taken:8.2f} ms  {shapes}")


if __name__ == "__main__":
    main()
