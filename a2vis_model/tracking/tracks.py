"""Life cycle of tracks: from slots of the network, frame by frame, to instances with persistent IDs. Needs no torch."""

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..masks.region import RegionMask
from .association import Cells, Motion, centre, duplicates, mask_iou, match, shifted, suppress
from .settings import TrackSettings
from .trail import LEAST_SEEN_S, Forecast, Trail

_PROTOTYPE_GAIN = 0.2
"""Weight of the newest prototype in a track's running mean; low, so that a few wrong frames change it little."""
_REACH = 1.5
"""Largest distance from the expected place at which a track may come back, in sizes of the object."""
_FADED = 0.5
"""Share of the area of a track's full mask below which the amodal mask of a slot is a remnant of it.

On clips of validation these overlap with the truth less than the full mask that is moved on, and larger ones more.
"""
_ANOTHER = 0.3
"""IoU with a lost track's expected mask from which a newcomer is taken for the same object."""
_REACH_GROWTH = 0.02
"""Relative growth of that distance with every frame in which the object was not drawn."""


class TrackState(enum.IntEnum):
    """State of a track in a frame."""

    TENTATIVE = 0
    """Seen in too few frames to be confirmed."""
    VISIBLE = 1
    """The object is at least partly visible."""
    OCCLUDED = 2
    """Hidden, but a slot still draws the amodal mask, which shows where."""
    LOST = 3
    """Hidden, and no slot draws it, or a remnant alone: its last full amodal mask is moved on, for a limited time."""
    ENDED = 4
    """Ended; reported once, in the track's last frame. The ID is not used again."""


@dataclass(frozen=True)
class SlotObservation:
    """The network's predictions for all Q slots in one frame."""

    classes: NDArray[np.int64]
    """[Q] most probable class."""
    scores: NDArray[np.float32]
    """[Q] probability of that class, times the certainty of the mask (see `masks.certainty`)."""
    existence: NDArray[np.float32]
    """[Q] probability that the slot holds any object, times the same."""
    visible_area: NDArray[np.int64] | None
    """[Q] area of the visible mask in input pixels; None where the network predicts none."""
    amodal_area: NDArray[np.int64] | None
    """[Q] area of the amodal mask in input pixels; None where the network predicts none."""
    visible: Cells | None
    """[Q, h, w] the visible masks on a coarse grid; None where the network predicts none."""
    amodal: Cells | None
    """[Q, h, w] the amodal masks, which contain the visible ones; None where the network predicts none."""
    prototypes: NDArray[np.float32]
    """[Q, C] unit vectors that distinguish the objects of slots; C is 0 where the network has none."""


@dataclass
class Memory:
    """What a track's object was like when its slot last drew it, and where it is moving."""

    visible: Cells
    """[h, w] the last non-empty visible mask."""
    whole: Cells
    """[h, w] the last amodal mask; the visible one where the network predicts none."""
    motion: Motion
    """Motion of `whole`."""
    prototype: NDArray[np.float32]
    """[C] running mean of the prototypes of the slots that showed the object, of unit length."""
    trail: Trail
    """Amodal masks of the last second in which the object was seen."""
    frames: int = 0
    """Age of `whole` and `motion` in frames."""

    def predicted(self, mask: Cells) -> Cells:
        """Return one of the masks where it is expected in the next frame, at constant velocity."""
        return shifted(mask, self.motion.velocity * (self.frames + 1))

    def draw(self, whole: Cells) -> None:
        """Take the amodal mask of the next frame."""
        self.motion.observe(whole, self.frames + 1)
        self.whole, self.frames = whole, 0

    def resemble(self, prototype: NDArray[np.float32]) -> None:
        """Add a prototype [C] of the object to the running mean."""
        mean = self.prototype + _PROTOTYPE_GAIN * (prototype - self.prototype)
        self.prototype = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)


@dataclass
class Track:
    """One object through time."""

    track_id: int
    slot: int
    """Slot that shows or draws the object, or last did; it may change."""
    state: TrackState
    class_id: int
    score: float
    existence: float
    memory: Memory
    age: int = 0
    """Number of frames since the track started."""
    frames_visible: int = 1
    frames_since_visible: int = 0
    frames_lost: int = 0
    forecast: Forecast | None = None
    """Where a lost track's full mask has moved to; None in other states, and when that mask is too old."""


@dataclass(frozen=True)
class TrackedInstance:
    """A track in one frame, as it is published. Masks and boxes are in image pixels."""

    track_id: int
    slot: int
    state: TrackState
    class_id: int
    class_name: str
    score: float
    """Probability of the class."""
    existence: float
    """Probability that there is an object of any class."""
    age: int
    frames_since_visible: int
    visible: RegionMask | None
    """Visible mask; None where the network predicts no visible masks."""
    amodal: RegionMask | None
    """Amodal mask, which contains `visible`; None where the network predicts no amodal masks."""

    @property
    def occlusion(self) -> float:
        """Hidden share of the amodal mask in [0, 1]; 0 where one of the masks is not predicted."""
        if self.visible is None or self.amodal is None or not self.amodal.area:
            return 0.0
        return 1.0 - self.visible.area / self.amodal.area


@dataclass(frozen=True)
class FrameResult:
    """The tracked instances of one frame."""

    index: int
    """Number of the frame among those pushed since the tracker was made, from 0."""
    timestamp: float
    """Timestamp in seconds that was pushed with the frame."""
    epoch: int
    """Number of the epoch. Tracks of different epochs are unrelated."""
    height: int
    """Height of the image in pixels."""
    width: int
    instances: tuple[TrackedInstance, ...]
    """Every live track, including hidden ones; an ended track is reported once more."""


class TrackManager:
    """Turns observations of slots into tracks. IDs increase and are never reused.

    A slot is no identity: two slots may show one object, and an object may move to another slot. Tracks therefore
    follow masks, in rounds, each on what the previous rounds have left:

    1. Slots that show an object of their own continue the tracks that were seen in the previous frame, by the overlap
       of visible masks.
    2. Of the other slots that show an object, some are tracks that come back: their prototypes are similar, and they
       are where the track was last seen, or where constant velocity takes it.
    3. Remaining slots with a sufficient score start tracks.
    4. Slots that show nothing but draw an amodal mask are hidden tracks, by the criterion of the second round.

    Args:
        settings: the thresholds.
    """

    def __init__(self, settings: TrackSettings) -> None:
        self.settings = settings
        self._next_id = 1
        self._tracks: list[Track] = []
        self._unheld = np.zeros(0, np.int64)
        self._released: set[int] = set()

    @property
    def tracks(self) -> list[Track]:
        """All live tracks, oldest first."""
        return list(self._tracks)

    def reset(self) -> None:
        """Forget all tracks; IDs are not reused."""
        self._tracks.clear()
        self._released.clear()
        self._unheld[:] = 0

    def least_scores(self, slots: int) -> NDArray[np.float32]:
        """Return [slots] the score below which no track takes a slot in the next frame."""
        return np.full(slots, self.settings.keep_score, np.float32)

    def update(self, observation: SlotObservation, seconds: float) -> list[Track]:
        """Advance by one frame.

        Call it for every frame, even when nothing is in view, because hidden tracks age with each call.

        Args:
            observation: what the network says of the frame.
            seconds: the frame's stamp, by which hidden objects move on; equal stamps tell no velocity.

        Returns:
            The tracks of this frame, oldest first; those in state ENDED are removed.
        """
        frame = _Frame.of(observation, seconds, self.settings)
        shown = self._follow(frame)
        born = self._start(frame, shown)
        drawn = self._place(frame, {**shown, **{track.track_id: track.slot for track in born}})
        for track in self._tracks:
            track.age += 1
            if track.track_id in shown:
                self._see(track, shown[track.track_id], frame)
            else:
                self._miss(track, drawn.get(track.track_id), frame)
        current = self._tracks + born
        for track in current:
            if track.forecast is not None and _came_back_as_another(track, current):
                track.forecast = None
        self._tracks = [track for track in current if track.state is not TrackState.ENDED]
        self._release(len(observation.scores), {t.slot for t in current if t.state is TrackState.ENDED})
        return current

    def take_released(self) -> list[int]:
        """Return slots, in order, that the network may reset: their track has ended, or no track held them for long."""
        held = {track.slot for track in self._tracks}
        released, self._released = sorted(self._released - held), set()
        return released

    def _follow(self, frame: "_Frame") -> dict[int, int]:
        """Return the slots that show tracks, by track ID."""
        free, followed = frame.shown, dict[int, int]()
        before = [track for track in self._tracks if not track.frames_since_visible]
        if before and free:
            expected = np.stack([track.memory.predicted(track.memory.visible) for track in before])
            overlap = mask_iou(expected, frame.visible[free])
            followed |= _pairs(before, free, overlap, self.settings.match_iou)
        return followed | self._recognise(frame, followed, free)

    def _place(self, frame: "_Frame", taken: dict[int, int]) -> dict[int, int]:
        """Return the slots that draw hidden tracks, by track ID."""
        return self._recognise(frame, taken, frame.hidden)

    def _recognise(self, frame: "_Frame", taken: dict[int, int], slots: list[int]) -> dict[int, int]:
        """Match slots that are not taken with the other tracks; return slots by track ID."""
        used = set(taken.values())
        free = [slot for slot in slots if slot not in used]
        tracks = [track for track in self._tracks if track.track_id not in taken]
        if not tracks or not free:
            return {}
        return _pairs(tracks, free, self._likeness(tracks, free, frame), self.settings.reappear_similarity)

    def _likeness(self, tracks: list[Track], slots: list[int], frame: "_Frame") -> NDArray[np.float32]:
        """Compute the similarity of tracks and slots [N, M].

        It is the cosine of prototypes, plus up to 1 where masks overlap. It is 0 where the cosine alone is too low, or
        where the slot is too far from the track's expected place. A hidden object may have stopped, and the velocity of
        one that was seen for a few frames says little: it is expected where its velocity takes it, and where it was.
        """
        memories = [track.memory for track in tracks]
        if frame.prototypes.shape[1]:
            alike = np.stack([memory.prototype for memory in memories]) @ frame.prototypes[slots].T
        else:
            alike = np.equal.outer([track.class_id for track in tracks], frame.classes[slots]).astype(np.float32)
        moved = np.stack([memory.predicted(memory.whole) for memory in memories])
        stopped = np.stack([memory.whole for memory in memories])
        whole = frame.whole[slots]
        overlap = np.maximum(mask_iou(moved, whole), mask_iou(stopped, whole))
        places = np.stack([[memory.motion.after(memory.frames + 1), memory.motion.position] for memory in memories])
        distance = np.linalg.norm(places[:, :, None] - np.stack([centre(mask) for mask in whole]), axis=-1).min(axis=1)
        reach = np.array([_reach(memory) for memory in memories])
        possible = (alike >= self.settings.reappear_similarity) & (distance < reach[:, None])
        return np.where(possible, alike + overlap, 0.0).astype(np.float32)

    def _see(self, track: Track, slot: int, frame: "_Frame") -> None:
        track.slot = slot
        track.class_id = int(frame.classes[slot])
        track.score, track.existence = float(frame.scores[slot]), float(frame.existence[slot])
        track.frames_visible += 1
        track.frames_since_visible = track.frames_lost = 0
        track.state = self._seen_state(track.frames_visible)
        track.memory.visible = frame.visible[slot]
        track.forecast = None
        track.memory.draw(frame.whole[slot])
        track.memory.trail.see(frame.whole[slot], frame.seconds)
        track.memory.resemble(frame.prototypes[slot])

    def _miss(self, track: Track, slot: int | None, frame: "_Frame") -> None:
        """Advance a track that is not seen in this frame; `slot` draws its amodal mask, or is None."""
        settings = self.settings
        trail = track.memory.trail
        forecast = trail.forecast(frame.seconds)
        predicted = trail.seen_s >= LEAST_SEEN_S and frame.seconds - forecast.full.seconds < settings.max_predicted_s
        track.frames_since_visible += 1
        if slot is None:
            track.frames_lost += 1
            track.memory.frames += 1
        else:
            track.frames_lost = 0
            track.slot = slot
            track.score, track.existence = float(frame.scores[slot]), float(frame.existence[slot])
            track.memory.draw(frame.whole[slot])
            predicted &= bool(frame.whole[slot].sum() < _FADED * forecast.full.area)
        track.state = TrackState.LOST if slot is None or predicted else TrackState.OCCLUDED
        track.forecast = forecast if predicted else None
        over = track.frames_since_visible > settings.max_occluded_frames or track.frames_lost > settings.max_lost_frames
        if over or track.frames_visible < settings.confirm_frames:
            track.state, track.forecast = TrackState.ENDED, None

    def _start(self, frame: "_Frame", taken: dict[int, int]) -> list[Track]:
        """Start tracks for slots that show an object which no track follows."""
        settings, used = self.settings, list(taken.values())
        born = []
        for slot in frame.shown:
            if slot in used or frame.scores[slot] < settings.start_score or frame.same[slot, used].any():
                continue
            whole = frame.whole[slot]
            trail = Trail()
            trail.see(whole, frame.seconds)
            memory = Memory(frame.visible[slot], whole, Motion.at(whole), frame.prototypes[slot], trail)
            born.append(
                Track(
                    track_id=self._next_id,
                    slot=slot,
                    state=self._seen_state(1),
                    class_id=int(frame.classes[slot]),
                    score=float(frame.scores[slot]),
                    existence=float(frame.existence[slot]),
                    memory=memory,
                )
            )
            self._next_id += 1
            used.append(slot)
        return born

    def _seen_state(self, frames_visible: int) -> TrackState:
        return TrackState.VISIBLE if frames_visible >= self.settings.confirm_frames else TrackState.TENTATIVE

    def _release(self, slots: int, ended: set[int]) -> None:
        """Note which slots are free after a frame."""
        if len(self._unheld) != slots:
            self._unheld = np.zeros(slots, np.int64)
        self._unheld += 1
        self._unheld[[track.slot for track in self._tracks]] = 0
        idle = np.flatnonzero(self._unheld >= self.settings.idle_frames)
        self._unheld[idle] = 0
        self._released |= ended | set(idle.tolist())


def _pairs(tracks: list[Track], slots: list[int], affinity: NDArray[np.float32], least: float) -> dict[int, int]:
    """Match tracks and slots one to one for the greatest sum; return slots by track ID."""
    return {tracks[row].track_id: slots[column] for row, column in match(affinity, least)}


def _came_back_as_another(track: Track, tracks: list[Track]) -> bool:
    """Return whether a track that began since is seen where a lost one is expected: the same object with a new ID."""
    assert track.forecast is not None
    since = [
        other.memory.whole
        for other in tracks
        if not other.frames_since_visible and other.age < track.frames_since_visible
    ]
    return bool(since) and bool(mask_iou(track.forecast.whole[None], np.stack(since)).max() >= _ANOTHER)


def _reach(memory: Memory) -> float:
    """Return the distance in cells from its expected place at which a track may come back.

    It is greater for large objects, and grows with time.
    """
    return _REACH * math.sqrt(memory.whole.sum()) * (1 + _REACH_GROWTH * memory.frames)


@dataclass(frozen=True)
class _Frame:
    """The part of an observation that tracks use."""

    seconds: float
    """Stamp of the frame."""
    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    existence: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    visible: Cells
    """[Q, h, w] visible masks; amodal ones where the network predicts no others."""
    whole: Cells
    """[Q, h, w] amodal masks; visible ones where the network predicts no others."""
    same: NDArray[np.bool_]
    """[Q, Q] which slots show the same object."""
    shown: list[int]
    """Slots that show an object, by falling score; of duplicates only the one with the highest score."""
    hidden: list[int]
    """Slots that show nothing and draw an amodal mask."""

    @classmethod
    def of(cls, seen: SlotObservation, seconds: float, settings: TrackSettings) -> "_Frame":
        masks = [cells for cells in (seen.visible, seen.amodal) if cells is not None]
        areas = [area for area in (seen.visible_area, seen.amodal_area) if area is not None]
        sure = seen.scores >= settings.keep_score
        visible, drawn = (sure & (area >= settings.min_area) for area in (areas[0], areas[-1]))
        same = np.zeros((len(sure), len(sure)), np.bool_)
        slots = np.flatnonzero(visible)
        same[np.ix_(slots, slots)] = duplicates(masks[0][slots], settings.duplicate_iou, settings.duplicate_part)
        # Amodal masks of two objects may coincide, so that without visible masks no slot is suppressed; a duplicate
        # merely starts no track.
        rivals = same if seen.visible is not None else np.zeros_like(same)
        shown = slots[suppress(seen.scores[slots], rivals[np.ix_(slots, slots)])]
        return cls(
            seconds,
            seen.classes,
            seen.scores,
            seen.existence,
            seen.prototypes,
            visible=masks[0],
            whole=masks[-1],
            same=same,
            shown=shown.tolist(),
            hidden=[slot for slot in np.flatnonzero(drawn).tolist() if slot not in shown],
        )
