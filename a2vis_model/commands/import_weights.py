"""`a2vis import-weights`: foreign checkpoints become our weight files."""

import argparse

from ..config import load_config
from ..importers import import_checkpoint
from ..modeling import build_model
from ..weights import save_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file",
        help="detectron2 Mask2Former, VITA or GenVIS (.pth, .pkl), transformers Mask2Former (.safetensors), or a "
        "backbone: torchvision ResNet-50, Microsoft or timm Swin, EfficientNet-Lite0, MobileNetV2",
    )
    parser.add_argument("--preset", required=True, help="network to load it into: a name or a YAML file")
    parser.add_argument("--variant", default="a2vis", help="variant of the network (default: %(default)s)")
    parser.add_argument("--output", required=True, help="weight file to write (.safetensors)")
    parser.add_argument("--half", action="store_true", help="store fp16")


def run(args: argparse.Namespace) -> int:
    """Convert, print what was loaded and what was not, and write the file."""
    config = load_config(args.preset, args.variant)
    model = build_model(config)
    report = import_checkpoint(model, args.file)
    print(report.summary())
    save_weights(args.output, model, config, half=args.half, notes=f"imported from {args.file}")
    print(f"wrote {args.output}")
    return 0
