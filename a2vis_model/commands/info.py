"""`a2vis info`: print what a network costs, counted without computing anything."""

import argparse
import json
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..compat import fake_tensors
from ..config import ModelConfig
from ..errors import printable
from ..modeling import FrameFeatures, FrameQueryTracker, VideoNetwork, build_model
from ..profiling import NETWORK_PARTS
from .arguments import add_set_argument, network_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--preset", default="onboard", help="name or YAML file (default: %(default)s)")
    parser.add_argument("--variant", default="a2vis", help="variant of the network (default: %(default)s)")
    add_set_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the description."""
    description = describe(network_config(args))
    print(json.dumps(description, indent=2) if args.json else _text(description))
    return 0


def describe(config: ModelConfig) -> dict[str, Any]:
    """Count parameters by part, GFLOP (2 per multiply-add; convolutions and matrix products) and feature shapes.

    Each frame costs `frame`, and each decoded clip costs `clip`: a clip is decoded at every frame with stride 1, at
    every third with stride 3.
    """
    with fake_tensors():
        model = build_model(config).eval().requires_grad_(False)
        if isinstance(model, FrameQueryTracker):
            model.match = False  # which needs values, and multiplies no matrices
        images = torch.zeros(1, config.clip_length, 3, config.input_height, config.input_width)
        with FlopCounterMode(display=False) as frame_counter:
            model.extract(images[:, :1])
        features = model.extract(images)
        with FlopCounterMode(display=False) as clip_counter:
            model.step(features, model.initial_state())
    frame, clip = _parts(frame_counter, model), _parts(clip_counter, model)
    frame_total, clip_total = frame_counter.get_total_flops() / 1e9, clip_counter.get_total_flops() / 1e9
    return {
        "name": config.name,
        "input": [config.input_height, config.input_width],
        "clip_length": config.clip_length,
        "parameters": {"total": _count(model), "parts": _parameters(model)},
        "gflop": {
            "frame": {**frame, "total": frame_total},
            "clip": {**clip, "total": clip_total},
            "per_frame_stride_1": frame_total + clip_total,
            f"per_frame_stride_{config.clip_length}": frame_total + clip_total / config.clip_length,
        },
        "features": _shapes(features),
    }


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _parameters(model: VideoNetwork) -> dict[str, int]:
    parts = {f"detector.{name}": _count(part) for name, part in model.detector.named_children()}
    parts |= {name: _count(part) for name, part in model.named_children() if name != "detector"}
    parts |= {name: parameter.numel() for name, parameter in model.named_parameters(recurse=False)}
    return parts


def _parts(counter: FlopCounterMode, model: VideoNetwork) -> dict[str, float]:
    """GFLOP of each part that was run, and of the rest."""
    counts = {name: sum(by_operation.values()) / 1e9 for name, by_operation in counter.get_flop_counts().items()}
    names = {label: _counted_as(model, path) for label, path in NETWORK_PARTS.items()}
    found = {label: counts[name] for label, name in names.items() if name in counts}
    return {**found, "other": counter.get_total_flops() / 1e9 - sum(found.values())}


def _counted_as(model: VideoNetwork, path: str) -> str:
    """The flop counter's name of a submodule: it begins with the class of whatever was called first."""
    first, _, inside = path.partition(".")
    if first == "detector":
        return f"{type(model.detector).__name__}.{inside}"
    part = dict(model.named_modules()).get(path)
    return "" if part is None else type(part).__name__


def _shapes(features: FrameFeatures) -> dict[str, list[int]]:
    shapes = {}
    for name, value in features._asdict().items():
        if isinstance(value, torch.Tensor):
            shapes[name] = list(value.shape)
        for level, tensor in enumerate(value if isinstance(value, tuple) else ()):
            shapes[f"{name}.{level}"] = list(tensor.shape)
    return shapes


def _text(description: dict[str, Any]) -> str:
    height, width = description["input"]
    parameters, gflop = description["parameters"], description["gflop"]
    lines = [
        f"{printable(description['name'])}: input {width}x{height}, clips of {description['clip_length']} frames",
        f"parameters: {parameters['total']:,}",
        *(f"  {name:<28}{count:>14,}" for name, count in parameters["parts"].items()),
    ]
    for title, key in (("a frame", "frame"), ("a clip", "clip")):
        lines.append(f"GFLOP of {title}: {gflop[key]['total']:.2f}")
        lines += [f"  {name:<28}{value:>14.3f}" for name, value in gflop[key].items() if name != "total"]
    for key in [key for key in gflop if key.startswith("per_frame")]:
        lines.append(f"GFLOP per frame with clip stride {key.rsplit('_', 1)[1]}: {gflop[key]:.2f}")
    lines.append("features of a clip [batch, frames, ...]:")
    lines += [f"  {name:<28}{shape!s:>28}" for name, shape in description["features"].items()]
    return "\n".join(lines)
