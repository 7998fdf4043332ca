"""Topics of the localizer in other packages' types, over DDS, where these packages are installed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from localizer_talk import HEIGHT, WIDTH, localizer, tracks
from ros_helpers import Peer, needs_ros

pytestmark = needs_ros

REASON = "{} is on no package index, only on a ROS 2 machine"


@pytest.fixture
def peer() -> Iterator[Peer]:
    one = Peer()
    yield one
    one.close()


def answer(peer: Peer, talk: Any, found: list[Any], topic: str) -> Any:
    """What a topic says of a person who is seen."""
    publisher = talk.node._streams[0]._publishers[topic]
    peer.until(publisher.get_subscription_count)
    talk.say_camera()
    talk.localized(tracks(0.0))
    peer.until(lambda: found)
    return found[-1]


def test_detections_3d(peer: Peer) -> None:
    types = pytest.importorskip("vision_msgs.msg", reason=REASON.format("vision_msgs"))
    with localizer(peer, camera_height_m=1.2) as talk:
        found = peer.listen(types.Detection3DArray, "/object_localizer/detections_3d")
        message = answer(peer, talk, found, "~/detections_3d")
        (expected,), (detection,) = talk.objects[-1].objects, message.detections
        assert message.header == talk.objects[-1].header
        assert detection.id == "7"
        assert detection.bbox.center == expected.pose.pose
        assert detection.bbox.size == expected.size
        (result,) = detection.results
        assert (result.hypothesis.class_id, result.hypothesis.score) == ("person", pytest.approx(0.8))


def test_class_mask_and_the_names_of_its_values(peer: Peer) -> None:
    types = pytest.importorskip("vision_msgs.msg", reason=REASON.format("vision_msgs"))
    from a2vis_ros.msg import ClassNames
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import Image

    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with localizer(peer, camera_height_m=1.2) as talk:
        masks = peer.listen(Image, "/object_localizer/class_mask")
        message = answer(peer, talk, masks, "~/class_mask")
        assert (message.height, message.width, message.encoding) == (HEIGHT, WIDTH, "mono16")
        pixels = np.frombuffer(bytes(message.data), "<u2").reshape(HEIGHT, WIDTH)
        assert set(np.unique(pixels)) == {0, 1}
        names = peer.node.create_publisher(ClassNames, "/a2vis/class_names", latched)
        names.publish(ClassNames(names=["person", "car"]))
        # Whoever comes later has them too.
        peer.until(names.get_subscription_count)
        labels = peer.listen(types.LabelInfo, "/object_localizer/label_info", latched)
        peer.until(lambda: labels)
        found = [(one.class_id, one.class_name) for one in labels[-1].class_map]
        assert found == [(0, "background"), (1, "person"), (2, "car")]
        peer.node.destroy_publisher(names)


def test_image_annotations(peer: Peer) -> None:
    types = pytest.importorskip("foxglove_msgs.msg", reason=REASON.format("foxglove_msgs"))
    with localizer(peer, camera_height_m=1.2) as talk:
        found = peer.listen(types.ImageAnnotations, "/object_localizer/image_annotations")
        message = answer(peer, talk, found, "~/image_annotations")
        (outline,), (text,) = message.points, message.texts
        box = tracks(0.0).instances[0].amodal.roi
        assert outline.type == types.PointsAnnotation.LINE_LOOP
        assert (outline.points[0].x, outline.points[0].y) == (box.x_offset, box.y_offset)
        assert (outline.points[2].x, outline.points[2].y) == (box.x_offset + box.width, box.y_offset + box.height)
        assert text.text.startswith("person 7, ")
