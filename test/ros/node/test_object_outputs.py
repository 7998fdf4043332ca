"""Messages of other packages made of objects in space, and the monitor's side of them."""

import re
import sys
import types
from collections import Counter
from typing import Any

import numpy as np
import pytest
from ros_helpers import Peer, image, needs_ros, process

from a2vis_ros.planner.mask_codec import encode_image
from a2vis_ros.space.emergence import Emergence
from a2vis_ros.space.localizer import Localized, LocatedObject, State
from a2vis_ros.space.placement import Source
from a2vis_ros.wire.cdr import text_of

pytestmark = needs_ros


def kind(name: str, **fields: Any) -> type:
    """A stand-in for a message type: its fields and no others."""

    def make(self: Any, **given: Any) -> None:
        assert given.keys() <= fields.keys(), f"{name} has no {given.keys() - fields.keys()}"
        for field, value in {**{f: v() for f, v in fields.items()}, **given}.items():
            setattr(self, field, value)

    return type(name, (), {"__init__": make})


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types with the fields of vision_msgs 4 and of foxglove_msgs, where these are not installed."""
    from a2vis_ros.node.object_outputs import installed

    guess = kind("ObjectHypothesisWithPose", hypothesis=kind("H", class_id=str, score=float), pose=object)
    box = kind("BoundingBox3D", center=object, size=object)
    colour, point = kind("Color", r=float, g=float, b=float, a=float), kind("Point2", x=float, y=float)
    points = {"timestamp": object, "type": int, "points": list, "outline_color": colour, "thickness": float}
    points |= {"outline_colors": list, "fill_color": colour, "metadata": list}
    text = {"timestamp": object, "position": point, "text": str, "font_size": float, "text_color": colour}
    packages = {
        "vision_msgs": {
            "ObjectHypothesisWithPose": guess,
            "Detection3D": kind("Detection3D", header=object, id=str, results=list, bbox=box),
            "Detection3DArray": kind("Detection3DArray", header=object, detections=list),
            "VisionClass": kind("VisionClass", class_id=int, class_name=str),
            "LabelInfo": kind("LabelInfo", header=object, class_map=list, threshold=float),
        },
        "foxglove_msgs": {
            "Color": colour,
            "Point2": point,
            "PointsAnnotation": kind("PointsAnnotation", **points),
            "TextAnnotation": kind("TextAnnotation", **text, background_color=colour, metadata=list),
            "ImageAnnotations": kind("ImageAnnotations", circles=list, points=list, texts=list, metadata=list),
        },
    }
    for package, members in packages.items():
        if installed(package):
            continue
        module = types.ModuleType(f"{package}.msg")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
        monkeypatch.setitem(sys.modules, f"{package}.msg", module)


def scene() -> Any:
    """A person who is seen, and one who is lost; both have a place in odom."""
    from a2vis_ros.msg import Emergence, TrackedInstance, TrackedInstanceArray, TrackedObject, TrackedObjectArray
    from geometry_msgs.msg import Point
    from std_msgs.msg import Header

    from a2vis_ros.node.object_outputs import FrameOutput
    from a2vis_ros.planner.mask_messages import mask_to_message

    mask = np.zeros((48, 64), np.bool_)
    mask[10:30, 20:28] = True
    seen = TrackedInstance(track_id=1, state=TrackedInstance.VISIBLE, class_id=2, class_name="person", score=0.7)
    seen.visible = seen.amodal = mask_to_message(encode_image(mask))
    lost = TrackedInstance(track_id=2, state=TrackedInstance.LOST, class_id=2, class_name="person", existence=0.5)
    tracks = TrackedInstanceArray(header=image(1.0).header, height=48, width=64, session=9, instances=[seen, lost])
    objects = TrackedObjectArray(header=Header(stamp=tracks.header.stamp, frame_id="odom"), session=9)
    for instance in (seen, lost):
        found = TrackedObject(track_id=instance.track_id, state=instance.state, class_name="person", existence=0.6)
        found.pose.pose.position.x = 4.0 + instance.track_id
        found.size.y, found.size.z = 0.5, 1.7
        objects.objects.append(found)
    objects.objects[1].emergences = [Emergence(point=Point(x=6.0, y=1.5), earliest_s=0.5, expected_s=2.0)]
    return FrameOutput(tracks, objects, None)  # type: ignore[arg-type]


def test_a_message_of_objects_holds_nothing_of_the_one_before() -> None:
    from a2vis_ros.msg import TrackedInstanceArray

    from a2vis_ros.node.space_messages import ObjectMessages

    def located(number: int, *ends: Emergence) -> LocatedObject:
        """An object all of whose numbers are others than those of another number."""
        some = np.arange(1.0, 7.0) + number
        return LocatedObject(
            track_id=number,
            state=State(number % 5),
            class_id=number,
            class_name=f"class {number}",
            score=number / 20,
            existence=number / 10,
            hidden_s=0.5 * number,
            measured_s=0.25 * number,
            source=Source(number % 3),
            position=some[:3],
            velocity=-some[:3],
            covariance=np.outer(some, some) + np.eye(6),
            orientation=some[:4] / np.linalg.norm(some[:4]),
            size=some[3:],
            size_std=some[3:] / 10,
            cut_off=number % 2 == 0,
            emergences=ends,
        )

    def text(messages: ObjectMessages, *objects: LocatedObject) -> str:
        result = Localized("odom", list(objects), Counter(), 0, 0)
        return repr(messages.write(result, TrackedInstanceArray(session=len(objects))))

    end = Emergence(point=np.array([6.0, 1.5, 0.0]), earliest_s=0.5, expected_s=2.0)
    messages = ObjectMessages()
    frames = [
        (located(1), located(2, end)),
        (),
        (located(3, end, end),),
        (located(4), located(5), located(6)),
    ]
    for objects in frames:
        assert text(messages, *objects) == text(ObjectMessages(), *objects)
    (found,) = messages.write(Localized("odom", [located(7)], Counter(), 0, 0), TrackedInstanceArray()).objects
    # The box stands upright, and of its turn about the vertical nothing is known.
    expected = np.zeros((6, 6))
    expected[:3, :3], expected[5, 5] = located(7).covariance[:3, :3], np.pi**2 / 3
    assert found.pose.covariance.reshape(6, 6) == pytest.approx(expected)
    assert np.array_equal(found.velocity_covariance.reshape(3, 3), located(7).covariance[3:, 3:])


def test_boxes_in_space_for_vision_msgs(stand_ins: None) -> None:
    from a2vis_ros.msg import ClassNames

    from a2vis_ros.node.object_outputs import VisionOutputs

    output, vision = scene(), VisionOutputs()
    array = vision.detections(output)
    assert array.header.frame_id == "odom"
    assert [detection.id for detection in array.detections] == ["1", "2"]
    first = array.detections[0]
    assert first.bbox.center.position.x == 5.0
    assert first.bbox.size.z == 1.7
    assert first.results[0].hypothesis.class_id == "person"
    assert first.results[0].hypothesis.score == pytest.approx(0.6)
    assert first.results[0].pose is output.objects.objects[0].pose
    info = vision.label_info(ClassNames(names=["cat", "dog", "person"]), output.tracks.header)
    assert [(one.class_id, one.class_name) for one in info.class_map][::3] == [(0, "background"), (3, "person")]


def test_the_class_mask_has_the_values_that_label_info_names() -> None:
    from a2vis_ros.node.object_outputs import class_mask

    message = class_mask(scene().tracks)
    pixels = np.frombuffer(bytes(message.data), "<u2").reshape(48, 64)
    assert message.encoding == "mono16"
    assert set(np.unique(pixels)) == {0, 3}
    assert (pixels[10:30, 20:28] == 3).all()
    assert (pixels == 3).sum() == 160


def test_annotations_for_foxglove(stand_ins: None) -> None:
    from a2vis_ros.node.object_outputs import AnnotationOutput

    message = AnnotationOutput().annotations(scene())
    # The lost one has no place in the image.
    (outline,), (text,) = message.points, message.texts
    assert [(corner.x, corner.y) for corner in outline.points] == [(20, 10), (28, 10), (28, 30), (20, 30)]
    assert text.text == "person 1, 0.5 x 1.7 m, 60%"


def test_tf2_is_asked_for_the_time_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with what is used of tf2_ros, where that is not installed."""
    from rclpy.time import Time

    from a2vis_ros.node.tf2_transforms import Tf2Transforms
    from a2vis_ros.space.transforms import TransformError, TransformTooNewError

    if Tf2Transforms.available():
        pytest.skip("tf2_ros is installed: a stand-in would say nothing of it")

    class TransformException(Exception):
        pass

    class ExtrapolationException(TransformException):
        pass

    class Buffer:
        said: Exception | None = None
        cleared = 0

        def clear(self) -> None:
            self.cleared += 1

        def lookup_transform(self, target: str, source: str, time: Any) -> Any:
            if self.said is not None:
                raise self.said
            assert (target, source, time.nanoseconds) == ("odom", "camera\ufffd", 123_000_000_456)
            vector, turn = types.SimpleNamespace(x=1.0, y=2.0, z=3.0), types.SimpleNamespace(x=0.0, y=0.0, z=1.0, w=0.0)
            return types.SimpleNamespace(transform=types.SimpleNamespace(translation=vector, rotation=turn))

    class TransformListener:
        def __init__(self, buffer: Buffer, node: Any) -> None:
            self.buffer = buffer
            listeners.append(self)

        def unregister(self) -> None:
            listeners.remove(self)

    fake = types.ModuleType("tf2_ros")
    members = (TransformException, ExtrapolationException, Buffer, TransformListener)
    vars(fake).update({member.__name__: member for member in members})
    monkeypatch.setitem(sys.modules, "tf2_ros", fake)
    listeners: list[TransformListener] = []
    peer = Peer()
    source = Tf2Transforms(peer.node)
    (listener,) = listeners
    # It has names from rclpy, as that reads them.
    found = source.lookup("/odom", text_of(b"/camera\xff"), 123_000_000_456)
    assert found.apply(np.array([1.0, 0, 0])) == pytest.approx([0, 2, 3])
    Buffer.said = ExtrapolationException("Lookup would require extrapolation into the future. Requested time 2")
    with pytest.raises(TransformTooNewError, match="into the future"):
        source.lookup("odom", "camera", 0)
    past = "extrapolation into the past, when looking up transform from frame [future] to frame [odom]"
    for error in (ExtrapolationException(past), TransformException("no such frame")):
        Buffer.said = error
        with pytest.raises(TransformError, match=re.escape(str(error))) as raised:
            source.lookup("odom", "camera", 0)
        assert not isinstance(raised.value, TransformTooNewError)
    clock: Any = peer.node.get_clock()
    clock._set_ros_time_is_active(True)
    for seconds, cleared in ((100, 1), (200, 1), (150, 2), (300, 2)):
        clock.set_ros_time_override(Time(seconds=seconds))
        # The first is the change to simulated time.
        assert listener.buffer.cleared == cleared
    source.close()
    assert not listeners
    clock.set_ros_time_override(Time(seconds=1))
    assert listener.buffer.cleared == 2
    peer.close()


def test_the_monitor_says_where_in_space_it_may_come_out() -> None:
    from a2vis_ros.msg import HiddenObjectArray, TrackedInstance, TrackedInstanceArray, TrackedObjectArray

    peer = Peer()
    with process("a2vis_ros.planner.occlusion_monitor"):
        hidden = peer.listen(HiddenObjectArray, "/occlusion_monitor/hidden")
        tracks = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 30)
        objects = peer.node.create_publisher(TrackedObjectArray, "/object_localizer/objects", 30)
        peer.until(lambda: tracks.get_subscription_count() and objects.get_subscription_count())
        peer.acquaint(tracks, TrackedInstanceArray(height=48, width=64), hidden)
        output = scene()
        seen, lost = output.tracks.instances
        # The second was seen where the first is now, which hides it.
        was = TrackedInstance(track_id=2, state=TrackedInstance.VISIBLE, visible=seen.visible, amodal=seen.amodal)
        output.tracks.instances = [was]
        tracks.publish(output.tracks)
        peer.until(lambda: len(hidden) == 1)
        output.tracks.instances = [seen, lost]
        lost.velocity_x = 10.0
        tracks.publish(output.tracks)
        peer.until(lambda: len(hidden) == 2)
        (found,) = hidden[-1].objects
        assert not found.in_space
        assert (found.emergence_x, found.emergence_y) == (19.0, 20.0)
        assert found.expected_s == pytest.approx(0.05)
        assert found.existence == pytest.approx(0.5)
        objects.publish(output.objects)

        def placed() -> bool:
            """Two topics have no common order: the monitor may take the tracks before the objects."""
            answered = len(hidden)
            tracks.publish(output.tracks)
            peer.until(lambda: len(hidden) > answered)
            return bool(hidden[-1].objects[0].in_space)

        peer.until(placed)
        (found,) = hidden[-1].objects
        assert found.frame_id == "odom"
        assert found.position.x == 6.0
        assert found.emergences == output.objects.objects[1].emergences
        assert found.existence == pytest.approx(0.6)
        # The IDs of another session are those of other objects.
        output.tracks.session = 10
        answered = len(hidden)
        tracks.publish(output.tracks)
        peer.until(lambda: len(hidden) > answered)
        assert not any(one.in_space for one in hidden[-1].objects)
    peer.close()
