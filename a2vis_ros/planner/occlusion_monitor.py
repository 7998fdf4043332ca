"""`occlusion_monitor`: reports which tracked objects are hidden and could emerge in a region of interest.

This is an example of a planner's side: it needs NumPy, OpenCV and `a2vis_ros.msg`, no torch and no model.
"""

import sys
from collections.abc import Sequence

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import RegionOfInterest
from std_msgs.msg import Header

from a2vis_model.errors import printable

from ..msg import (
    HiddenObject,
    HiddenObjectArray,
    TrackedInstance,
    TrackedInstanceArray,
    TrackedObject,
    TrackedObjectArray,
)
from ..programs.spinning import begin, spin
from ..wire.exact_text import MessageError, publish, received
from .emergence import image_emergence
from .mask_codec import MaskError, RunLengthMask, check_image
from .mask_messages import mask_from_message, mask_to_message
from .occlusion_memory import OcclusionMemory, Region, Sighting

_FRESH_S = 1.0
"""Objects in space are of use for so long, by the stamps of their images; they come after the tracks of each frame."""
_SEEN = (TrackedInstance.TENTATIVE, TrackedInstance.VISIBLE)


class OcclusionMonitor(Node):
    """Subscribes to a2vis/tracks and publishes ~/hidden for every message."""

    def __init__(self) -> None:
        super().__init__("occlusion_monitor")
        region = self.declare_parameter(
            "region",
            [0, 0, 0, 0],
            ParameterDescriptor(description="x, y, width, height in image pixels; all 0 for the whole image"),
        ).value
        if len(region) != 4 or min(region) < 0 or (any(region) and not (region[2] and region[3])):
            raise ValueError(f"region={list(region)} is not x, y, width, height in pixels; e.g. [0, 240, 640, 240]")
        self._region = Region(*region)
        self._memory = OcclusionMemory(
            margin_px=self._number("margin_px", 10.0, "pixels by which a footprint is grown in every direction"),
            growth_px_s=self._number("growth_px_s", 0.0, "pixels that are added to the margin for every second hidden"),
        )
        self._publisher = self.create_publisher(HiddenObjectArray, "~/hidden", QoSProfile(depth=30))
        self.create_subscription(TrackedInstanceArray, "a2vis/tracks", self._take, QoSProfile(depth=30), raw=True)
        self._objects: TrackedObjectArray | None = None
        self.create_subscription(
            TrackedObjectArray, "object_localizer/objects", self._take_objects, QoSProfile(depth=30), raw=True
        )

    def _number(self, name: str, default: float, description: str) -> float:
        span = FloatingPointRange(from_value=0.0, to_value=10000.0)
        # An integer may be given for a float.
        descriptor = ParameterDescriptor(description=description, floating_point_range=[span], dynamic_typing=True)
        value = self.declare_parameter(name, default, descriptor).value
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not span.from_value <= value <= span.to_value
        ):
            raise ValueError(f"{name}={value!r} is not a number from {span.from_value:g} to {span.to_value:g}")
        return float(value)

    def _take(self, content: bytes) -> None:
        # An error concerns this message only: the next one may be good.
        try:
            message = self._hidden(received(content, TrackedInstanceArray))
        except (MessageError, MaskError) as error:
            self._leave_out(str(error))
        except Exception as error:
            self._leave_out(f"{type(error).__name__}: {error!s:.200}")
        else:
            publish(self._publisher, message)

    def _take_objects(self, content: bytes) -> None:
        try:
            self._objects = received(content, TrackedObjectArray)
        except MessageError as error:
            self._leave_out(str(error))

    def _leave_out(self, why: str) -> None:
        self.get_logger().warning(printable(f"message skipped: {why}"), throttle_duration_sec=2.0)

    def _in_space(self, tracks: TrackedInstanceArray) -> dict[int, tuple[TrackedObject, str]]:
        """The localizer's last objects, with their frame, by track ID; none where these are of other tracks, or old."""
        objects = self._objects
        if objects is None or (objects.session, objects.epoch) != (tracks.session, tracks.epoch):
            return {}
        if abs(_seconds(tracks.header) - _seconds(objects.header)) > _FRESH_S:
            return {}
        return {found.track_id: (found, objects.header.frame_id) for found in objects.objects}

    def _hidden(self, tracks: TrackedInstanceArray) -> HiddenObjectArray:
        """Return the hidden objects of a message.

        Raises:
            MaskError: the message is damaged.
        """
        check_image(tracks.height, tracks.width)
        region = self._region if self._region.width else Region(0, 0, tracks.width, tracks.height)
        sightings = [
            Sighting(
                track_id=instance.track_id,
                visible=instance.state in _SEEN,
                ended=instance.state == TrackedInstance.ENDED,
                amodal=mask_from_message(instance.amodal, tracks.height, tracks.width),
            )
            for instance in tracks.instances
        ]
        # Epochs begin again with every session, so both together tell whether IDs may be compared.
        epoch = tracks.session << 32 | tracks.epoch
        hidden = self._memory.update(epoch, _seconds(tracks.header), sightings, region)
        instances = {instance.track_id: instance for instance in tracks.instances}
        objects = self._in_space(tracks)
        covers: list[RunLengthMask] = []
        if hidden:
            covers = [
                mask_from_message(instance.visible, tracks.height, tracks.width)
                for instance in tracks.instances
                if instance.state in _SEEN
            ]
        message = HiddenObjectArray(header=tracks.header, session=tracks.session, epoch=tracks.epoch)
        message.region = RegionOfInterest(
            x_offset=region.x, y_offset=region.y, width=region.width, height=region.height
        )
        for track in hidden:
            instance = instances[track.track_id]
            way = image_emergence(track.footprint, instance.velocity_x, covers, tracks.width)
            message.objects.append(
                HiddenObject(
                    track_id=track.track_id,
                    state=instance.state,
                    class_id=instance.class_id,
                    class_name=instance.class_name,
                    frames_since_visible=instance.frames_since_visible,
                    seconds_since_visible=track.seconds,
                    footprint=mask_to_message(track.footprint),
                    reachable=track.reachable,
                    emergence_x=way.x,
                    emergence_y=way.y,
                    expected_s=way.expected_s,
                    existence=instance.existence,
                )
            )
            if track.track_id in objects:
                _add_space(message.objects[-1], *objects[track.track_id])
        return message


def _add_space(message: HiddenObject, found: TrackedObject, frame_id: str) -> None:
    """Say what the localizer says of the object."""
    message.in_space, message.frame_id = True, frame_id
    message.position, message.existence = found.pose.pose.position, found.existence
    message.emergences = found.emergences


def _seconds(header: Header) -> float:
    return float(header.stamp.sec + header.stamp.nanosec * 1e-9)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    node = begin("occlusion_monitor", OcclusionMonitor, arguments, "see docs/ros.md")
    if node is None:
        return 2
    spin(node, node.destroy_node)
    return 0


if __name__ == "__main__":
    sys.exit(main())
