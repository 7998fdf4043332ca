"""A localizer in this process, what it is given, and what it says over DDS."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ros_helpers import Peer

from a2vis_ros.planner.mask_codec import RunLengthMask, encode_image
from a2vis_ros.space.books import Drop
from a2vis_ros.space.transforms import RigidTransform

LEVEL = RigidTransform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.array([2.0, 0, 1.2]))
"""odom from a camera that looks along x, 1.2 m above the ground."""
HEIGHT, WIDTH, FOCAL = 240, 320, 250.0


def header(seconds: float, frame_id: str = "camera") -> Any:
    from std_msgs.msg import Header

    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(round((100 + seconds) * 1e9), 10**9)
    return made


def camera_info(**changes: Any) -> Any:
    from sensor_msgs.msg import CameraInfo

    info = CameraInfo(header=header(0.0), height=HEIGHT, width=WIDTH, distortion_model="plumb_bob")
    info.k = [FOCAL, 0.0, 159.5, 0.0, FOCAL, 119.5, 0.0, 0.0, 1.0]
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def person(distance: float) -> RunLengthMask:
    """A person whose near side is so far ahead, in metres, seen from 1.2 m above the ground."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    top, bottom = (round(119.5 + FOCAL * y / distance) for y in (1.2 - 1.7, 1.2))
    half = round(FOCAL * 0.25 / distance)
    mask[top:bottom, 160 - half : 160 + half] = True
    return encode_image(mask)


def tracks(seconds: float, *, state: int = 1, distance: float = 4.75, **changes: Any) -> Any:
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    from a2vis_ros.planner.mask_messages import mask_to_message

    track = TrackedInstance(track_id=7, state=state, class_name="person", score=0.9, existence=0.8)
    if state == TrackedInstance.VISIBLE:
        track.visible = track.amodal = mask_to_message(person(distance))
    message = TrackedInstanceArray(header=header(seconds), height=HEIGHT, width=WIDTH, session=3, instances=[track])
    message.timings.age_ms = 12.0
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def depth_image(
    seconds: float, metres: float, frame_id: str = "camera", shape: tuple[int, int] = (HEIGHT, WIDTH)
) -> Any:
    from sensor_msgs.msg import Image

    pixels = np.full(shape, round(metres * 1000), "<u2")
    message = Image(
        header=header(seconds, frame_id), height=shape[0], width=shape[1], encoding="16UC1", step=2 * shape[1]
    )
    message.data.frombytes(pixels.tobytes())
    return message


class Talk:
    """A configured and active localizer, and what goes in and out."""

    def __init__(self, peer: Peer, node: Any) -> None:
        from a2vis_ros.msg import TrackedInstanceArray, TrackedObjectArray
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
        from visualization_msgs.msg import MarkerArray

        self.peer, self.node = peer, node
        self.objects = peer.listen(TrackedObjectArray, "/object_localizer/objects")
        self.markers = peer.listen(MarkerArray, "/object_localizer/markers")
        self.clouds = peer.listen(PointCloud2, "/object_localizer/hidden_footprints")
        self.statuses = peer.listen(DiagnosticArray, "/diagnostics")
        self.tracks = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 30)
        self.info = peer.node.create_publisher(CameraInfo, "/camera_info", 5)
        self.depth = peer.node.create_publisher(Image, "/depth", 5)
        self.compressed = peer.node.create_publisher(CompressedImage, "/depth/compressedDepth", 5)
        names = ["objects", "markers", "hidden_footprints"]
        peer.until(self.tracks.get_subscription_count)
        peer.until(self.info.get_subscription_count)
        publishers = node._streams[0]._publishers
        peer.until(lambda: all(publishers[f"~/{name}"].get_subscription_count() for name in names))

    def say_camera(self, **changes: Any) -> None:
        stream = self.node._streams[0]
        stream._camera, stream._camera_problem = None, ""
        self.info.publish(camera_info(**changes))
        self.peer.until(lambda: stream._camera is not None or stream._camera_problem)

    def has_depth(self, seconds: float) -> bool:
        """Whether a depth image of this time has come."""
        return bool(self.node._streams[0]._matcher.offset_s(round((100 + seconds) * 1e9)) == 0)

    def localized(self, message: Any) -> Any:
        """The objects of a message of tracks."""
        before = len(self.objects)
        self.tracks.publish(message)
        self.peer.until(lambda: len(self.objects) > before)
        return self.objects[-1]

    def dropped(self, message: Any, cause: Drop) -> str:
        """Why no objects come of a message of tracks."""
        books, objects = self.node._streams[0]._books, len(self.objects)
        before = books.dropped[cause]
        self.tracks.publish(message)
        self.peer.until(lambda: books.dropped[cause] == before + 1)
        assert len(self.objects) == objects
        return str(books.last_problem)

    def diagnostics(self, level: int, words: str) -> dict[str, str]:
        """The values of a status of this level that says so, and that tells of all frames so far.

        One that was sent before the last of them may come after it.
        """

        def found() -> dict[str, str] | None:
            books = self.node._streams[0]._books
            counts = {"received": books.received, "localized": books.localized}
            for array in self.statuses:
                for status in array.status:
                    values = {value.key: value.value for value in status.values}
                    whole = all(values.get(name) == str(count) for name, count in counts.items())
                    if whole and status.level == bytes([level]) and words in status.message:
                        return values | {"name": status.name}
            return None

        self.statuses.clear()
        return dict(self.peer.until(found))


@contextmanager
def localizer(peer: Peer, transforms: Any = None, **parameters: Any) -> Iterator[Talk]:
    from rclpy.parameter import Parameter

    from a2vis_ros.node.object_localizer import ObjectLocalizer

    given = {"wait_s": 0.1, "diagnostics_period_s": 0.2} | parameters
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    node = ObjectLocalizer(lambda node: transforms, context=peer.context, parameter_overrides=overrides)
    peer.executor.add_node(node)
    talk = None
    try:
        assert node.trigger_configure().name == "SUCCESS"
        assert node.trigger_activate().name == "SUCCESS"
        talk = Talk(peer, node)
        yield talk
        books = node._streams[0]._books
        assert books.received == books.localized + books.dropped.total() + len(node._streams[0]._waiting)
        assert node.trigger_deactivate().name == "SUCCESS"
        assert node.trigger_cleanup().name == "SUCCESS"
    finally:
        if talk is not None:
            for publisher in (talk.tracks, talk.info, talk.depth, talk.compressed):
                peer.node.destroy_publisher(publisher)
        for subscription in list(peer.node.subscriptions):
            if not subscription.topic_name.endswith("parameter_events"):
                peer.node.destroy_subscription(subscription)
        peer.executor.remove_node(node)
        node.close()
        gc.collect()
