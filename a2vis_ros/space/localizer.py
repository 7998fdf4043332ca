"""Localizer: frame by frame, tracks, camera, depth and transforms become objects in space; imports no ROS."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import RunLengthMask
from .camera import CameraModel
from .depth_surface import DepthMetres
from .emergence import Emergence, emergences
from .existence import ExpectedPlaces, FrameView, HiddenBelief
from .ground import GroundError, GroundPlane
from .motion import Measurement, MotionFilter, SizeFilter, correct, correct_sizes, covariances, predict
from .placement import MaskedObject, Placement, PlacementSettings, Source, Unplaced, place_objects
from .profiles import DEFAULT_PROFILES, ClassProfile, profile_of
from .transforms import RigidTransform, TransformSource, cross, quaternions

_LEAST_DISTANCE = 0.01
"""Metres; nearer than this to the vertical through the camera there is no line of sight."""
_COVERED = 0.5
"""An object over whose expected place so much of other objects is seen went behind these."""


class FrameError(ValueError):
    """A frame cannot be used, and is left out; nothing has changed. The message says why and what to do."""


class State(enum.IntEnum):
    """State of a track, with the values of msg/TrackedInstance."""

    TENTATIVE, VISIBLE, OCCLUDED, LOST, ENDED = range(5)

    @property
    def hidden(self) -> bool:
        """Return whether the object cannot be seen now and may come out again."""
        return self in (State.OCCLUDED, State.LOST)


@dataclass(frozen=True)
class ImageTrack:
    """A track as a message describes it in one frame."""

    track_id: int
    state: State
    class_id: int
    class_name: str
    score: float
    existence: float
    visible: RunLengthMask
    amodal: RunLengthMask


@dataclass(frozen=True)
class TrackFrame:
    """All tracks of one frame."""

    stamp_ns: int
    """Stamp of the image in nanoseconds."""
    frame_id: str
    """Name of the camera's optical frame."""
    height: int
    """Height of the image in pixels."""
    width: int
    session: int
    epoch: int
    tracks: Sequence[ImageTrack]


@dataclass(frozen=True)
class Mounting:
    """Mounting of the camera above the ground, where no transform says so. See `GroundPlane.from_mounting`."""

    height: float
    pitch_deg: float = 0.0
    roll_deg: float = 0.0


@dataclass(frozen=True)
class LocalizerSettings:
    """Settings of the localizer."""

    fixed_frame: str = ""
    """Frame in which objects are placed and filtered, z up, such as odom; empty for the camera's optical frame."""
    ground_frame: str = ""
    """Frame whose plane z = 0 is the ground; empty for `fixed_frame`."""
    mounting: Mounting | None = None
    """Says where the ground is, in place of a transform."""
    placement: PlacementSettings = field(default_factory=PlacementSettings)
    profiles: Mapping[str, ClassProfile] = field(default_factory=lambda: DEFAULT_PROFILES)
    forget_below: float = 0.05
    """A hidden object whose existence is less probable than this is forgotten."""


@dataclass(frozen=True)
class LocatedObject:
    """One object in one frame. Vectors are in the frame that `Localized.frame_id` names, lengths in metres."""

    track_id: int
    state: State
    class_id: int
    class_name: str
    score: float
    """Probability of the class."""
    existence: float
    """Probability that the object is there."""
    hidden_s: float
    """Since it was last seen, by the stamps of the images; 0 while it is seen."""
    measured_s: float
    """Since its position was last measured; 0 where it was in this frame."""
    source: Source
    """Way in which the position was found in this frame."""
    position: NDArray[np.float64]
    """[3] of the centre of its box."""
    velocity: NDArray[np.float64]
    """[3] in m/s."""
    covariance: NDArray[np.float64]
    """[6, 6] of position and velocity."""
    orientation: NDArray[np.float64]
    """[4] quaternion x, y, z, w of the box: x horizontally away from the camera, z up. Not where it heads for."""
    size: NDArray[np.float64]
    """[3] of the box along its axes: along the line of sight, across it, upwards."""
    size_std: NDArray[np.float64]
    """[3]"""
    cut_off: bool
    """Whether the image's edge cut the object off when its position was last measured."""
    emergences: tuple[Emergence, ...]
    """Places and times at which a hidden object may come out, as far as they are in view."""


@dataclass(frozen=True)
class Localized:
    """The objects of one frame."""

    frame_id: str
    objects: list[LocatedObject]
    """Objects that have a position, in the order of the tracks."""
    unplaced: Counter[Unplaced]
    """Objects that were seen in this frame and could not be placed, by the cause; they may be predicted."""
    outliers: int
    """Positions that were left out, being far from where their objects could be."""
    forgotten: int
    """Hidden objects that are no longer confirmed to be there."""


class Localizer:
    """Keeps a motion filter, a size and a belief for every live track, and nothing else: its memory is bounded.

    Args:
        settings: what it is told beside its input.
        transforms: knows where the camera is. Needed where `fixed_frame` or `ground_frame` is set.

    Raises:
        ValueError: a frame is named, and nothing knows where it is.
    """

    def __init__(self, settings: LocalizerSettings, transforms: TransformSource | None = None) -> None:
        if transforms is None and (settings.fixed_frame or settings.ground_frame):
            raise ValueError(
                f"fixed_frame={settings.fixed_frame!r} and ground_frame={settings.ground_frame!r} need a source of "
                "transforms; leave both empty for positions in the camera's frame"
            )
        self.settings = settings
        self._transforms = transforms
        self._objects: dict[int, _Object] = {}
        self._stream: tuple[int, int] | None = None
        self._stamp_ns = 0

    def reset(self) -> None:
        """Forget all objects."""
        self._objects.clear()
        self._stream = None

    def update(self, frame: TrackFrame, camera: CameraModel, depth: DepthMetres | None = None) -> Localized:
        """Take the next frame.

        Args:
            frame: the tracks. Another session or epoch than before has nothing to do with what is known.
            camera: camera of the image.
            depth: [H, W] in metres along the optical axis, registered to the image; NaN and 0 are holes.

        Raises:
            CameraError: the camera is of another image size.
            FrameError: the frame is older than the last one, or the depth of another size.
            GroundError: the camera is not above the ground.
            TransformTooNewError: the transform of that time has not come yet.
            TransformError: there is none.
        """
        camera.check_image(frame.height, frame.width)
        if depth is not None and depth.shape != (frame.height, frame.width):
            raise FrameError(
                f"the depth image is of {depth.shape[1]}x{depth.shape[0]}, and the tracks are of "
                f"{frame.width}x{frame.height}: it is not registered to the image; give the depth that the driver "
                "aligns with it"
            )
        stream = (frame.session, frame.epoch)
        same = stream == self._stream
        if same and frame.stamp_ns < self._stamp_ns:
            late = (self._stamp_ns - frame.stamp_ns) * 1e-9
            raise FrameError(
                f"the frame is {late:.3f} s older than the last one of its epoch; let tracks come in order"
            )
        fixed_from_camera = self._pose(frame)
        ground = self._ground(frame)
        # From here on nothing fails.
        if not same:
            self._objects.clear()
        predict([known.motion for known in self._objects.values()], (frame.stamp_ns - self._stamp_ns) * 1e-9)
        self._stream, self._stamp_ns = stream, frame.stamp_ns
        return self._take(frame, camera, ground, depth, fixed_from_camera)

    def _pose(self, frame: TrackFrame) -> RigidTransform:
        if not self.settings.fixed_frame or self._transforms is None:
            return RigidTransform.identity()
        return self._transforms.lookup(self.settings.fixed_frame, frame.frame_id, frame.stamp_ns)

    @cached_property
    def _mounted(self) -> GroundPlane | None:
        """Ground plane of a camera whose mounting is given, the same in all frames."""
        mounting = self.settings.mounting
        if mounting is None:
            return None
        return GroundPlane.from_mounting(mounting.height, mounting.pitch_deg, mounting.roll_deg)

    def _ground(self, frame: TrackFrame) -> GroundPlane | None:
        if self._mounted is not None:
            return self._mounted
        name = self.settings.ground_frame or self.settings.fixed_frame
        if not name or self._transforms is None:
            return None
        return GroundPlane.from_transform(self._transforms.lookup(name, frame.frame_id, frame.stamp_ns))

    def _take(
        self,
        frame: TrackFrame,
        camera: CameraModel,
        ground: GroundPlane | None,
        depth: DepthMetres | None,
        fixed_from_camera: RigidTransform,
    ) -> Localized:
        settings, seconds = self.settings, frame.stamp_ns * 1e-9
        profiles = {track.track_id: profile_of(settings.profiles, track.class_name) for track in frame.tracks}
        seen = [track for track in frame.tracks if track.state in (State.TENTATIVE, State.VISIBLE)]
        seen = [track for track in seen if track.visible.area or track.amodal.area]
        masked = [MaskedObject(track.visible, track.amodal, profiles[track.track_id]) for track in seen]
        places = dict(
            zip(
                (track.track_id for track in seen),
                place_objects(masked, camera, ground, depth, settings.placement),
                strict=True,
            )
        )
        placed = {track_id: place for track_id, place in places.items() if isinstance(place, Placement)}
        taken = self._measure(placed, profiles, fixed_from_camera, seconds)
        hidden = [
            self._objects[track.track_id]
            for track in frame.tracks
            if track.state.hidden and track.track_id in self._objects
        ]
        if hidden:
            expected = _expected(hidden, fixed_from_camera.inverse())
            view = FrameView(camera, depth, [track.visible for track in seen], expected)
            _hide(hidden, view, fixed_from_camera, seconds)
        forgotten = 0
        found: list[tuple[ImageTrack, _Object]] = []
        for track in frame.tracks:
            known = self._objects.get(track.track_id)
            if known is None:
                continue
            if track.state.hidden:
                if known.existence < settings.forget_below:
                    forgotten += 1
                    continue
            elif track.state is not State.ENDED:
                known.see(track.existence, seconds)
            found.append((track, known))
        # Where a track is not in the frame, the message in which it ended was lost.
        self._objects = {track.track_id: known for track, known in found if track.state is not State.ENDED}
        sources = [placed[track.track_id].source if track.track_id in taken else Source.PREDICTED for track, _ in found]
        return Localized(
            frame_id=settings.fixed_frame or frame.frame_id,
            objects=_located(found, sources, seconds),
            unplaced=Counter(place for place in places.values() if isinstance(place, Unplaced)),
            outliers=len(placed) - len(taken),
            forgotten=forgotten,
        )

    def _measure(
        self,
        placed: Mapping[int, Placement],
        profiles: Mapping[int, ClassProfile],
        fixed_from_camera: RigidTransform,
        seconds: float,
    ) -> set[int]:
        """Let objects, known and new, take where they were found; returns the IDs of those that did."""
        measured = dict(zip(placed, Measurement.of(list(placed.values()), fixed_from_camera), strict=True))
        old = [track_id for track_id in placed if track_id in self._objects]
        new = [track_id for track_id in placed if track_id not in self._objects]
        taken = correct([self._objects[one].motion for one in old], [measured[one] for one in old])
        old = [track_id for track_id, is_taken in zip(old, taken, strict=True) if is_taken]
        for track_id in old:
            self._objects[track_id].measure(measured[track_id], placed[track_id].cut_off, seconds)
        for track_id in new:
            cut_off = placed[track_id].cut_off
            self._objects[track_id] = _Object(profiles[track_id], measured[track_id], cut_off, seconds)
        found = old + new
        correct_sizes([self._objects[one].size for one in found], [placed[one] for one in found], seconds)
        return set(found)


class _Object:
    """State of one track between frames."""

    def __init__(self, profile: ClassProfile, measured: Measurement, cut_off: bool, seconds: float) -> None:
        self.motion = MotionFilter(measured, profile)
        self.size = SizeFilter(profile, seconds)
        self.existence = 1.0
        self.emergences: tuple[Emergence, ...] = ()
        self.seen = seconds
        """When it was last seen."""
        self.profile = profile
        self.belief: HiddenBelief | None = None
        """None while it is seen."""
        self.known_occluder = False
        """Whether it went behind objects that are tracked, when it was last hidden."""
        self._judged = seconds
        self.measure(measured, cut_off, seconds)

    def measure(self, measured: Measurement, cut_off: bool, seconds: float) -> None:
        """Its position was measured."""
        self.axes = measured.axes
        """[3, 3] of the box in the fixed frame: along the line of sight, across it, up."""
        self.measured, self.cut_off = seconds, cut_off

    def see(self, existence: float, seconds: float) -> None:
        """Take note that the object is seen, and so probably there."""
        self.existence = existence
        self.seen = self._judged = seconds
        self.belief = None
        self.emergences = ()

    def hide(self, empty: NDArray[np.float64], seconds: float) -> None:
        """Believe less in the object, which is not seen, the less the more of its place is seen to be empty.

        Args:
            empty: [5] of `FrameView.empty`.
            seconds: the time of the frame.
        """
        self.belief = self.belief or HiddenBelief(self.existence, self.profile.half_life_s)
        self.belief.watch(seconds - self._judged, empty)
        self.existence = self.belief.existence
        self._judged = seconds


def _expected(hidden: Sequence[_Object], camera_from_fixed: RigidTransform) -> ExpectedPlaces:
    """Return where objects are expected now, each along the present line of sight."""
    centres = camera_from_fixed.apply(np.array([known.motion.position for known in hidden]))
    axes = camera_from_fixed.rotation @ np.array([known.axes for known in hidden])
    up = axes[:, :, 2]
    forward = centres - (centres * up).sum(axis=1, keepdims=True) * up
    length = np.sqrt((forward * forward).sum(axis=1))
    far = length > _LEAST_DISTANCE
    axes[far, :, 0] = forward[far] / length[far, None]
    axes[far, :, 1] = cross(up, axes[:, :, 0])[far]
    turns = camera_from_fixed.rotation.T @ axes
    spreads = covariances([known.motion for known in hidden])[:, :3, :3]
    return ExpectedPlaces(
        centres=centres,
        axes=axes,
        extents=np.array([known.size.extent for known in hidden]),
        stds=np.sqrt((turns * (spreads @ turns)).sum(axis=1)),
    )


def _hide(hidden: Sequence[_Object], view: FrameView, fixed_from_camera: RigidTransform, seconds: float) -> None:
    """Let each of the objects be hidden in this frame, which shows their places."""
    if any(known.belief is None for known in hidden):
        for known, covered in zip(hidden, view.covered().tolist(), strict=True):
            if known.belief is None:
                known.known_occluder = covered >= _COVERED
    empty = view.empty(np.array([known.known_occluder for known in hidden]))
    velocities = np.array([known.motion.velocity for known in hidden]) @ fixed_from_camera.rotation
    ends = emergences(view, velocities, [known.profile.max_speed for known in hidden], fixed_from_camera)
    for known, is_empty, coming_out in zip(hidden, empty, ends, strict=True):
        known.hide(is_empty, seconds)
        known.emergences = coming_out


def _located(
    found: Sequence[tuple[ImageTrack, _Object]], sources: Sequence[Source], seconds: float
) -> list[LocatedObject]:
    """Return what is published of tracks that have a place.

    Args:
        found: tracks, and what is known of them.
        sources: how their positions were found in this frame.
        seconds: the time of the frame.
    """
    if not found:
        return []
    orientations = quaternions(np.array([known.axes for _, known in found]))
    spreads = covariances([known.motion for _, known in found])
    size_stds = np.sqrt(np.array([known.size.variance for _, known in found]))
    return [
        LocatedObject(
            track_id=track.track_id,
            state=track.state,
            class_id=track.class_id,
            class_name=track.class_name,
            score=track.score,
            existence=known.existence,
            hidden_s=seconds - known.seen if track.state.hidden or track.state is State.ENDED else 0.0,
            measured_s=seconds - known.measured,
            source=source,
            position=known.motion.position,
            velocity=known.motion.velocity,
            covariance=covariance,
            orientation=orientation,
            size=known.size.extent,
            size_std=size_std,
            cut_off=known.cut_off,
            emergences=known.emergences,
        )
        for (track, known), source, covariance, orientation, size_std in zip(
            found, sources, spreads, orientations, size_stds, strict=True
        )
    ]


__all__ = [
    "FrameError",
    "GroundError",
    "Localized",
    "Localizer",
    "LocalizerSettings",
    "LocatedObject",
    "Mounting",
    "State",
    "ImageTrack",
    "TrackFrame",
]
