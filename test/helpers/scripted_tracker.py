"""A tracker that says what it was given: for tests of all that is around the model."""

import numpy as np

from a2vis_model import FrameResult, RegionMask, TrackedInstance, TrackSettings, TrackState
from a2vis_ros.stream.image_decoding import Pixels


def instance(track_id: int = 1, state: TrackState = TrackState.VISIBLE, **changes: object) -> TrackedInstance:
    """A track with a mask of 3 x 2 pixels at (1, 1) and a larger amodal one."""
    visible, amodal = (
        RegionMask.crop(np.ones((rows, 3), np.bool_), x=1, y=1, image_height=10, image_width=10) for rows in (2, 4)
    )
    values: dict[str, object] = {
        "track_id": track_id,
        "slot": 0,
        "state": state,
        "class_id": 0,
        "class_name": "thing",
        "score": 0.75,
        "existence": 0.5,
        "age": 3,
        "frames_since_visible": 0,
        "visible": visible,
        "amodal": amodal,
    }
    return TrackedInstance(**{**values, **changes})  # type: ignore[arg-type]


class ScriptedTracker:
    """Decides `stride` frames at a time; an image whose first pixel is 66 makes it fail."""

    def __init__(self, stride: int = 1) -> None:
        self.epoch = 0
        self.settings: TrackSettings | None = None
        self._stride = stride
        self._frames = 0
        self._open: list[FrameResult] = []

    def push(self, image: Pixels, timestamp: float) -> list[FrameResult]:
        if image[0, 0, 0] == 66:
            raise RuntimeError("the model failed")
        height, width = image.shape[:2]
        self._open.append(FrameResult(self._frames, timestamp, self.epoch, height, width, (instance(),)))
        self._frames += 1
        return self.flush() if len(self._open) >= self._stride else []

    def flush(self) -> list[FrameResult]:
        done, self._open = self._open, []
        return done

    def reset(self) -> None:
        self.epoch += 1
        self._open = []

    def set_stride(self, stride: int) -> None:
        self._stride = stride

    def set_track_settings(self, settings: TrackSettings) -> None:
        self.settings = settings
