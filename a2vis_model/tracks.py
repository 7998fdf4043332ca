"""The life of tracks: from slots of the network, frame by frame, to instances with persistent IDs. No torch."""

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .masks import RegionMask


class TrackState(enum.IntEnum):
    """What is known of a track in a frame."""

    TENTATIVE = 0
    """Seen too few times to be believed."""
    VISIBLE = 1
    """At least partly visible."""
    OCCLUDED = 2
    """Hidden; its amodal mask says where."""
    LOST = 3
    """Neither visible nor placed, but its slot still remembers it."""
    ENDED = 4
    """Said once, in the track's last frame; the ID does not come back."""


@dataclass(frozen=True)
class TrackSettings:
    """Thresholds of a track's life. Scores are probabilities, times are frames."""

    start_score: float = 0.8
    """A free slot starts a track at this score and above."""
    keep_score: float = 0.5
    """A track is present in a frame at this score and above."""
    min_area: int = 16
    """Input pixels a mask needs to count."""
    confirm_frames: int = 2
    """Visible frames after which a tentative track is believed."""
    max_occluded_frames: int = 300
    """A track hidden for longer than this ends."""
    max_lost_frames: int = 30
    """A track lost for longer than this ends."""
    duplicate_iou: float = 0.3
    """Of tracks whose visible masks overlap by more than this the oldest is the object; others end or do not start."""
    least_part: float = 0.25
    """Connected parts of a mask smaller than this share of its largest are taken for specks and left out."""

    def __post_init__(self) -> None:
        for name in ("start_score", "keep_score", "duplicate_iou", "least_part"):
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
    overlap: NDArray[np.float32]
    """[Q, Q] IoU of the slots' masks, visible where there are such."""


@dataclass
class Track:
    """One object through time."""

    track_id: int
    slot: int
    state: TrackState
    class_id: int
    score: float
    existence: float
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

    Args:
        settings: the thresholds.
    """

    def __init__(self, settings: TrackSettings) -> None:
        self.settings = settings
        self._next_id = 1
        self._tracks: dict[int, Track] = {}

    @property
    def tracks(self) -> list[Track]:
        """All live tracks, oldest first."""
        return sorted(self._tracks.values(), key=lambda track: track.track_id)

    def reset(self) -> None:
        """Forget all tracks; IDs go on counting."""
        self._tracks.clear()

    def least_scores(self, slots: int) -> NDArray[np.float32]:
        """[slots] the score below which a slot has no track in the next frame; 0 where it has one."""
        least = np.full(slots, max(self.settings.start_score, self.settings.keep_score), np.float32)
        least[list(self._tracks)] = 0
        return least

    def update(self, observation: SlotObservation) -> list[Track]:
        """Advance by one frame.

        Call it for every frame, also when nothing is in view: hidden tracks age by it.

        Returns:
            the tracks of this frame, oldest first. Those in state ENDED are out; their slots are free.
        """
        visible, amodal = self._presence(observation)
        for slot, track in self._tracks.items():
            track.score = float(observation.scores[slot])
            track.existence = float(observation.existence[slot])
            if visible[slot]:
                track.class_id = int(observation.classes[slot])
            self._advance(track, visible=bool(visible[slot]), placed=bool(amodal[slot]))
        if observation.visible_area is not None:  # amodal masks of two objects may well be the same
            self._end_duplicates(observation.overlap, visible)
        self._start_tracks(observation, visible)
        current = self.tracks
        self._tracks = {t.slot: t for t in current if t.state is not TrackState.ENDED}
        return current

    def _presence(self, observation: SlotObservation) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which slots are visible, and which have an amodal mask, in this frame."""
        present = observation.scores >= self.settings.keep_score
        areas = [
            np.zeros_like(present) if area is None else present & (area >= self.settings.min_area)
            for area in (observation.visible_area, observation.amodal_area)
        ]
        visible, amodal = areas
        # A network with amodal masks alone cannot tell hidden from visible.
        return (amodal if observation.visible_area is None else visible), amodal

    def _advance(self, track: Track, *, visible: bool, placed: bool) -> None:
        settings = self.settings
        track.age += 1
        confirmed = track.frames_visible >= settings.confirm_frames
        if visible:
            track.frames_visible += 1
            track.frames_since_visible = track.frames_lost = 0
            confirmed = track.frames_visible >= settings.confirm_frames
            track.state = TrackState.VISIBLE if confirmed else TrackState.TENTATIVE
            return
        track.frames_since_visible += 1
        track.frames_lost = 0 if placed else track.frames_lost + 1
        over = track.frames_since_visible > settings.max_occluded_frames or track.frames_lost > settings.max_lost_frames
        if over or not confirmed:
            track.state = TrackState.ENDED
        else:
            track.state = TrackState.OCCLUDED if placed else TrackState.LOST

    def _end_duplicates(self, overlap: NDArray[np.float32], visible: NDArray[np.bool_]) -> None:
        """End the younger of tracks that show the same pixels: a pixel shows one object."""
        seen: list[int] = []
        for track in self.tracks:
            if track.state is TrackState.ENDED or not visible[track.slot]:
                continue
            if (overlap[track.slot, seen] > self.settings.duplicate_iou).any():
                track.state = TrackState.ENDED
            else:
                seen.append(track.slot)

    def _start_tracks(self, observation: SlotObservation, visible: NDArray[np.bool_]) -> None:
        settings = self.settings
        candidates = np.flatnonzero(visible & (observation.scores >= settings.start_score))
        for slot in sorted(candidates.tolist(), key=lambda slot: -observation.scores[slot]):
            if slot in self._tracks:
                continue
            live = [s for s, track in self._tracks.items() if track.state is not TrackState.ENDED]
            if (observation.overlap[slot, live] > settings.duplicate_iou).any():
                continue
            self._tracks[slot] = Track(
                track_id=self._next_id,
                slot=slot,
                state=TrackState.VISIBLE if settings.confirm_frames == 1 else TrackState.TENTATIVE,
                class_id=int(observation.classes[slot]),
                score=float(observation.scores[slot]),
                existence=float(observation.existence[slot]),
            )
            self._next_id += 1
