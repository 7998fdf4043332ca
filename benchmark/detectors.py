"""Time our detectors against transformers' Mask2Former, and whole A2VIS per frame, in one run.

    python benchmark/detectors.py --presets r50 swin_l --runs 5

Weights are random: speed does not depend on them. The two networks take turns on the same image, so that a noisy
machine slows both alike; compare the ratios, not the milliseconds.
"""

from a2vis_model import openmp as openmp  # before torch

# isort: split
import argparse
import statistics
import time
from collections.abc import Callable

import torch

from a2vis_model import ModelConfig, StreamingTracker, TrackSettings, build_model, freeze, load_config
from a2vis_model.modeling import build_detector
from a2vis_model.modeling.backbones import fold_batch_norms
from a2vis_model.profiling import EVERY_SLOT, time_stream
from a2vis_model.sample_video import sample_video


def transformers_mask2former(config: ModelConfig) -> torch.nn.Module:
    """transformers' Mask2Former with the sizes of a preset, its own separate convolutions and levels aside.

    In place of MobileNetV2, which it cannot take, a ResNet of basic blocks with as many channels and parameters.
    """
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, ResNetConfig, SwinConfig

    stages = ["stage1", "stage2", "stage3", "stage4"]
    if config.backbone.name == "resnet50":
        backbone = ResNetConfig(out_features=stages, downsample_in_bottleneck=False)
    elif config.backbone.name == "mobilenet_v2":
        backbone = ResNetConfig(
            out_features=stages,
            embedding_size=32,
            hidden_sizes=[24, 32, 96, 160],
            depths=[2, 3, 3, 2],
            layer_type="basic",
        )
    else:
        swin = config.backbone
        backbone = SwinConfig(
            embed_dim=swin.embed_dim,
            depths=list(swin.depths),
            num_heads=list(swin.heads),
            window_size=swin.window,
            image_size=384,
            out_features=stages,
        )
    settings = Mask2FormerConfig(
        backbone_config=backbone,
        num_labels=len(config.classes),
        feature_size=config.dim,
        mask_feature_size=config.mask_dim,
        hidden_dim=config.dim,
        encoder_layers=config.pixel_decoder.layers,
        encoder_feedforward_dim=config.pixel_decoder.ffn_dim,
        dim_feedforward=config.frame_decoder.ffn_dim,
        num_attention_heads=config.heads,
        num_queries=config.frame_decoder.queries,
        decoder_layers=config.frame_decoder.layers + 1,
    )
    return Mask2FormerForUniversalSegmentation(settings).eval()


def take_turns(functions: dict[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each function, called in turn after one warm-up."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(runs):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append((time.perf_counter() - start) * 1e3)
    return times


def report(title: str, times: dict[str, list[float]], reference: str) -> None:
    """A line per function: median, minimum, and the median ratio to the reference, turn by turn."""
    print(title)
    for name, values in times.items():
        ratios = [b / a for a, b in zip(values, times[reference], strict=True)]
        print(
            f"  {name:<34} median {statistics.median(values):9.1f} ms   min {min(values):9.1f} ms   "
            f"{reference} / this: {statistics.median(ratios):5.2f}"
        )


@torch.inference_mode()
def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["r50", "swin_l"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.threads} threads, {args.runs} runs each, batch 1")
    for preset in args.presets:
        config = load_config(preset)
        size = f"{preset}, {config.input_width}x{config.input_height}"
        image = torch.randn(1, 3, config.input_height, config.input_width)
        functions: dict[str, Callable[[], object]] = {}
        detector = build_detector(config).eval().requires_grad_(False)
        detector.prepare(config.input_height, config.input_width)
        fold_batch_norms(detector)
        detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        theirs = transformers_mask2former(config)
        millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (theirs, detector)]
        functions[f"transformers Mask2Former, {millions[0]:.1f} M"] = lambda theirs=theirs, image=image: theirs(
            pixel_values=image
        )
        functions[f"our detector, {millions[1]:.1f} M"] = lambda detector=detector, image=image: detector.detections(
            detector(image)
        )
        report(size, take_turns(functions, args.runs), next(iter(functions)))
        del detector, theirs, functions
        model = freeze(build_model(config))
        print(f"{size}, whole A2VIS from uint8 image to tracks")
        for stride in (1, config.clip_length):
            for label, settings in (("nothing in view", TrackSettings()), ("every slot a track", EVERY_SLOT)):
                tracker = StreamingTracker(model, config, stride=stride, settings=settings)
                video = sample_video(config.input_height, config.input_width)
                times = time_stream(tracker, video, args.runs * config.clip_length)
                print(
                    f"  clip stride {stride}, {label:<20} {times.p50_ms:9.1f} ms a frame, "
                    f"{times.fps:6.2f} frames a second"
                )


if __name__ == "__main__":
    main()
