"""The life of tracks: from slots of the network, frame by frame, to instances with persistent IDs. No torch."""

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..masks.region import RegionMask
from .association import Cells, Motion, centre, duplicates, mask_iou, match, shifted, suppress

IDLE_FRAMES = 100
"""A slot that no track has held for so long is given back: it may remember what is long gone."""
_PROTOTYPE_GAIN = 0.2
"""Share of the newest prototype in a track's running mean: a few frames on something else do not change it much."""
_REACH = 1.5
"""Sizes of an object within which of its expected place it may come back,"""
_REACH_GROWTH = 0.02
"""and by which share of that this grows with every frame in which it was not drawn."""


class TrackState(enum.IntEnum):
    """What is known of a track in a frame."""

    TENTATIVE = 0
    """Seen too few times to be believed."""
    VISIBLE = 1
    """At least partly visible."""
    OCCLUDED = 2
    """Hidden; a slot still draws its amodal mask, which says where."""
    LOST = 3
    """Hidden too, but no slot draws it: it is expected near its last place, and known again by its prototype."""
    ENDED = 4
    """Said once, in the track's last frame; the ID does not come back."""


@dataclass(frozen=True)
class TrackSettings:
    """Thresholds of a track's life. Scores are probabilities, times are frames."""

    start_score: float = 0.8
    """A slot that shows what no track is starts one at this score and above."""
    keep_score: float = 0.5
    """A slot can be a track in a frame at this score and above."""
    min_area: int = 16
    """Input pixels a mask needs to count."""
    confirm_frames: int = 3
    """Visible frames after which a tentative track is believed."""
    max_occluded_frames: int = 300
    """A track hidden for longer than this ends."""
    max_lost_frames: int = 30
    """A track lost for longer than this ends."""
    duplicate_iou: float = 0.4
    """Of slots whose visible masks overlap by more than this the surest shows the object; the others are left out."""
    duplicate_part: float = 0.6
    """So they are where a larger share than this of one's visible mask lies inside the other's."""
    match_iou: float = 0.1
    """A slot goes on with a track whose last visible mask its own overlaps by this and more."""
    reappear_similarity: float = 0.65
    """A slot is a hidden track, or one that comes back, if the cosine of their prototypes is this and more."""
    least_part: float = 0.25
    """Connected parts of a mask smaller than this share of its largest are taken for specks and left out."""

    def __post_init__(self) -> None:
        for name in (
            "start_score",
            "keep_score",
            "duplicate_iou",
            "duplicate_part",
            "match_iou",
            "reappear_similarity",
            "least_part",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value} is not in [0, 1]")
        for name in ("min_area", "confirm_frames"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}={value} must be 1 or more")
        for name in ("max_occluded_frames", "max_lost_frames"):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f"{name}={value} must be 0 or more")


@dataclass(frozen=True)
class SlotObservation:
    """What the network says of all Q slots in one frame."""

    classes: NDArray[np.int64]
    """[Q] most probable class."""
    scores: NDArray[np.float32]
    """[Q] its probability."""
    existence: NDArray[np.float32]
    """[Q] probability that the slot holds any object."""
    visible_area: NDArray[np.int64] | None
    """[Q] area of the visible mask in input pixels; None where the network predicts none."""
    amodal_area: NDArray[np.int64] | None
    """[Q] area of the amodal mask in input pixels; None where the network predicts none."""
    visible: Cells | None
    """[Q, h, w] the visible masks on a coarse grid; None where the network predicts none."""
    amodal: Cells | None
    """[Q, h, w] the amodal masks, which contain the visible ones; None where the network predicts none."""
    prototypes: NDArray[np.float32]
    """[Q, C] what the network tells the slots' objects apart by, of unit length; C is 0 where it has nothing."""


@dataclass
class Memory:
    """What a track's object was like when its slot last drew it, and where it is going."""

    visible: Cells
    """[h, w] the last visible mask that is not empty."""
    whole: Cells
    """[h, w] the last amodal mask; the visible one where the network predicts none."""
    motion: Motion
    """Of `whole`."""
    prototype: NDArray[np.float32]
    """[C] running mean of the prototypes of the slots that showed the object, of unit length."""
    frames: int = 0
    """How old `whole` and `motion` are."""

    def predicted(self, mask: Cells) -> Cells:
        """One of the masks where it is expected in the frame to come, at constant velocity."""
        return shifted(mask, self.motion.velocity * (self.frames + 1))

    def draw(self, whole: Cells) -> None:
        """Take the amodal mask of the next frame."""
        self.motion.observe(whole, self.frames + 1)
        self.whole, self.frames = whole, 0

    def resemble(self, prototype: NDArray[np.float32]) -> None:
        """Take a prototype [C] of the object into the mean."""
        mean = self.prototype + _PROTOTYPE_GAIN * (prototype - self.prototype)
        self.prototype = np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)


@dataclass
class Track:
    """One object through time."""

    track_id: int
    slot: int
    """The slot that shows or draws the object, or last did; not the same for ever."""
    state: TrackState
    class_id: int
    score: float
    existence: float
    memory: Memory
    age: int = 0
    """Frames since the track started."""
    frames_visible: int = 1
    frames_since_visible: int = 0
    frames_lost: int = 0


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
    """None where the network predicts no visible masks."""
    amodal: RegionMask | None
    """Contains `visible`; None where the network predicts no amodal masks."""

    @property
    def occlusion(self) -> float:
        """Hidden share of the amodal mask in [0, 1]; 0 where one of the masks is not predicted."""
        if self.visible is None or self.amodal is None or not self.amodal.area:
            return 0.0
        return 1.0 - self.visible.area / self.amodal.area


class TrackManager:
    """Turns observations of slots into tracks. IDs count up and are never used twice.

    A slot is no identity: two slots may show one object, and an object may move to another slot. So tracks follow
    masks, in rounds, each on what the rounds before have left:

    1. Slots that show an object of their own go on with the tracks that were seen in the frame before, by the overlap
       of visible masks.
    2. Of the other slots that show one, some are tracks that come back: their prototypes are alike, and they are where
       constant velocity takes the track.
    3. What is left and sure enough starts tracks.
    4. Slots that show nothing but draw an amodal mask are hidden tracks, by the measure of the second round.

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
        """Forget all tracks; IDs go on counting."""
        self._tracks.clear()
        self._released.clear()
        self._unheld[:] = 0

    def least_scores(self, slots: int) -> NDArray[np.float32]:
        """[slots] the score below which no track takes a slot in the next frame."""
        return np.full(slots, self.settings.keep_score, np.float32)

    def update(self, observation: SlotObservation) -> list[Track]:
        """Advance by one frame.

        Call it for every frame, also when nothing is in view: hidden tracks age by it.

        Returns:
            the tracks of this frame, oldest first. Those in state ENDED are out.
        """
        frame = _Frame.of(observation, self.settings)
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
        self._tracks = [track for track in current if track.state is not TrackState.ENDED]
        self._release(len(observation.scores), {t.slot for t in current if t.state is TrackState.ENDED})
        return current

    def take_released(self) -> list[int]:
        """Slots, in order, that the network may have back: their track has ended, or no track held them for long."""
        held = {track.slot for track in self._tracks}
        released, self._released = sorted(self._released - held), set()
        return released

    def _follow(self, frame: "_Frame") -> dict[int, int]:
        """The slots that show tracks, by the tracks' IDs."""
        free, followed = frame.shown, dict[int, int]()
        before = [track for track in self._tracks if not track.frames_since_visible]
        if before and free:
            expected = np.stack([track.memory.predicted(track.memory.visible) for track in before])
            overlap = mask_iou(expected, frame.visible[free])
            followed |= _pairs(before, free, overlap, self.settings.match_iou)
        return followed | self._recognise(frame, followed, free)

    def _place(self, frame: "_Frame", taken: dict[int, int]) -> dict[int, int]:
        """The slots that draw hidden tracks, by the tracks' IDs."""
        return self._recognise(frame, taken, frame.hidden)

    def _recognise(self, frame: "_Frame", taken: dict[int, int], slots: list[int]) -> dict[int, int]:
        """Which of the slots, none of them taken, are which of the other tracks."""
        used = set(taken.values())
        free = [slot for slot in slots if slot not in used]
        tracks = [track for track in self._tracks if track.track_id not in taken]
        if not tracks or not free:
            return {}
        return _pairs(tracks, free, self._likeness(tracks, free, frame), self.settings.reappear_similarity)

    def _likeness(self, tracks: list[Track], slots: list[int], frame: "_Frame") -> NDArray[np.float32]:
        """[N, M] how much slots are like tracks: the cosine of prototypes, and up to 1 more where masks overlap.

        0 where that of prototypes alone is too little, or where the slot is too far from the track's expected place.
        """
        memories = [track.memory for track in tracks]
        if frame.prototypes.shape[1]:
            alike = np.stack([memory.prototype for memory in memories]) @ frame.prototypes[slots].T
        else:
            alike = np.equal.outer([track.class_id for track in tracks], frame.classes[slots]).astype(np.float32)
        overlap = mask_iou(np.stack([memory.predicted(memory.whole) for memory in memories]), frame.whole[slots])
        expected = np.stack([memory.motion.after(memory.frames + 1) for memory in memories])
        distance = np.linalg.norm(expected[:, None] - [centre(frame.whole[slot]) for slot in slots], axis=-1)
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
        track.memory.draw(frame.whole[slot])
        track.memory.resemble(frame.prototypes[slot])

    def _miss(self, track: Track, slot: int | None, frame: "_Frame") -> None:
        """The track is not seen in this frame; a slot draws it all the same, or none does."""
        settings = self.settings
        track.frames_since_visible += 1
        if slot is None:
            track.frames_lost += 1
            track.memory.frames += 1
            track.state = TrackState.LOST
        else:
            track.frames_lost = 0
            track.slot = slot
            track.score, track.existence = float(frame.scores[slot]), float(frame.existence[slot])
            track.memory.draw(frame.whole[slot])
            track.state = TrackState.OCCLUDED
        over = track.frames_since_visible > settings.max_occluded_frames or track.frames_lost > settings.max_lost_frames
        if over or track.frames_visible < settings.confirm_frames:
            track.state = TrackState.ENDED

    def _start(self, frame: "_Frame", taken: dict[int, int]) -> list[Track]:
        """New tracks for slots that show an object which no track is."""
        settings, used = self.settings, list(taken.values())
        born = []
        for slot in frame.shown:
            if slot in used or frame.scores[slot] < settings.start_score or frame.same[slot, used].any():
                continue
            whole = frame.whole[slot]
            memory = Memory(frame.visible[slot], whole, Motion.at(whole), frame.prototypes[slot])
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
        idle = np.flatnonzero(self._unheld >= IDLE_FRAMES)
        self._unheld[idle] = 0
        self._released |= ended | set(idle.tolist())


def _pairs(tracks: list[Track], slots: list[int], affinity: NDArray[np.float32], least: float) -> dict[int, int]:
    """The best pairs of tracks and slots, one to one: slots by the tracks' IDs."""
    return {tracks[row].track_id: slots[column] for row, column in match(affinity, least)}


def _reach(memory: Memory) -> float:
    """Cells from its expected place at which a track may come back: more for large objects, and with time."""
    return _REACH * math.sqrt(memory.whole.sum()) * (1 + _REACH_GROWTH * memory.frames)


@dataclass(frozen=True)
class _Frame:
    """What tracks take of an observation."""

    classes: NDArray[np.int64]
    scores: NDArray[np.float32]
    existence: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    visible: Cells
    """[Q, h, w] visible masks; amodal ones where the network predicts no others."""
    whole: Cells
    """[Q, h, w] amodal masks; visible ones where the network predicts no others."""
    same: NDArray[np.bool_]
    """[Q, Q] which slots show the same."""
    shown: list[int]
    """Slots that show an object, surest first; of those that show the same the surest alone."""
    hidden: list[int]
    """Slots that show nothing and draw an amodal mask."""

    @classmethod
    def of(cls, seen: SlotObservation, settings: TrackSettings) -> "_Frame":
        masks = [cells for cells in (seen.visible, seen.amodal) if cells is not None]
        areas = [area for area in (seen.visible_area, seen.amodal_area) if area is not None]
        sure = seen.scores >= settings.keep_score
        visible, drawn = (sure & (area >= settings.min_area) for area in (areas[0], areas[-1]))
        same = np.zeros((len(sure), len(sure)), np.bool_)
        slots = np.flatnonzero(visible)
        same[np.ix_(slots, slots)] = duplicates(masks[0][slots], settings.duplicate_iou, settings.duplicate_part)
        # Amodal masks of two objects may well be the same, so without visible ones nothing is left out; only no track
        # starts where there is one.
        rivals = same if seen.visible is not None else np.zeros_like(same)
        shown = slots[suppress(seen.scores[slots], rivals[np.ix_(slots, slots)])]
        return cls(
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
