"""Running bags through the node's pipeline in lock step, and scoring the results."""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from a2vis_model import A2VISError

from ..msg import ClassNames, TrackedInstanceArray
from ..node.messages import class_names_message, new_session, tracks_message
from ..space.camera import CameraError
from ..space.ground import GroundError
from ..space.localizer import FrameError, LocalizerSettings
from ..space.transforms import TransformError
from ..stream.frame_queue import Ledger, LedgerEntry
from ..stream.image_decoding import ImageDecoder, ImageError
from ..stream.image_message import read_image
from ..stream.intake import FrameIntake
from ..stream.models import LoadedModel
from ..stream.parameters import Settings
from ..stream.pipeline import FramePipeline, ProcessedFrame
from . import bag_files
from .bag_files import BagReader, BagWriter, Storage, type_name
from .scoring import score
from .space_messages import DEPTH
from .space_scoring import score_space

RESULTS = "results"
"""Name of the bag of results."""

Say = Callable[[str], None]


def to_stderr(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class ReplayOptions:
    """How bags are run and scored."""

    settings: Settings
    """Parameters of the node."""
    topic: str | None = None
    """Topic of the images; None for the only one there is."""
    storage: Storage = "mcap"
    """Format of the bag of results."""
    strict: bool = False
    """Whether an image that is damaged or cannot be used is an error."""
    localizer: LocalizerSettings = field(default_factory=LocalizerSettings)
    """What the localizer is told, for positions in space."""


def image_topic(bag: BagReader, options: ReplayOptions) -> str:
    """Return the topic of the images in a bag.

    Raises:
        A2VISError: the bag has no such topic, or it is not said which of several.
    """
    topic = options.topic or bag.topic_of(Image, CompressedImage, other_than=DEPTH)
    if topic not in bag.topics:
        raise A2VISError(f"--topic {topic}: the bag has {', '.join(sorted(bag.topics))}")
    return topic


def replay_bag(
    path: str | Path,
    output: Path,
    options: ReplayOptions,
    model: LoadedModel,
    *,
    say: Say = print,
    warn: Say = to_stderr,
) -> str:
    """Run a bag into the bag `results` of a folder, and score it there where the bag holds ground truth.

    Args:
        path: path of the bag.
        output: the folder, which has no `results` yet.
        options: how.
        model: what runs; its tracker has seen nothing.
        say: called with what happens.
        warn: called with what is wrong with single images.

    Returns:
        The scores as text; nothing without ground truth.

    Raises:
        A2VISError: the bag cannot be read, run or scored.
    """
    results = output / RESULTS
    with BagReader(path) as source:
        topic = image_topic(source, options)
        start = time.monotonic()
        with BagWriter(results, options.storage) as target:
            entry = replay(source, topic, target, options.settings, model, strict=options.strict, say=say, warn=warn)
        has_truth = source.count(bag_files.GROUND_TRUTH) > 0
    seconds = time.monotonic() - start
    say(f"{entry}; {seconds:.1f} s, {entry.processed / seconds:.1f} frames a second; wrote {results}")
    if not has_truth:
        return ""
    scores = scores_text(*score_bags(results, bag_files.TRACKS, results, output))
    return scores + score_in_space(path, results, bag_files.TRACKS, options.localizer, output)


def replay(
    source: BagReader,
    topic: str,
    target: BagWriter,
    settings: Settings,
    model: LoadedModel,
    *,
    strict: bool = False,
    say: Say = print,
    warn: Say = to_stderr,
) -> LedgerEntry:
    """Run the images of a bag through the pipeline one by one, and write what the node would have published.

    The messages are those of the node under the policy every_frame, bit for bit, but for their timings and session.

    Args:
        source: an open bag.
        topic: topic of its images, raw or compressed.
        target: an open bag for the results; class names and ground truth are copied to it too.
        settings: the node's parameters.
        model: what runs.
        strict: an image that is damaged or cannot be used is an error; otherwise it is named and counted.
        say: called with what happens.
        warn: called with what is wrong with images.

    Returns:
        the books.

    Raises:
        A2VISError: `strict` is set and an image is such, or a bag cannot be read or written.
    """
    ledger = Ledger()
    intake = FrameIntake(ledger, max_gap_s=settings["max_gap_s"], max_image_side=settings["max_image_side"])
    count, damaged = 0, 0

    def name(problem: str) -> None:
        if strict:
            raise A2VISError(f"image {count}: {problem}; leave --strict out to go on")
        warn(f"image {count}: {problem}")

    def note_damage(problem: str) -> None:
        nonlocal damaged
        damaged += 1
        name(problem)

    decoder = ImageDecoder(bits_per_sample=settings["bits_per_sample"], say=say, on_damage=note_damage)
    pipeline = FramePipeline(
        model.new_tracker(settings.tracks(model.recommended)),
        ledger,
        on_epoch=lambda reason: say(f"new epoch: {reason}"),
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

    try:
        for count, (bag_time, content) in enumerate(source.contents(CompressedImage if compressed else Image, topic)):
            if not count:
                target.write(bag_files.CLASS_NAMES, class_names_message(model.name, model.classes), bag_time)
            try:
                image = read_image(content, compressed=compressed)
            except ImageError as error:
                intake.refuse(error)
                name(f"dropped: {error}")
                continue
            try:
                frame = intake.accept(image.stamp, image.frame_id, image.image)
                write(pipeline.enter(frame))
                write(pipeline.process(frame))
            except ImageError as error:
                name(f"dropped: {error}")
        write(pipeline.flush())
    finally:
        if damaged and not strict:
            warn(f"{damaged} of {count + 1} images are damaged; what is tracked there may be wrong")
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


def score_in_space(
    bag_path: str | Path, results: str | Path, topic: str, localizer: LocalizerSettings, output: Path
) -> str:
    """Score how well objects are found in space, where the bag knows where they are.

    Args:
        bag_path: path of the bag with the truth.
        results: path of the bag with the tracks.
        topic: topic of the tracks.
        localizer: what the localizer is told.
        output: folder of the scores.

    Returns:
        The scores as text; nothing where the bag does not know.

    Raises:
        A2VISError: the bag says where objects are, but lacks what is needed to place them.
    """
    with BagReader(bag_path) as bag:
        if not bag.count(bag_files.GROUND_TRUTH_OBJECTS):
            return ""
    try:
        return f"\n{score_space(bag_path, tracks_in(results, topic), localizer, output)}\n"
    except (CameraError, FrameError, GroundError, TransformError) as error:
        raise A2VISError(f"{bag_path}: positions in space cannot be scored: {error}") from error


def scores_text(results: dict[str, Any], table: str) -> str:
    """Return what `score` returned as text."""
    missing, frames = results["frames_without_result"], results["frames"]
    return f"{missing} of {frames} frames have no result; nothing was found in them\n{table}\n"
