"""Compare, on the CPU, what our defaults decide: layout, folded norms, how points are read, compiler, threads, stride.

    python benchmark/cpu.py --presets onboard --runs 20 --threads 2 --compile

The ways take turns on the same frame, one clip with stride 1 each, so that a noisy machine slows all alike. CPU time is
that of the process over all its threads; other programs disturb it less than the clock on the wall.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch

from a2vis_model import ModelConfig, VideoNetwork, build_model, freeze, load_config
from a2vis_model.backends import default_cache, prepare_backend
from a2vis_model.modeling import DeformableAttention, StreamNetwork, concatenate
from a2vis_model.preprocessing import FrameTransform
from a2vis_model.sample_video import sample_video

DEFAULT = "as it is"


def frame(network: StreamNetwork, config: ModelConfig, *, stride: int = 1, threads: int) -> Callable[[], None]:
    """A function that takes the time of one frame: features of an image, and its share of a clip."""
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width)
    image = transform(sample_video(config.input_height, config.input_width)[0])[0][None, None]
    if network_layout(network) is torch.contiguous_format:
        image = image.contiguous()
    state = network.initial_state()
    window = [network.extract(image) for _ in range(config.clip_length)]

    def run() -> None:
        torch.set_num_threads(threads)
        window.extend(network.extract(image) for _ in range(stride))
        del window[:stride]
        network.step(concatenate(window), state)

    return run


def network_layout(network: StreamNetwork) -> torch.memory_format:
    """Channels last, unless the network's convolutions say otherwise."""
    weights = [p for p in network.parameters() if p.dim() == 4] if isinstance(network, torch.nn.Module) else []
    first = any(weight.is_contiguous() and min(weight.shape[1:]) > 1 for weight in weights)
    return torch.contiguous_format if first else torch.channels_last


def variants(model: VideoNetwork, config: ModelConfig, args: argparse.Namespace) -> dict[str, StreamNetwork]:
    """The network as it is by default, and with one decision taken otherwise."""
    plain = copy.deepcopy(model).eval().requires_grad_(False)
    found: dict[str, StreamNetwork] = {DEFAULT: freeze(copy.deepcopy(model))}
    found["channels first"] = freeze(copy.deepcopy(model)).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    found["norms not folded"] = plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sampling = freeze(copy.deepcopy(model))
    for module in sampling.modules():
        if isinstance(module, DeformableAttention):
            module._uses_embedding_bag = lambda query: False  # type: ignore[method-assign]
    found["points sampled from maps"] = sampling
    for precision in args.openvino:
        ready = prepare_backend(
            freeze(copy.deepcopy(model)), config, backend="openvino", precision=precision, cache=default_cache()
        )
        found[f"OpenVINO {precision}"] = ready.network
    if args.compile:
        start = time.perf_counter()
        backend = prepare_backend(
            freeze(copy.deepcopy(model)), config, backend="compile", cache=default_cache(), progress=print
        )
        print(f"compiled or loaded in {time.perf_counter() - start:.0f} s; {backend.gate}")
        found["compiled"] = backend.network
    return found


@torch.inference_mode()
def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["onboard"])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="also the compile backend; builds for minutes at first")
    parser.add_argument(
        "--openvino", nargs="+", default=[], choices=("fp32", "bf16"), help="also the openvino backend, in these"
    )
    args = parser.parse_args()
    for preset in args.presets:
        config = load_config(preset)
        torch.manual_seed(0)
        networks = variants(build_model(config), config, args)
        ways = {name: frame(network, config, threads=args.threads) for name, network in networks.items()}
        if args.threads > 1:
            ways["1 thread"] = frame(networks[DEFAULT], config, threads=1)
        length = config.clip_length
        ways[f"clip stride {length}"] = frame(networks[DEFAULT], config, stride=length, threads=args.threads)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(-2, args.runs):
            for name, run in ways.items():
                wall, processor = time.perf_counter(), time.process_time()
                run()
                share = length if name.startswith("clip stride") else 1
                taken = (time.perf_counter() - wall) * 1e3 / share, (time.process_time() - processor) * 1e3 / share
                if turn >= 0:
                    times[name].append(taken)
        print(
            f"{preset} {config.input_width}x{config.input_height}, torch {torch.__version__}, {args.threads} threads, "
            f"{args.runs} turns; milliseconds a frame, and the median ratio to '{DEFAULT}', turn by turn"
        )
        for name, taken in times.items():
            walls, processors = zip(*taken, strict=True)
            wall_ratio, processor_ratio = (
                statistics.median(a[i] / b[i] for a, b in zip(taken, times[DEFAULT], strict=True)) for i in (0, 1)
            )
            print(
                f"  {name:<26} wall {statistics.median(walls):8.1f}  min {min(walls):8.1f}  ratio {wall_ratio:5.2f}   "
                f"CPU {statistics.median(processors):8.1f}  min {min(processors):8.1f}  ratio {processor_ratio:5.2f}"
            )


if __name__ == "__main__":
    main()
