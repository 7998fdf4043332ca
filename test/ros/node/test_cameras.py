"""Several cameras in one node, over DDS: they share a model, and nothing of what becomes of one concerns another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import Peer, image, needs_ros
from running_node import Running, peer, running

pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]

__all__ = ["peer"]


class Camera(Running):
    """One camera of a node: its results and its status, and who publishes its images."""

    def __init__(self, peer: Peer, log: Path, name: str, topic: str) -> None:
        super().__init__(peer, log, f"/{name}/a2vis")
        self._topic = topic
        self._sent = 0

    def connect(self) -> None:
        self.images = self.publisher(self._topic)

    def send(self, first_pixel: int = 0) -> None:
        """The next image, whose first pixel tells `fake_node` what to do."""
        message = image(1 + self._sent / 30, (10, 10))
        message.data[0], message.data[1] = first_pixel, 0
        self._sent += 1
        self.images.publish(message)

    def answer(self) -> Any:
        """Send an image, and return its result."""
        count = len(self.tracks)
        self.send()
        return self.results(count + 1)[-1]

    def call_trigger(self, service: str) -> Any:
        from std_srvs.srv import Trigger

        return self.peer.call(Trigger, f"{self.name}/{service}", Trigger.Request())

    def enable(self, on: bool) -> Any:
        from std_srvs.srv import SetBool

        return self.peer.call(SetBool, f"{self.name}/enable", SetBool.Request(data=on))


@contextmanager
def two_cameras(peer: Peer, tmp_path: Path, **parameters: object) -> Iterator[tuple[Running, Camera, Camera]]:
    """A node that is active, and its two cameras, to each of which it has subscribed."""
    given = {"cameras": "left right", "images": "/left/image_raw image", **parameters}
    with running(peer, tmp_path, module="fake_node", **given) as node:
        log = next(tmp_path.glob("*.log"))
        cameras = Camera(peer, log, "left", "/left/image_raw"), Camera(peer, log, "right", "/right/image")
        node.start()
        for camera in cameras:
            camera.connect()
        yield node, *cameras


def test_each_camera_has_topics_sessions_epochs_and_books_of_its_own(peer: Peer, tmp_path: Path) -> None:
    from a2vis_ros.msg import ClassNames
    from rclpy.qos import DurabilityPolicy, QoSProfile

    with two_cameras(peer, tmp_path) as (node, left, right):
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        names = [peer.listen(ClassNames, f"{camera.name}/class_names", latched) for camera in (left, right)]
        peer.until(lambda: all(names))
        found = [[camera.answer() for _ in range(count)] for camera, count in ((left, 3), (right, 2))]
        assert [[m.frame_index for m in messages] for messages in found] == [[0, 1, 2], [0, 1]]
        sessions = [{m.session for m in messages} for messages in found]
        assert all(len(session) == 1 and 0 not in session for session in sessions)
        assert sessions[0] != sessions[1]

        # A reset of one, and a loop of the other.
        assert left.call_trigger("reset").success
        assert (left.answer().epoch, right.answer().epoch) == (1, 0)
        right._sent = 0
        assert (left.answer().epoch, right.answer().epoch) == (1, 1)
        assert right.call_trigger("reset").success
        assert (left.answer().epoch, right.answer().epoch) == (1, 2)
        assert left.books() == {"received": 6, "processed": 6}
        assert right.books() == {"received": 5, "processed": 5}

        # One model, and no topic of a camera without a name.
        assert node.log().count("loaded fake from nothing") == 1
        assert not peer.node.count_publishers("/a2vis/tracks")
        assert "left" in node.log()
        for transition in ("deactivate", "activate"):
            node.lifecycle.change(transition)
        for camera in (left, right):
            peer.until(camera.images.get_subscription_count)
        peer.spin(0.3)
        assert (left.answer().epoch, right.answer().epoch) == (2, 3)
        for transition in ("deactivate", "cleanup"):
            node.lifecycle.change(transition)
        assert not peer.node.count_publishers("/left/a2vis/tracks")


def test_a_camera_that_stalls_is_said_and_the_other_goes_on(peer: Peer, tmp_path: Path) -> None:
    with two_cameras(peer, tmp_path, no_image_s=0.3) as (_, left, right):
        right.answer()

        def stalled() -> bool:
            left.answer()
            return "no image" in right.heard().get("message", "")

        peer.until(stalled)
        answered = [left.answer().epoch for _ in range(3)]
        assert answered == [0] * 3
        assert left.diagnostics()["epoch"] == "0"
        assert right.answer().epoch == 0, "by its stamps nothing was missing"


def test_an_error_of_one_camera_ends_neither(peer: Peer, tmp_path: Path) -> None:
    with two_cameras(peer, tmp_path) as (_, left, right):
        for camera in (left, right):
            camera.answer()
        # The model fails at this value; an image of a size without pixels is refused before it gets there.
        right.send(66)
        right.images.publish(image(9.0, (10, 10), height=0))
        for _ in range(5):
            assert left.answer().epoch == 0
        assert right.answer().epoch == 1
        assert right.books() == {"received": 4, "processed": 2, "processing failed": 1, "empty image": 1}
        assert left.books() == {"received": 6, "processed": 6}
        assert (left.heard()["last_error"], right.heard()["last_error"] != "") == ("", True)


def test_one_camera_is_disabled_and_the_other_goes_on(peer: Peer, tmp_path: Path) -> None:
    with two_cameras(peer, tmp_path) as (_, left, right):
        for camera in (left, right):
            camera.answer()
        assert right.enable(False).success
        peer.until(lambda: not right.images.get_subscription_count())
        assert right.diagnostics()["state"] == "disabled"
        assert [left.answer().epoch for _ in range(3)] == [0] * 3
        assert not right.call_trigger("reset").success
        assert right.enable(True).success
        peer.until(right.images.get_subscription_count)
        peer.spin(0.3)
        assert (left.answer().epoch, right.answer().epoch) == (0, 1)


def test_a_flood_of_one_camera_leaves_the_other_its_share(peer: Peer, tmp_path: Path) -> None:
    # The node would subscribe anew once it knows of a camera, and an image that comes meanwhile would have no answer.
    topics = ("/left/image_raw", "/right/image")
    reliable = {f"qos_overrides.{topic}.subscription.reliability": "reliable" for topic in topics}
    with two_cameras(peer, tmp_path, policy="latest", **reliable) as (_, left, right):
        right.answer()
        # Each image of the left camera costs the model 20 ms, and more of them come than it can take.
        for _ in range(10):
            answered = len(right.tracks)
            right.send()
            while len(right.tracks) == answered:
                left.send(20)
                peer.spin(0.005)
        assert right.books() == {"received": 11, "processed": 11}
        values = left.books()
        assert values["superseded"] > 0
        assert values["received"] == values["processed"] + values["superseded"]
