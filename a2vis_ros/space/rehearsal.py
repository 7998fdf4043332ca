"""The localizer over recorded or rendered frames whose truth is known, in all the ways that are compared. No ROS."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .camera import CameraModel
from .depth_surface import DepthMetres
from .evaluation import EvaluatedFrame, SpaceScorer, standing_still
from .localizer import FrameError, ImageTrack, Localizer, LocalizerSettings, State, TrackFrame
from .transforms import RigidTransform, TransformBuffer
from .truth import TrackAssignment, TrueThing, evaluated_frame

WORLD, CAMERA = "world", "camera"
"""The fixed frame, in which z = 0 is the ground, and the camera's optical frame."""
DEFAULT_LOCALIZER = LocalizerSettings()
"""That of the node, where its parameters say nothing else."""


@dataclass(frozen=True)
class Method:
    """A way to find objects in space."""

    name: str
    depth: bool
    """Whether depth is used where there is one, or the ground plane alone."""
    amodal: bool
    """Whether amodal masks are used, or visible masks in their place."""
    still: bool = False
    """Whether what is not seen stays where it was last seen, in place of the filter's prediction."""


METHODS = (
    Method("depth, amodal", depth=True, amodal=True),
    Method("depth, visible", depth=True, amodal=False),
    Method("depth, amodal, still", depth=True, amodal=True, still=True),
    Method("ground, amodal", depth=False, amodal=True),
    Method("ground, visible", depth=False, amodal=False),
    Method("ground, amodal, still", depth=False, amodal=True, still=True),
    Method("ground, visible, still", depth=False, amodal=False, still=True),
)
"""Methods that are compared."""


@dataclass(frozen=True)
class SpaceFrame:
    """One frame: what a localizer is given, and what is true."""

    stamp_ns: int
    camera: CameraModel
    world_from_camera: RigidTransform
    depth: DepthMetres | None
    """`[H, W]` registered to the image; NaN and 0 are holes."""
    tracks: Sequence[ImageTrack] | None
    """Tracks of the frame; None where the tracker has no result, so that a localizer has none either."""
    things: Sequence[TrueThing]


def compare(
    frames: Iterable[SpaceFrame],
    scorers: Mapping[Method, SpaceScorer],
    localizer: LocalizerSettings = DEFAULT_LOCALIZER,
) -> None:
    """Let the scorer of each method take the frames of one clip; see `rehearse`.

    Args:
        frames: gone through several times.
        scorers: scorers of each method.
        localizer: what the localizer is told, but for where camera and ground are, which the frames say.
    """
    predicted: dict[Method, list[EvaluatedFrame]] = {}
    for method, scorer in scorers.items():
        moving = replace(method, name="", still=False)
        if moving not in predicted:
            predicted[moving] = rehearse(frames, moving, localizer)
        scorer.add_clip(standing_still(predicted[moving]) if method.still else predicted[moving])


def rehearse(
    frames: Iterable[SpaceFrame],
    method: Method,
    localizer: LocalizerSettings = DEFAULT_LOCALIZER,
) -> list[EvaluatedFrame]:
    """Run the localizer over the frames of one clip.

    Args:
        frames: frames in the order of time.
        method: how; what is not seen is predicted.
        localizer: what the localizer is told, but for where camera and ground are, which the frames say.

    Raises:
        FrameError: the frames are not in order, or a method with depth has none.
    """
    transforms = TransformBuffer()
    running = Localizer(replace(localizer, fixed_frame=WORLD, ground_frame=WORLD, mounting=None), transforms)
    assignment = TrackAssignment()
    evaluated = []
    for frame in frames:
        if method.depth and frame.depth is None:
            raise FrameError(
                f"{method.name}: the frame of {frame.stamp_ns * 1e-9:.3f} s has no depth; leave the method out"
            )
        height, width = frame.camera.height, frame.camera.width
        seconds = frame.stamp_ns * 1e-9
        if frame.tracks is None:
            evaluated.append(EvaluatedFrame(seconds, tuple(t.as_seen(height, width) for t in frame.things), ()))
            continue
        tracks = frame.tracks if method.amodal else [_visible_only(track) for track in frame.tracks]
        transforms.add(WORLD, CAMERA, frame.world_from_camera, frame.stamp_ns)
        given = TrackFrame(frame.stamp_ns, CAMERA, height, width, session=1, epoch=0, tracks=tracks)
        found = running.update(given, frame.camera, frame.depth if method.depth else None)
        thing_of = assignment.update(frame.things, tracks)
        evaluated.append(
            evaluated_frame(seconds, frame.things, tracks, found.objects, thing_of, height=height, width=width)
        )
    return evaluated


def true_tracks(things: Sequence[TrueThing], known: set[int]) -> list[ImageTrack]:
    """Return what a perfect tracker would report of a frame.

    Args:
        things: all objects.
        known: IDs of those that have been visible before; those that are visible now are added.
    """
    known.update(thing.thing_id for thing in things if thing.visible.area)
    return [
        ImageTrack(
            track_id=thing.thing_id,
            state=State.VISIBLE if thing.visible.area else State.OCCLUDED if thing.amodal.area else State.LOST,
            class_id=0,
            class_name=thing.class_name,
            score=1.0,
            existence=1.0,
            visible=thing.visible,
            amodal=thing.amodal,
        )
        for thing in things
        if thing.thing_id in known
    ]


def _visible_only(track: ImageTrack) -> ImageTrack:
    """Return the track as a tracker without amodal masks would report it."""
    return track._replace(amodal=track.visible)
