"""Topics of other packages' messages beside ~/objects, each where its package is installed and somebody listens."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

from ..msg import ClassNames, TrackedInstance, TrackedInstanceArray, TrackedObject, TrackedObjectArray
from ..planner.mask_messages import mask_from_message
from ..space.footprints import FootprintSettings, hidden_footprints
from ..space.localizer import Localized

_SEEN = (TrackedInstance.TENTATIVE, TrackedInstance.VISIBLE)
_LINE_LOOP = 2
"""foxglove_msgs/PointsAnnotation.LINE_LOOP"""


@dataclass(frozen=True)
class FrameOutput:
    """A frame whose objects are published: its tracks, message and result."""

    tracks: TrackedInstanceArray
    objects: TrackedObjectArray
    result: Localized


def installed(package: str) -> bool:
    """Return whether a package of messages is installed."""
    return importlib.util.find_spec(package) is not None


def footprint_cloud(output: FrameOutput, settings: FootprintSettings) -> PointCloud2:
    """Points that cover the footprints of hidden objects; for an obstacle or voxel layer of Nav2."""
    points = hidden_footprints(output.result.objects, settings)
    message = PointCloud2(header=output.objects.header, height=1, width=len(points), is_dense=True)
    message.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")
    ]
    message.point_step, message.row_step = 12, 12 * len(points)
    message.is_bigendian = False
    message.data.frombytes(points.astype("<f4").tobytes())
    return message


def class_mask(tracks: TrackedInstanceArray) -> Image:
    """mono16 image [H, W] of class_id + 1 where an object is seen, 0 elsewhere; `label_info` names the values."""
    pixels = np.zeros((tracks.height, tracks.width), "<u2")
    for instance in tracks.instances:
        if instance.state not in _SEEN or not instance.visible.area:
            continue
        mask = mask_from_message(instance.visible, tracks.height, tracks.width)
        box = pixels[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width]
        box[mask.pixels] = min(instance.class_id + 1, 65535)
    message = Image(
        header=tracks.header, height=tracks.height, width=tracks.width, encoding="mono16", step=2 * tracks.width
    )
    message.data.frombytes(pixels.view(np.uint8).data)
    return message


class VisionOutputs:
    """vision_msgs/Detection3DArray and LabelInfo. Make one only where vision_msgs is installed."""

    def __init__(self) -> None:
        self._types: Any = importlib.import_module("vision_msgs.msg")
        self.detections_type = self._types.Detection3DArray
        self.label_info_type = self._types.LabelInfo

    def detections(self, output: FrameOutput) -> Any:
        """Every object that has not ended; its id is the track's, its score the existence."""
        types, header = self._types, output.objects.header
        array = types.Detection3DArray(header=header)
        for found in output.objects.objects:
            if found.state == TrackedInstance.ENDED:
                continue
            hypothesis = types.ObjectHypothesisWithPose(pose=found.pose)
            hypothesis.hypothesis.class_id = found.class_name
            hypothesis.hypothesis.score = found.existence
            detection = types.Detection3D(header=header, id=str(found.track_id), results=[hypothesis])
            detection.bbox.center, detection.bbox.size = found.pose.pose, found.size
            array.detections.append(detection)
        return array

    def label_info(self, names: ClassNames, header: Header) -> Any:
        """Make the message that names the values of `class_mask`."""
        types = self._types
        info = types.LabelInfo(header=header, threshold=0.0)
        info.class_map = [types.VisionClass(class_id=0, class_name="background")]
        info.class_map += [types.VisionClass(class_id=i, class_name=name) for i, name in enumerate(names.names, 1)]
        return info


class AnnotationOutput:
    """foxglove_msgs/ImageAnnotations. Make one only where foxglove_msgs is installed."""

    def __init__(self) -> None:
        self._types: Any = importlib.import_module("foxglove_msgs.msg")
        self.message_type = self._types.ImageAnnotations

    def annotations(self, output: FrameOutput) -> Any:
        """The box of every amodal mask, with ID, and size where it is known."""
        types, stamp = self._types, output.tracks.header.stamp
        placed = {found.track_id: found for found in output.objects.objects}
        message = types.ImageAnnotations()
        for instance in output.tracks.instances:
            roi = instance.amodal.roi
            if not roi.width:
                continue
            hidden = instance.state not in _SEEN
            colour = types.Color(r=1.0, g=0.3 if hidden else 0.9, b=0.2, a=0.5 if hidden else 1.0)
            x0, y0 = float(roi.x_offset), float(roi.y_offset)
            x1, y1 = x0 + roi.width, y0 + roi.height
            corners = [types.Point2(x=x, y=y) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
            message.points.append(
                types.PointsAnnotation(
                    timestamp=stamp, type=_LINE_LOOP, points=corners, outline_color=colour, thickness=2.0
                )
            )
            message.texts.append(
                types.TextAnnotation(
                    timestamp=stamp,
                    position=types.Point2(x=x0, y=y0),
                    text=_caption(instance, placed.get(instance.track_id)),
                    font_size=14.0,
                    text_color=colour,
                )
            )
        return message


def _caption(instance: TrackedInstance, found: TrackedObject | None) -> str:
    text = f"{instance.class_name} {instance.track_id}"
    if found is None:
        return text
    size = found.size
    return f"{text}, {size.y:.1f} x {size.z:.1f} m, {found.existence:.0%}"
