"""Localizer: frame by frame, tracks, camera, depth and transforms become objects in space; imports no ROS."""

import enum
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..planner.mask_codec import MaskSet, RunLengthMask
from .camera import CameraModel
from .depth_surface import DepthMetres
from .emergence import Emergence, emergences
from .existence import ExpectedPlaces, FrameView, HiddenBelief
from .ground import GroundError, GroundPlane
from .motion import Measurements, MotionFilters, SizeFilters
from .placement import MaskedObject, Placements, PlacementSettings, Source, Unplaced, place_objects
from .profiles import DEFAULT_PROFILES, ClassProfile, ProfileTable, profile_of
from .transforms import RigidTransform, TransformSource, cross, quaternions

_LEAST_DISTANCE = 0.01
"""Metres; nearer than this to the vertical through the camera there is no line of sight."""
_CAMERA_UP = np.array([0.0, -1.0, 0.0])
"""Upward direction in the optical frame of a camera that is mounted level."""
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


class ImageTrack(NamedTuple):
    """A track as a message describes it in one frame."""

    track_id: int
    state: State
    class_id: int
    class_name: str
    score: float
    existence: float
    visible: RunLengthMask
    amodal: RunLengthMask


_SEEN = (State.TENTATIVE, State.VISIBLE)
"""States in which masks show the object as it is."""


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
    """Frame whose plane z = 0 is the ground; empty where none is known to be. `fixed_frame` alone says which way is up,
    and not where the ground is: on a ramp or another floor it is elsewhere."""
    mounting: Mounting | None = None
    """Says where the ground is, in place of a transform."""
    placement: PlacementSettings = field(default_factory=PlacementSettings)
    profiles: Mapping[str, ClassProfile] = field(default_factory=lambda: DEFAULT_PROFILES)
    forget_below: float = 0.05
    """A hidden object whose existence is less probable than this is forgotten."""


class LocatedObject(NamedTuple):
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
    ground_problem: str = ""
    """Reason why the ground that the settings name was left out and depth used alone; empty where it was not."""


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
        self._known = _Tracks()
        self._stream: tuple[int, int] | None = None
        self._stamp_ns = 0

    def reset(self) -> None:
        """Forget all objects."""
        self._known = _Tracks()
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
            GroundError: the camera is not above the ground, and there is no depth to do without it.
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
        ground, ground_problem = None, ""
        try:
            ground = self._ground(frame)
        except GroundError as error:
            # A wrong ground spoils nothing that depth shows.
            if depth is None:
                raise
            ground_problem = str(error)
        # From here on nothing fails.
        if not same:
            self._known = _Tracks()
        self._known.motion.predict((frame.stamp_ns - self._stamp_ns) * 1e-9)
        self._stream, self._stamp_ns = stream, frame.stamp_ns
        return self._take(frame, camera, ground, depth, fixed_from_camera, ground_problem)

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
        name = self.settings.ground_frame
        if not name or self._transforms is None:
            return None
        return GroundPlane.from_transform(self._transforms.lookup(name, frame.frame_id, frame.stamp_ns))

    def _up(self, ground: GroundPlane | None, fixed_from_camera: RigidTransform) -> NDArray[np.float64]:
        """[3] unit vector upwards in the camera's optical frame, as well as it is known."""
        if ground is not None:
            return ground.up
        return fixed_from_camera.rotation[2] if self.settings.fixed_frame else _CAMERA_UP

    def _take(
        self,
        frame: TrackFrame,
        camera: CameraModel,
        ground: GroundPlane | None,
        depth: DepthMetres | None,
        fixed_from_camera: RigidTransform,
        ground_problem: str,
    ) -> Localized:
        settings, known, seconds = self.settings, self._known, frame.stamp_ns * 1e-9
        # If an ID comes twice, the last one counts.
        tracks = {track.track_id: track for track in frame.tracks}
        seen = [
            track
            for track in tracks.values()
            if track.state in _SEEN and not (track.visible.is_empty and track.amodal.is_empty)
        ]
        profiles = [profile_of(settings.profiles, track.class_name) for track in seen]
        masked = [MaskedObject(track.visible, track.amodal, one) for track, one in zip(seen, profiles, strict=True)]
        visible = MaskSet([track.visible for track in seen])
        up = self._up(ground, fixed_from_camera)
        placements = place_objects(masked, visible, camera, up, ground, depth, settings.placement)
        places = placements.number.tolist()
        taken = known.measure(
            [seen[index].track_id for index in places],
            [profiles[index] for index in places],
            placements,
            fixed_from_camera,
            seconds,
        )
        hidden = [
            known.rows[one.track_id] for one in tracks.values() if one.state.hidden and one.track_id in known.rows
        ]
        if hidden:
            places_of_hidden = known.expected(hidden, fixed_from_camera.inverse())
            known.hide(hidden, FrameView(camera, depth, visible, places_of_hidden), fixed_from_camera, seconds)
        forgotten = 0
        found: list[tuple[ImageTrack, int]] = []
        for track_id, track in tracks.items():
            row = known.rows.get(track_id)
            if row is None:
                continue
            presence = known.presences[row]
            if track.state.hidden:
                if presence.existence < settings.forget_below:
                    forgotten += 1
                    continue
            elif track.state is not State.ENDED:
                presence.see(track.existence, seconds)
            found.append((track, row))
        objects = _located(found, known, {track_id: Source(source) for track_id, source in taken.items()}, seconds)
        # Where a track is not in the frame, the message in which it ended was lost.
        known.keep([track.track_id for track, _ in found if track.state is not State.ENDED])
        return Localized(
            frame_id=settings.fixed_frame or frame.frame_id,
            objects=objects,
            unplaced=Counter(placements.unplaced.values()),
            outliers=len(places) - len(taken),
            forgotten=forgotten,
            ground_problem=ground_problem,
        )


class _Presence:
    """Whether the object of one track is there, as far as it is known."""

    def __init__(self, profile: ClassProfile, seconds: float) -> None:
        self.profile = profile
        self.existence = 1.0
        self.emergences: tuple[Emergence, ...] = ()
        self.seen = seconds
        """When it was last seen."""
        self.belief: HiddenBelief | None = None
        """None while it is seen."""
        self.known_occluder = False
        """Whether it went behind objects that are tracked, when it was last hidden."""
        self._judged = seconds

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


class _Tracks:
    """What is known of tracks between frames, one row for each."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}
        """Row of each track ID."""
        self.motion, self.sizes = MotionFilters(), SizeFilters()
        self.axes = np.zeros((0, 3, 3))
        """[N, 3, 3] of the boxes in the fixed frame: along the line of sight, across it, up."""
        self.measured = np.zeros(0)
        """[N] when the positions were last measured."""
        self.cut_off = np.zeros(0, np.bool_)
        """[N] whether the image cut the objects off then."""
        self.presences: list[_Presence] = []

    def keep(self, track_ids: Sequence[int]) -> None:
        """Forget all tracks but these."""
        if len(track_ids) == len(self.rows):
            return
        rows = np.array([self.rows[one] for one in track_ids], np.intp)
        self.motion.keep(rows)
        self.sizes.keep(rows)
        self.axes, self.measured, self.cut_off = self.axes[rows], self.measured[rows], self.cut_off[rows]
        self.presences = [self.presences[row] for row in rows.tolist()]
        self.rows = {track_id: row for row, track_id in enumerate(track_ids)}

    def measure(
        self,
        track_ids: Sequence[int],
        profiles: Sequence[ClassProfile],
        placements: Placements,
        fixed_from_camera: RigidTransform,
        seconds: float,
    ) -> dict[int, int]:
        """Let tracks, known and new, take where they were found.

        Args:
            track_ids: M of them, each once.
            profiles: their classes'.
            placements: where they were found.
            fixed_from_camera: takes points to the frame of the filters.
            seconds: time of the frame.

        Returns:
            `Source` of each that was no outlier, by its ID.
        """
        measured = Measurements.of(placements, fixed_from_camera)
        new = [index for index, track_id in enumerate(track_ids) if track_id not in self.rows]
        if new:
            self._add([track_ids[index] for index in new], [profiles[index] for index in new], measured, new, seconds)
        rows = np.array([self.rows[track_id] for track_id in track_ids], np.intp)
        taken = np.ones(len(rows), np.bool_)
        if len(new) < len(rows):
            old = np.delete(np.arange(len(rows)), new)
            taken[old] = self.motion.correct(rows[old], measured.select(old))
        rows, index = rows[taken], np.flatnonzero(taken)
        self.axes[rows] = fixed_from_camera.rotation @ placements.axes[index]
        self.measured[rows], self.cut_off[rows] = seconds, placements.cut_off[index]
        self.sizes.correct(rows, placements.extent[index], placements.extent_std[index], seconds)
        sources = zip(index.tolist(), placements.source[index].tolist(), strict=True)
        return {track_ids[one]: source for one, source in sources}

    def _add(
        self,
        track_ids: Sequence[int],
        profiles: Sequence[ClassProfile],
        measured: Measurements,
        new: Sequence[int],
        seconds: float,
    ) -> None:
        """Begin tracks where they were found, `new` being their indices there."""
        table, count = ProfileTable.of(profiles), len(self.rows)
        self.motion.add(measured.select(np.array(new)), table)
        self.sizes.add(table, seconds)
        self.axes = np.concatenate([self.axes, np.zeros((len(new), 3, 3))])
        self.measured = np.concatenate([self.measured, np.zeros(len(new))])
        self.cut_off = np.concatenate([self.cut_off, np.zeros(len(new), np.bool_)])
        self.presences += [_Presence(profile, seconds) for profile in profiles]
        self.rows |= {track_id: row for row, track_id in enumerate(track_ids, count)}

    def expected(self, rows: Sequence[int], camera_from_fixed: RigidTransform) -> ExpectedPlaces:
        """Return where objects are expected now, each along the present line of sight."""
        motion, sizes = self.motion, self.sizes
        centres = camera_from_fixed.apply(motion.states[rows, :3])
        axes = camera_from_fixed.rotation @ self.axes[rows]
        up = axes[:, :, 2]
        forward = centres - (centres * up).sum(axis=1, keepdims=True) * up
        length = np.sqrt((forward * forward).sum(axis=1))
        far = length > _LEAST_DISTANCE
        axes[far, :, 0] = forward[far] / length[far, None]
        axes[far, :, 1] = cross(up, axes[:, :, 0])[far]
        turns = camera_from_fixed.rotation.T @ axes
        spreads = motion.spreads[rows, :3, :3] + motion.biases[rows]
        return ExpectedPlaces(
            centres=centres,
            axes=axes,
            extents=sizes.extents[rows],
            stds=np.sqrt((turns * (spreads @ turns)).sum(axis=1)),
        )

    def hide(self, rows: Sequence[int], view: FrameView, fixed_from_camera: RigidTransform, seconds: float) -> None:
        """Let objects be hidden in this frame, which shows their places."""
        presences = [self.presences[row] for row in rows]
        if any(one.belief is None for one in presences):
            for one, covered in zip(presences, view.covered().tolist(), strict=True):
                if one.belief is None:
                    one.known_occluder = covered >= _COVERED
        empty = view.empty(np.array([one.known_occluder for one in presences]))
        velocities = self.motion.states[rows, 3:] @ fixed_from_camera.rotation
        ends = emergences(view, velocities, [one.profile.max_speed for one in presences], fixed_from_camera)
        for one, is_empty, coming_out in zip(presences, empty, ends, strict=True):
            one.hide(is_empty, seconds)
            one.emergences = coming_out


def _located(
    found: Sequence[tuple[ImageTrack, int]], known: _Tracks, sources: Mapping[int, Source], seconds: float
) -> list[LocatedObject]:
    """Return what is published of tracks that have a place.

    Args:
        found: tracks, and their rows in `known`.
        known: what is known of them.
        sources: ways in which the positions were found of those that were in this frame, by ID.
        seconds: the time of the frame.
    """
    if not found:
        return []
    rows = np.array([row for _, row in found], np.intp)
    states = known.motion.states[rows]
    # A tuple of numbers and vectors for each, in the order of the fields.
    columns = zip(
        found,
        (seconds - known.measured[rows]).tolist(),
        states[:, :3],
        states[:, 3:],
        known.motion.covariances()[rows],
        quaternions(known.axes[rows]),
        known.sizes.extents[rows],
        np.sqrt(known.sizes.variances[rows]),
        known.cut_off[rows].tolist(),
        strict=True,
    )
    objects = []
    for (track, row), measured_s, position, velocity, covariance, orientation, size, size_std, cut_off in columns:
        presence = known.presences[row]
        unseen = track.state.hidden or track.state is State.ENDED
        objects.append(
            LocatedObject(
                track_id=track.track_id,
                state=track.state,
                class_id=track.class_id,
                class_name=track.class_name,
                score=track.score,
                existence=presence.existence,
                hidden_s=seconds - presence.seen if unseen else 0.0,
                measured_s=measured_s,
                source=sources.get(track.track_id, Source.PREDICTED),
                position=position,
                velocity=velocity,
                covariance=covariance,
                orientation=orientation,
                size=size,
                size_std=size_std,
                cut_off=cut_off,
                emergences=presence.emergences,
            )
        )
    return objects


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
