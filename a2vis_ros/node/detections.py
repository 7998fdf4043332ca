"""vision_msgs/Detection2DArray from our messages, where that package is installed."""

import importlib
import importlib.util
from typing import Any

from ..msg import TrackedInstance, TrackedInstanceArray


class DetectionMaker:
    """Makes vision_msgs/Detection2DArray. Make one only where `available()`."""

    def __init__(self) -> None:
        self._types: Any = importlib.import_module("vision_msgs.msg")

    @staticmethod
    def available() -> bool:
        """Whether vision_msgs is installed."""
        return importlib.util.find_spec("vision_msgs") is not None

    @property
    def message_type(self) -> Any:
        """vision_msgs.msg.Detection2DArray"""
        return self._types.Detection2DArray

    def make(self, tracks: TrackedInstanceArray, box: str) -> Any:
        """The believed tracks with a box, that of the mask named: "visible" or "amodal". id is the track ID."""
        array = self._types.Detection2DArray(header=tracks.header)
        for instance in tracks.instances:
            believed = instance.state in (TrackedInstance.VISIBLE, TrackedInstance.OCCLUDED)
            roi = getattr(instance, box).roi
            if not believed or not roi.width:
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
