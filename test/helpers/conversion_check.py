"""Convert both graphs of a network to TensorRT engines, all operations in one engine each.

    python test/helpers/conversion_check.py small fp32

Needs no GPU, and then runs nothing: it says "converts". To be run in a process of its own, see `tensorrt_without_gpu`.
The status is 0 if all converts and 1 if not, with the first operation that did not.
"""

import argparse
import resource
import sys
import time
import warnings

import tensorrt_without_gpu
import torch
from torch import Tensor, nn

NETWORKS = ("small", "onboard", "r50", "swin_l", "known-bad")


class KnownBad(nn.Module):
    """Something that TensorRT-RTX cannot do: an output whose size depends on data."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (torch.nonzero(x > 0),)


def main() -> int:
    """Convert one network at one precision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("network", choices=NETWORKS, help="a preset, the small one of the tests, or one that must fail")
    parser.add_argument("precision", choices=("fp32", "fp16"))
    args = parser.parse_args()
    tensorrt_without_gpu.activate()
    warnings.filterwarnings("ignore")
    # Not before: with a CPU build of PyTorch both import Torch-TensorRT only after it was made possible.
    from a2vis_model.backends.tensorrt import convert

    for name, (program, inputs) in programs(args.network, args.precision).items():
        operations = sum(node.op == "call_function" for node in program.graph.nodes)
        start = time.monotonic()
        try:
            engine = convert(program, inputs)
        except Exception as error:
            print(f"{args.network} {args.precision} {name}: does not convert: {str(error)[-2000:]}")
            return 1
        print(
            f"{args.network} {args.precision} {name}: converts; {operations} operations in one engine of "
            f"{len(engine) / 1e6:.1f} MB, {time.monotonic() - start:.0f} s",
            flush=True,
        )
    print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB of memory")
    return 0


def programs(network: str, precision: str) -> dict[str, tuple[torch.export.ExportedProgram, tuple[Tensor, ...]]]:
    """What to convert, by name, with example inputs."""
    if network == "known-bad":
        inputs: tuple[Tensor, ...] = (torch.randn(1, 10),)
        return {"graph": (torch.export.export(KnownBad(), inputs), inputs)}
    from networks import tiny_config, tiny_model

    from a2vis_model import freeze, load_config
    from a2vis_model.backends.precision import prepared
    from a2vis_model.backends.tensorrt import TensorRTEngines
    from a2vis_model.export import example_inputs, export_graphs

    # The small one samples by grid, which converts too; the presets sample as the backend does.
    config = tiny_config() if network == "small" else load_config(network)
    sampling = None if network == "small" else TensorRTEngines.sampling
    model = prepared(freeze(tiny_model(config)), precision, sampling)  # type: ignore[arg-type]
    graphs = zip(export_graphs(model, config), example_inputs(model, config), strict=True)
    return dict(zip(("frame", "clip"), graphs, strict=True))


if __name__ == "__main__":
    sys.exit(main())
