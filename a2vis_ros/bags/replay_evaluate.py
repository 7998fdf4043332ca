"""`replay_evaluate`: runs a bag through the node's pipeline in lock step, losing no frame, and scores the result.

It is scored where the bag holds ground truth. With `--results` nothing runs, and a live node's recorded results are
scored.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from a2vis_model import A2VISError
from a2vis_model.data.problems import add_strict_argument

from ..msg import ClassNames, TrackedInstanceArray
from ..node.messages import class_names_message, image_of, new_session, stamp_of, tracks_message
from ..space.camera import CameraError
from ..space.ground import GroundError
from ..space.localizer import FrameError
from ..space.profiles import DEFAULT_PROFILES, ProfileError, read_profiles
from ..space.transforms import TransformError
from ..stream.frame_queue import Ledger, LedgerEntry
from ..stream.image_decoding import ImageDecoder, ImageError
from ..stream.intake import FrameIntake
from ..stream.models import LoadedModel, load_model
from ..stream.parameters import PARAMETERS, ParameterError, Settings
from ..stream.pipeline import FramePipeline, ProcessedFrame
from . import bag_files
from .bag_files import STORAGES, BagError, BagReader, BagWriter, type_name
from .scoring import score
from .space_messages import DEPTH
from .space_scoring import score_space

_ONLINE_ONLY = (
    "autostart",
    "transport",
    "policy",
    "queue_size",
    "queue_patience_s",
    "overlay_max_width",
    "detection_box",
)


def replay(
    source: BagReader, topic: str, target: BagWriter, settings: Settings, model: LoadedModel, *, strict: bool = False
) -> LedgerEntry:
    """Run the images of a bag through the pipeline one by one, and write what the node would have published.

    The messages are those of the node under the policy every_frame, bit for bit, but for their timings and session.

    Args:
        source: an open bag.
        topic: of its images, raw or compressed.
        target: an open bag for the results; class names and ground truth are copied to it too.
        settings: the node's parameters.
        model: what runs.
        strict: an image that is damaged or cannot be used is an error; otherwise it is named and counted.

    Returns:
        the books.

    Raises:
        A2VISError: for such an image where `strict` is set, and for a bag that cannot be read or written.
    """
    ledger = Ledger()
    intake = FrameIntake(ledger, max_gap_s=settings["max_gap_s"], max_image_side=settings["max_image_side"])
    count, damaged = 0, 0

    def name(problem: str) -> None:
        if strict:
            raise A2VISError(f"image {count}: {problem}; leave --strict out to go on")
        print(f"image {count}: {problem}", file=sys.stderr)

    def note_damage(problem: str) -> None:
        nonlocal damaged
        damaged += 1
        name(problem)

    decoder = ImageDecoder(bits_per_sample=settings["bits_per_sample"], say=print, on_damage=note_damage)
    pipeline = FramePipeline(
        model.new_tracker(settings.tracks),
        ledger,
        on_epoch=lambda reason: print(f"new epoch: {reason}"),
        decode=decoder.decode,
    )
    compressed = source.topics.get(topic) == type_name(CompressedImage)
    session = new_session()
    bag_time = 0

    def write(frames: list[ProcessedFrame]) -> None:
        for processed in frames:
            start = time.monotonic()
            message = tracks_message(processed, model.backend, session)
            message.timings.encode_ms, message.timings.age_ms = (time.monotonic() - start) * 1e3, math.nan
            target.write(bag_files.TRACKS, message, bag_time)

    for count, (bag_time, message) in enumerate(source.messages(CompressedImage if compressed else Image, topic)):
        if not count:
            target.write(bag_files.CLASS_NAMES, class_names_message(model.name, model.classes), bag_time)
        try:
            frame = intake.accept(stamp_of(message.header), message.header.frame_id, image_of(message))
            write(pipeline.enter(frame))
            write(pipeline.process(frame))
        except ImageError as error:
            name(f"dropped: {error}")
    write(pipeline.flush())
    if damaged:
        print(f"{damaged} of {count + 1} images are damaged; what is tracked there may be wrong", file=sys.stderr)
    for copied in (bag_files.GROUND_TRUTH_CLASSES, bag_files.GROUND_TRUTH):
        for _, copy_time, data in source.raw(copied):
            target.write_raw(copied, source.topics[copied], data, copy_time)
    return ledger.read()


def tracks_in(path: str | Path, topic: str) -> list[TrackedInstanceArray]:
    """Read all messages of tracks or ground truth in a bag."""
    with BagReader(path) as bag:
        return [message for _, message in bag.messages(TrackedInstanceArray, topic)]


def score_bags(results: str | Path, topic: str, truth: str | Path, folder: Path) -> tuple[dict[str, Any], str]:
    """Score the results on a topic of one bag against the ground truth in another, or the same (see `score`).

    The model's classes are those recorded beside the results, on `class_names`.
    """
    with BagReader(results) as bag:
        names = [message for _, message in bag.messages(ClassNames, f"{topic.rpartition('/')[0]}/class_names")]
    classes = names[-1].names if names else ()
    return score(tracks_in(results, topic), tracks_in(truth, bag_files.GROUND_TRUTH), classes, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="replay_evaluate", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("bag", help="bag with images, with ground truth, or both")
    parser.add_argument("output", help="folder for the bag `results` and, with ground truth, the metrics")
    parser.add_argument(
        "--topic", help=f"of the images (the only one there is); with --results, of these ({bag_files.TRACKS})"
    )
    parser.add_argument(
        "--results",
        metavar="BAG",
        help="run nothing: score the results that were recorded here against the ground truth in the first bag",
    )
    parser.add_argument(
        "--profiles", metavar="FILE", help="of the classes, for positions in space, as object_localizer takes them"
    )
    parser.add_argument("--storage", choices=STORAGES, default="mcap", help="format of the result bag (%(default)s)")
    add_strict_argument(parser)
    group = parser.add_argument_group("parameters of the node")
    for parameter in PARAMETERS:
        if parameter.name not in _ONLINE_ONLY and not parameter.name.startswith(("age_", "diagnostics_", "no_image")):
            group.add_argument(
                f"--{parameter.name.replace('_', '-')}",
                type=type(parameter.default),
                default=parameter.default,
                help=f"{parameter.description} (%(default)s)",
            )
    args = parser.parse_args(arguments)
    try:
        return _run(args) if args.results is None else _score_recorded(args)
    except (A2VISError, ParameterError, OSError) as error:
        print(f"replay_evaluate: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    given: dict[str, Any] = {p.name: getattr(args, p.name) for p in PARAMETERS if hasattr(args, p.name)}
    settings = Settings.defaults(**given)
    output = Path(args.output)
    with BagReader(args.bag) as source:
        topic = args.topic or source.topic_of(Image, CompressedImage, other_than=DEPTH)
        if topic not in source.topics:
            raise A2VISError(f"--topic {topic}: the bag has {', '.join(sorted(source.topics))}")
        model = load_model(settings.model, print)
        print(f"running {model.name} from {model.source} on {model.backend}")
        start = time.monotonic()
        with BagWriter(output / "results", args.storage) as target:
            entry = replay(source, topic, target, settings, model, strict=args.strict)
        has_truth = source.count(bag_files.GROUND_TRUTH) > 0
    seconds = time.monotonic() - start
    print(f"{entry}; {seconds:.1f} s, {entry.processed / seconds:.1f} frames a second; wrote {output / 'results'}")
    if has_truth:
        results = output / "results"
        _print_scores(*score_bags(results, bag_files.TRACKS, results, output))
        _score_in_space(args, results, bag_files.TRACKS)
    return 0


def _score_recorded(args: argparse.Namespace) -> int:
    topic = args.topic or bag_files.TRACKS
    for path, needed in ((args.bag, bag_files.GROUND_TRUTH), (args.results, topic)):
        with BagReader(path) as bag:
            if not bag.count(needed):
                there = ", ".join(sorted(bag.topics)) or "nothing"
                raise BagError(f"{path}: nothing on {needed}; the bag has {there}")
    _print_scores(*score_bags(args.results, topic, args.bag, Path(args.output)))
    _score_in_space(args, args.results, topic)
    return 0


def _score_in_space(args: argparse.Namespace, results: str | Path, topic: str) -> None:
    """Print and write how well objects are found in space, where the bag knows where they are."""
    with BagReader(args.bag) as bag:
        if not bag.count(bag_files.GROUND_TRUTH_OBJECTS):
            return
    try:
        profiles = read_profiles(args.profiles) if args.profiles else DEFAULT_PROFILES
        text = score_space(args.bag, tracks_in(results, topic), profiles, Path(args.output))
    except (CameraError, FrameError, GroundError, ProfileError, TransformError) as error:
        raise A2VISError(f"{args.bag}: positions in space cannot be scored: {error}") from error
    print(f"\n{text}")


def _print_scores(results: dict[str, Any], table: str) -> None:
    print(f"{results['frames_without_result']} of {results['frames']} frames have no result; nothing was found in them")
    print(table)


if __name__ == "__main__":
    sys.exit(main())
