"""Conversion of our messages to vision_msgs/Detection2DArray, where vision_msgs is installed."""

import importlib
import importlib.util
from typing import Any

from ..msg import TrackedInstance, TrackedInstanceArray


class DetectionMaker:
    """Makes vision_msgs/Detection2DArray messages. Create it only if `available()`."""

    def __init__(self) -> None:
        self._types: Any = importlib.import_module("vision_msgs.msg")

    @staticmethod
    def available() -> bool:
        """Return whether vision_msgs is installed."""
        return importlib.util.find_spec("vision_msgs") is not None

    @property
    def message_type(self) -> Any:
        """The class vision_msgs.msg.Detection2DArray."""
        return self._types.Detection2DArray

    def make(self, tracks: TrackedInstanceArray, box: str) -> Any:
        """Convert the confirmed tracks that have a box; `box` names its mask, "visible" or "amodal".

        The id is the track ID.
        """
        array = self._types.Detection2DArray(header=tracks.header)
        for instance in tracks.instances:
            confirmed = instance.state in (TrackedInstance.VISIBLE, TrackedInstance.OCCLUDED)
            roi = getattr(instance, box).roi
            if not confirmed or not roi.width:
                continue
            hypothesis = self._types.ObjectHypothesisWithPose()
            hypothesis.hypothesis.class_id = instance.class_name
            hypothesis.hypothesis.score = instance.score
            detection = self._types.Detection2D(header=tracks.header, id=str(instance.track_id), results=[hypothesis])
            detection.bbox.center.position.x = roi.x_offset + roi.width / 2
            detection.bbox.center.position.y = roi.y_offset + roi.height / 2
            detection.bbox.size_x, detection.bbox.size_y = float(roi.width), float(roi.height)
            array.detections.append(detection)
        return array
