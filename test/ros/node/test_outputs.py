"""The outputs of a node: one class each, made for those who listen, given up when told."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ros_helpers import needs_ros
from scripted_tracker import instance

from a2vis_model import FrameResult
from a2vis_ros.stream.cameras import THE_ONLY, Camera
from a2vis_ros.stream.frames import Frame, Stamp
from a2vis_ros.stream.parameters import ParameterError, Settings
from a2vis_ros.stream.pipeline import ProcessedFrame, StageTimes

pytestmark = needs_ros


class FakePublisher:
    """Keeps what is published; has as many subscribers as a test says."""

    def __init__(self, kind: Any, topic: str, profile: Any) -> None:
        self.kind, self.topic_name, self.profile = kind, topic, profile
        self.subscribers = 0
        self.messages: list[Any] = []
        self.waited = False

    def get_subscription_count(self) -> int:
        return self.subscribers

    def publish(self, message: Any) -> None:
        self.messages.append(message)

    def wait_for_all_acked(self, duration: Any) -> None:
        self.waited = True


class FakeNode:
    """A node without middleware, with these parameters."""

    def __init__(self, **parameters: object) -> None:
        self.publishers: dict[str, FakePublisher] = {}
        self._parameters = parameters

    def get_name(self) -> str:
        return "a2vis"

    def resolve_topic_name(self, name: str) -> str:
        return name.replace("~", "/a2vis") if name.startswith("~") else f"/{name}"

    def has_parameter(self, name: str) -> bool:
        return name in self._parameters

    def declare_parameter(self, name: str, value: object, descriptor: object) -> None:
        self._parameters[name] = value

    def get_parameter(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(value=self._parameters[name])

    def create_lifecycle_publisher(self, kind: Any, topic: str, profile: Any, event_callbacks: Any) -> FakePublisher:
        publisher = FakePublisher(kind, self.resolve_topic_name(topic), profile)
        self.publishers[publisher.topic_name] = publisher
        return publisher

    def destroy_lifecycle_publisher(self, publisher: FakePublisher) -> None:
        del self.publishers[publisher.topic_name]


def processed() -> ProcessedFrame:
    """A frame of 10 x 10 pixels with one track."""
    frame = Frame.__new__(Frame)
    object.__setattr__(frame, "stamp", Stamp(3, 4))
    object.__setattr__(frame, "frame_id", "camera")
    result = FrameResult(0, 0.0, 0, 10, 10, (instance(),))
    return ProcessedFrame(frame, np.zeros((10, 10, 3), np.uint8), result, {}, 0, StageTimes.__new__(StageTimes))


def publish(publications: Any, *, expendable: bool) -> None:
    from a2vis_ros.node.messages import header_of, result_message

    frame = processed()
    tracks = result_message(frame.result, header_of(frame.frame.stamp, frame.frame.frame_id), "eager/cpu")
    publications.publish(frame, tracks, Settings.defaults(), expendable=expendable)


def test_a_new_output_is_one_class() -> None:
    from std_msgs.msg import UInt32

    from a2vis_ros.node.outputs import OUTPUTS, Output, Publications
    from a2vis_ros.node.qos import result_qos

    class Count(Output):
        """How many tracks there are."""

        topic = "~/count"
        message_type = UInt32
        qos = result_qos()

        def make(self, processed: ProcessedFrame, tracks: Any, settings: Settings) -> UInt32:
            return UInt32(data=len(tracks.instances))

    node = FakeNode()
    publications = Publications(node, THE_ONLY, (*OUTPUTS, Count), lambda topic, event: None)  # type: ignore[arg-type]
    count = node.publishers["/a2vis/count"]
    publish(publications, expendable=False)
    assert not count.messages, "nobody listens"
    count.subscribers = 1
    publish(publications, expendable=True)
    publish(publications, expendable=False)
    assert [message.data for message in count.messages] == [1]
    publications.close()
    assert not node.publishers


def test_tracks_come_always_and_pictures_for_those_who_listen_until_they_are_given_up() -> None:
    from a2vis_ros.node.outputs import OUTPUTS, Publications

    node = FakeNode()
    publications = Publications(node, THE_ONLY, OUTPUTS, lambda topic, event: None)  # type: ignore[arg-type]
    names = ("tracks", "overlay", "visible_ids")
    tracks, overlay, ids = (node.publishers[f"/a2vis/{name}"] for name in names)
    overlay.subscribers = 1
    publish(publications, expendable=False)
    assert [len(p.messages) for p in (tracks, overlay, ids)] == [1, 0, 0]
    publish(publications, expendable=True)
    assert [len(p.messages) for p in (tracks, overlay, ids)] == [1, 1, 0]
    assert (overlay.messages[0].encoding, overlay.messages[0].header.frame_id) == ("rgb8", "camera")
    assert publications.subscribers() == 0, "only of pictures, which nobody waits for"
    tracks.subscribers = 2
    assert publications.subscribers() == 2
    publications.wait_until_taken(1.0)
    assert [p.waited for p in (tracks, overlay, ids)] == [True, False, False]


def test_each_camera_has_its_outputs_in_its_namespace() -> None:
    from a2vis_ros.node.outputs import OUTPUTS, Publications

    node = FakeNode(**{"qos_overrides./left/a2vis/overlay.publisher.depth": 7})
    for name in ("left", "right"):
        Publications(node, Camera(name, f"{name}/image"), OUTPUTS, lambda topic, event: None)  # type: ignore[arg-type]
    topics = {f"/{name}/a2vis/{topic}" for name in ("left", "right") for topic in ("tracks", "overlay", "visible_ids")}
    assert topics <= set(node.publishers)
    assert [node.publishers[f"/{name}/a2vis/overlay"].profile.depth for name in ("left", "right")] == [7, 1]


def test_what_is_not_installed_has_no_topic_and_a_wrong_override_leaves_none() -> None:
    from a2vis_ros.node.outputs import OUTPUTS, OverlayOutput, Publications

    class Missing(OverlayOutput):
        """An output whose package is not installed."""

        topic = "~/missing"

        @staticmethod
        def available() -> bool:
            return False

    node = FakeNode()
    Publications(node, THE_ONLY, (Missing,), lambda topic, event: None)  # type: ignore[arg-type]
    assert not node.publishers
    node = FakeNode(**{"qos_overrides./a2vis/visible_ids.publisher.reliability": "often"})
    with pytest.raises(ParameterError, match="'often' is none of reliable, best_effort"):
        Publications(node, THE_ONLY, OUTPUTS, lambda topic, event: None)  # type: ignore[arg-type]
    assert not node.publishers
