"""The `a2vis` command. Each subcommand is a module of `commands` with `add_arguments` and `run`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from .errors import A2VISError, printable
from .extras import MissingPackageError
from .files.home import arguments_at_home

COMMANDS = {
    "predict": ("predict", "track the objects of a video file or a folder of frames"),
    "build-engine": ("build_engine", "compile a network ahead of time, to start within seconds"),
    "weights": ("weights", "list the weights that come with the package"),
    "info": ("info", "print a network's parameters, GFLOP per frame and feature sizes"),
    "benchmark": ("benchmark", "measure the speed of a network and its parts, from image to masks"),
    "evaluate": ("evaluate", "run a network or a baseline over a data set and score it"),
    "evaluate-images": ("evaluate_images", "score a network's frame detector on single images, as COCO does"),
    "score": ("score", "score the tracks of any system against ground truth, without a model or a GPU"),
    "ablate": ("ablate", "evaluate several systems in one table"),
    "train": ("train", "train a network, in one session or in several"),
    "render": ("render", "render occlusion videos with exact visible and amodal masks"),
    "check-data": ("check_data", "check a data set's records and print its statistics"),
    "calibrate": ("calibrate", "turn the scores of tracks into probabilities"),
    "import-weights": ("import_weights", "convert a foreign checkpoint into a weight file"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's error is reported in one line on standard error, with status 2."""
    arguments = arguments_at_home(argv)
    parser = argparse.ArgumentParser(prog="a2vis", description="Amodal-aware video instance segmentation.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        subparser = commands.add_parser(name, help=text, description=text)
        # Only the chosen command is imported, so that none waits for another's libraries.
        if arguments[:1] == [name]:
            try:
                implementation = importlib.import_module(f".commands.{module}", __package__)
            except MissingPackageError as error:
                print(f"a2vis {name}: {error}", file=sys.stderr)
                return 2
            implementation.add_arguments(subparser)
            subparser.set_defaults(run=implementation.run)
    args = parser.parse_args(arguments)
    try:
        return args.run(args)
    except BrokenPipeError:
        # The reader, such as head, has closed the pipe; what Python still wants to flush cannot be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (A2VISError, OSError) as error:
        print(f"a2vis {args.command}: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"a2vis {args.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
