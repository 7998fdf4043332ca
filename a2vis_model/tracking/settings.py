"""Thresholds of tracks. Importable without anything that tracking needs, because weight files recommend some."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackSettings:
    """Thresholds of a track's life cycle. Scores are those of `SlotObservation`, times are frames."""

    start_score: float = 0.4
    """Lowest score at which a slot that shows no track's object starts a track."""
    keep_score: float = 0.2
    """Lowest score at which a slot can continue a track in a frame."""
    min_area: int = 16
    """Smallest mask that counts, in input pixels."""
    confirm_frames: int = 3
    """Visible frames after which a tentative track is confirmed."""
    max_occluded_frames: int = 300
    """Frames after which a hidden track ends."""
    max_lost_frames: int = 30
    """Frames after which a lost track ends."""
    idle_frames: int = 100
    """Frames without a track after which a slot of the network is reset.

    It may remember an object that is long gone, and a network whose state does not keep for long finds newcomers by
    fresh slots alone. One that is reset early forgets what it may have seen before a track started.
    """
    max_predicted_s: float = 0.0
    """Seconds, by stamps, for which the last full amodal mask of a hidden track is moved on; 0 for never.

    Off, because with the weights that ship most lost tracks are not hidden objects, and their masks false alarms.
    """
    duplicate_iou: float = 0.4
    """IoU of visible masks above which slots are duplicates; the slot of the highest score is kept."""
    duplicate_part: float = 0.6
    """Share of a slot's visible mask inside another's above which the two are duplicates."""
    match_iou: float = 0.1
    """Lowest IoU with a track's last visible mask at which a slot continues the track."""
    reappear_similarity: float = 0.65
    """Lowest cosine of prototypes at which a slot is a hidden track, or one that comes back."""
    least_part: float = 0.25
    """Connected parts of a mask smaller than this share of its largest part are removed as specks."""

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
        for name in ("min_area", "confirm_frames", "idle_frames"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}={value} must be 1 or more")
        for name in ("max_occluded_frames", "max_lost_frames", "max_predicted_s"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name}={value} must be 0 or more")
