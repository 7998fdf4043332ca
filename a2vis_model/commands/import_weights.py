"""`a2vis import-weights`: convert foreign checkpoints to our weight files, and ours to smaller ones."""

import argparse
from pathlib import Path

from ..config import parse_changes
from ..errors import A2VISError
from ..importers import import_checkpoint
from ..modeling import build_model
from ..training.averaging import mean_with
from ..weights import check_recommended, is_weight_file, load_weights, read_recommended, save_weights
from .arguments import add_set_argument, add_threshold_arguments, given_thresholds, network_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "file",
        help="detectron2 Mask2Former, VITA or GenVIS (.pth, .pkl), transformers Mask2Former (.safetensors), or a "
        "backbone: torchvision ResNet-50 or MobileNetV2, Microsoft or timm Swin, EfficientNet-Lite0; or a file of "
        "ours, to store it again",
    )
    parser.add_argument("--preset", help="network to load it into: a name or a YAML file; not needed for files of ours")
    parser.add_argument("--variant", default="a2vis", help="variant of the network (default: %(default)s)")
    add_set_argument(parser)
    parser.add_argument("--output", required=True, help="weight file to write (.safetensors)")
    parser.add_argument("--half", action="store_true", help="store fp16")
    parser.add_argument("--mean-with", metavar="FILE", help="store the mean with these weights of the same network")
    add_threshold_arguments(parser, "as before")


def run(args: argparse.Namespace) -> int:
    """Convert the file, print what was loaded and what was not, and write the result."""
    recommended: dict[str, float] = {}
    if is_weight_file(args.file):
        if args.preset is not None:
            raise A2VISError(f"--preset {args.preset}: {args.file} is a weight file of ours and knows its own network")
        model, config = load_weights(args.file, parse_changes(args.set))
        recommended = read_recommended(args.file)
    elif args.preset is None:
        raise A2VISError(f"{args.file}: does not say which network it is for; add --preset")
    else:
        config = network_config(args)
        model = build_model(config)
        print(import_checkpoint(model, args.file).summary())
    notes = f"imported from {Path(args.file).name}"
    if args.mean_with is not None:
        mean_with(model, load_weights(args.mean_with)[0])
        notes = f"mean of {Path(args.file).name} and {Path(args.mean_with).name}"
    save_weights(
        args.output,
        model,
        config,
        half=args.half,
        notes=notes,
        recommended=check_recommended({**recommended, **given_thresholds(args)}),
    )
    print(f"wrote {args.output}")
    return 0
