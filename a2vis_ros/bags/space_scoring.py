"""Scores positions in space where a bag holds their truth: the localizer over tracks, camera, depth and transforms."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from a2vis_model.files.atomic import write_text

from ..msg import TrackedInstance, TrackedInstanceArray, TrackedObjectArray
from ..planner.mask_codec import MaskError, RunLengthMask
from ..planner.mask_messages import mask_from_message
from ..space.camera import CameraModel
from ..space.depth_surface import DepthMetres
from ..space.evaluation import SpaceScorer
from ..space.localizer import ImageTrack, LocalizerSettings, State
from ..space.rehearsal import METHODS, Method, SpaceFrame, compare
from ..space.report import Groups, claim, comparison, details, document
from ..space.samples import read_samples, write_samples
from ..space.transforms import RigidTransform
from ..space.truth import TrueThing, width_across
from ..wire.exact_text import MessageError
from . import bag_files
from .bag_files import BagError, BagReader
from .space_messages import CAMERA_INFO, DEPTH, WORLD, transforms_of

SPACE_SAMPLES = "space_samples.npz"
"""File of what was scored of a bag, object by object."""


class BagFrames:
    """The frames of a bag that `to_bag` has made of a clip with truth in space.

    They are read anew whenever they are gone through, for the depth of a long bag fills the memory.

    Args:
        path: path of the bag.
        tracks: what is said of each image, by its stamp in ns; where nothing is said of one, there was no result.
            Without it the true masks are the tracks.
    """

    def __init__(self, path: str | Path, tracks: Mapping[int, TrackedInstanceArray] | None = None) -> None:
        self._path, self._tracks = path, tracks

    def __iter__(self) -> Iterator[SpaceFrame]:
        with BagReader(self._path) as bag:
            kinds = {topic: topic.rpartition("/")[2] for topic in bag.topics}
            wanted = [topic for topic, kind in kinds.items() if kind in (CAMERA_INFO, DEPTH)]
            truth = (bag_files.TF, bag_files.GROUND_TRUTH_OBJECTS, bag_files.GROUND_TRUTH)
            frame = _Frame(self._path)
            for topic, _, data in bag.raw(*wanted, *truth):
                if topic == bag_files.TF:
                    try:
                        found = transforms_of(data)
                    except MessageError as error:
                        raise bag.damaged(topic, error) from error
                    frame.transforms = {stamp: pose for parent, _, pose, stamp in found if parent == WORLD}
                elif topic == bag_files.GROUND_TRUTH_OBJECTS:
                    frame.objects = bag.decoded(topic, data, TrackedObjectArray)
                elif kinds[topic] == CAMERA_INFO:
                    frame.camera = bag.decoded(topic, data, CameraInfo)
                elif kinds[topic] == DEPTH:
                    frame.depth = bag.decoded(topic, data, Image)
                else:
                    # Written last of what belongs to an image.
                    yield frame.complete(bag.decoded(topic, data, TrackedInstanceArray), self._tracks)


class _Frame:
    """Messages of a frame as they come."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self.camera: CameraInfo | None = None
        self.depth: Image | None = None
        self.objects: TrackedObjectArray | None = None
        self.transforms: dict[int, RigidTransform] = {}

    def complete(self, masks: TrackedInstanceArray, tracks: Mapping[int, TrackedInstanceArray] | None) -> SpaceFrame:
        stamp = stamp_ns(masks)
        camera, depth, objects = self.camera, self.depth, self.objects
        beside = {stamp_ns(message) for message in (camera, objects) if message is not None}
        if camera is None or objects is None or beside != {stamp} or stamp not in self.transforms:
            raise BagError(
                f"{self._path}: camera_info, transform or true objects of the image of {stamp * 1e-9:.9f} s are not "
                "before its ground truth; make the bag anew with to_bag"
            )
        said = masks if tracks is None else tracks.get(stamp)
        model, pose = CameraModel.from_camera_info(camera), self.transforms[stamp]
        return SpaceFrame(
            stamp_ns=stamp,
            camera=model,
            world_from_camera=pose,
            depth=_metres(depth, self._path) if depth is not None and stamp_ns(depth) == stamp else None,
            tracks=None if said is None else tracks_of(said),
            things=_things(objects, masks, model, pose),
        )


def score_space(
    path: str | Path,
    results: Iterable[TrackedInstanceArray],
    localizer: LocalizerSettings,
    folder: Path,
) -> str:
    """Score positions by all methods, with the masks of the results and with the true ones.

    Args:
        path: path of a bag with truth in space.
        results: what was said of its images.
        localizer: what the localizer is told, see `compare`.
        folder: receives space_metrics.json, and the samples by which bags are scored together.

    Returns:
        tables in Markdown.
    """
    tracks = {stamp_ns(message): message for message in results}
    groups: dict[str, dict[Method, SpaceScorer]] = {}
    for masks, frames in (("predicted", BagFrames(path, tracks)), ("true", BagFrames(path))):
        groups[masks] = {method: SpaceScorer() for method in METHODS}
        compare(frames, groups[masks], localizer)
    write_samples(folder / SPACE_SAMPLES, groups)
    return _summed_up(groups, folder)


def score_space_together(bags: Sequence[Path], folder: Path) -> str:
    """Score bags that `score_space` has scored as the clips of one data set.

    The samples of all bags are in memory at once: about 4 kB for each true object in a frame.

    Args:
        bags: folders into which `score_space` has written.
        folder: receives space_metrics.json for all of them.

    Returns:
        tables in Markdown.
    """
    groups: dict[str, dict[Method, SpaceScorer]] = defaultdict(lambda: defaultdict(SpaceScorer))
    for bag in bags:
        for masks, scorers in read_samples(bag / SPACE_SAMPLES).items():
            for method, scorer in scorers.items():
                groups[masks][method].add(scorer)
    return _summed_up(groups, folder)


def _summed_up(groups: Groups, folder: Path) -> str:
    """Write the scores, and return them as tables."""
    write_text(folder / "space_metrics.json", json.dumps(document(groups), indent=1, allow_nan=False) + "\n")
    parts = []
    for masks, scorers in groups.items():
        parts.append(f"position error with {masks} masks, median / 95th percentile (m)\n\n{comparison(scorers)}")
        parts.append(f"all scores with {masks} masks\n\n{details(scorers)}")
    parts.append(f"on the ground, amodal masks against visible ones on the same objects\n\n{claim(groups)}")
    return "\n\n".join(parts)


def stamp_ns(message: Any) -> int:
    """The time of a message's header in ns."""
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def tracks_of(message: TrackedInstanceArray) -> list[ImageTrack]:
    """Tracks as the localizer takes them; raises BagError where a mask is damaged."""
    return [
        ImageTrack(
            track_id=instance.track_id,
            state=_state(instance, message),
            class_id=instance.class_id,
            class_name=instance.class_name,
            score=instance.score,
            existence=instance.existence,
            visible=_mask(instance, "visible", message),
            amodal=_mask(instance, "amodal", message),
        )
        for instance in message.instances
    ]


def _state(instance: TrackedInstance, message: TrackedInstanceArray) -> State:
    try:
        return State(instance.state)
    except ValueError as error:
        raise BagError(f"the message of {stamp_ns(message) * 1e-9:.9f} s is damaged: {error}") from error


def _mask(instance: TrackedInstance, kind: str, message: TrackedInstanceArray) -> RunLengthMask:
    try:
        return mask_from_message(getattr(instance, kind), message.height, message.width)
    except MaskError as error:
        raise BagError(f"the message of {stamp_ns(message) * 1e-9:.9f} s is damaged: {error}") from error


def _things(
    objects: TrackedObjectArray, masks: TrackedInstanceArray, camera: CameraModel, world_from_camera: RigidTransform
) -> list[TrueThing]:
    """True objects with their masks; those that have not been seen yet have none."""
    seen = {track.track_id: track for track in tracks_of(masks)}
    things = []
    for true in objects.objects:
        track = seen.get(true.track_id)
        place, turn, velocity = true.pose.pose.position, true.pose.pose.orientation, true.velocity
        position, size = np.array([place.x, place.y, place.z]), np.array([true.size.x, true.size.y, true.size.z])
        # A flat cut-out has no length, and no yaw of its own: its orientation here is the line of sight.
        yaw = 2 * math.atan2(turn.z, turn.w) if true.size.x else math.nan
        visible, amodal = (RunLengthMask.empty(),) * 2 if track is None else (track.visible, track.amodal)
        things.append(
            TrueThing(
                thing_id=true.track_id,
                class_name=true.class_name,
                position=position,
                velocity=np.array([velocity.x, velocity.y, velocity.z]),
                size=size,
                width=width_across(size, yaw, position, amodal, camera, world_from_camera),
                visible=visible,
                amodal=amodal,
            )
        )
    return things


def _metres(message: Image, path: str | Path) -> DepthMetres:
    if message.encoding != "16UC1" or len(message.data) != 2 * message.height * message.width:
        raise BagError(
            f"{path}: a depth image is of {message.encoding!r:.60} with {len(message.data)} bytes, not 16UC1 of "
            f"{message.width}x{message.height}; make the bag anew with to_bag"
        )
    pixels = np.frombuffer(message.data, "<u2").reshape(message.height, message.width)
    return (pixels / np.float32(1000)).astype(np.float32)
