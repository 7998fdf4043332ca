"""The node in a process of its own, over DDS, through its public interface alone."""

import gc
import itertools
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_helpers import PATIENCE_S, ROOT, Peer, arguments, image, needs_ros, process

from a2vis_model import ModelConfig, VideoNetwork, save_weights

pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]

NODE = "/a2vis"
EAGER_TRACKS = {"start_score": 0.0, "keep_score": 0.0}
"""Random weights believe in nothing; with these thresholds they see something everywhere."""


@pytest.fixture
def weights(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> str:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, model, config)
    return str(path)


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.close()


class Running:
    """A node that runs, its log, and a publisher of images that somebody listens to."""

    def __init__(self, peer: Peer, log: Path, name: str) -> None:
        from a2vis_ros.msg import TrackedInstanceArray
        from diagnostic_msgs.msg import DiagnosticArray

        self.peer = peer
        self.name = name
        self._log = log
        self.lifecycle = peer.lifecycle(name)
        self.tracks = peer.listen(TrackedInstanceArray, f"{name}/tracks")
        self._statuses: list[tuple[int, dict[str, str]]] = []
        peer.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 100)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        self.lifecycle.change("configure", PATIENCE_S)
        self.lifecycle.change("activate", PATIENCE_S)

    def publisher(self, topic: str = "/image", message_type: Any = None, qos: Any = 1000) -> Any:
        from sensor_msgs.msg import Image

        publisher = self.peer.node.create_publisher(message_type or Image, topic, qos)
        self.peer.until(publisher.get_subscription_count)
        return publisher

    def results(self, count: int) -> list[Any]:
        """The first results, once there are so many."""
        self.peer.until(lambda: len(self.tracks) >= count)
        return self.tracks[:count]

    def heard(self) -> dict[str, str]:
        """The last status; empty before the first."""
        return self._statuses[-1][1] if self._statuses else {}

    def diagnostics(self) -> dict[str, str]:
        """A status of how things stand now, or later."""
        now = time.time_ns()
        # The first that was sent from now on may have been written before.
        self.peer.until(lambda: sum(sent > now for sent, _ in self._statuses) > 1)
        return self.heard()

    def _hear(self, array: Any, info: dict[str, int]) -> None:
        for status in array.status:
            if status.name == f"{self.name[1:]}: tracking":
                values = {"message": status.message, "level": str(status.level[0]), "time": str(array.header.stamp.sec)}
                values |= {item.key: item.value for item in status.values}
                self._statuses.append((info["source_timestamp"], values))

    def books(self) -> dict[str, int]:
        """received, processed, in_flight and dropped by cause, once all is at rest."""
        while (values := self.diagnostics())["in_flight"] != "0":
            pass
        return {key: int(values[key]) for key in ("received", "processed")} | {
            key.removeprefix("dropped: "): int(value) for key, value in values.items() if key.startswith("dropped: ")
        }


@contextmanager
def running(
    peer: Peer,
    tmp_path: Path,
    *args: str,
    name: str = NODE,
    module: str = "a2vis_ros.node.a2vis_node",
    **parameters: object,
) -> Iterator[Running]:
    log = tmp_path / f"{name.replace('/', '_')}.log"
    values = {"policy": "every_frame", "queue_size": 1000, "diagnostics_period_s": 0.1, **EAGER_TRACKS, **parameters}
    with process(module, *arguments(**values), *args, log=log):
        node = Running(peer, log, name)
        try:
            yield node
        except BaseException:
            print(node.log())
            raise


def test_a_life_of_images(peer: Peer, tmp_path: Path, weights: str, config: ModelConfig) -> None:
    """Lifecycle there and back, latched class names, exact headers, epochs, reset, thresholds, overlay and IDs."""
    from a2vis_ros.msg import ClassNames
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import Image
    from std_srvs.srv import Trigger

    from a2vis_ros.node.messages import image_of
    from a2vis_ros.stream.image_decoding import decode_rgb

    with running(peer, tmp_path, weights=weights) as node:
        assert node.lifecycle.state() == "unconfigured"
        node.lifecycle.change("configure")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        names = peer.listen(ClassNames, "/a2vis/class_names", latched)
        peer.until(lambda: names)
        assert (names[0].model, tuple(names[0].names)) == (config.name, config.classes)
        assert node.diagnostics()["state"] == "inactive"
        node.lifecycle.change("activate")
        camera = node.publisher()

        stamps = [5 + i / 30 for i in range(5)]
        for i, seconds in enumerate(stamps):
            camera.publish(image(seconds, seed=i))
        found = node.results(5)
        assert [m.header for m in found] == [image(s).header for s in stamps]
        assert [m.frame_index for m in found] == list(range(5))
        assert {(m.height, m.width, m.epoch, m.dropped_since_last, m.backend) for m in found} == {
            (48, 64, 0, 0, "eager/cpu")
        }
        assert all(m.instances for m in found)
        assert all(m.timings.track_ms > 0 and np.isnan(m.timings.age_ms) for m in found)

        # A loop, another size, another source, and a request: an epoch each.
        for message in (image(5.0), image(5.1, (40, 64)), image(5.2, (40, 64))):
            camera.publish(message)
        node.results(8)
        other = image(5.3, (40, 64))
        other.header.frame_id = "other"
        camera.publish(other)
        node.results(9)
        assert peer.call(Trigger, "/a2vis/reset", Trigger.Request()).success
        camera.publish(image(5.4, (40, 64), seed=1))
        # Twice between the last two: as asked for, and back to the first camera.
        assert [m.epoch for m in node.results(10)[5:]] == [1, 2, 2, 3, 5]
        for words in ("time ran backwards by 0.133 s", "size changed from 64x48 to 64x40", "'camera' to 'other'"):
            assert words in node.log()

        # Thresholds while it runs; what cannot be used is refused and changes nothing.
        assert not peer.set_parameter(NODE, start_score=7.0)[0].successful
        refused = peer.set_parameter(NODE, stride=2)[0]
        assert not refused.successful
        assert "deactivate" in refused.reason
        assert peer.set_parameter(NODE, start_score=1.0, keep_score=1.0)[0].successful
        peer.call(Trigger, "/a2vis/reset", Trigger.Request())
        camera.publish(image(5.5, (40, 64)))
        # Nothing is confirmed now, and that is published too.
        assert node.results(11)[-1].instances == []
        results = peer.set_parameter(NODE, keep_score=0.0) + peer.set_parameter(NODE, start_score=0.0)
        assert all(result.successful for result in results)

        # Pictures, now that somebody looks.
        overlays, ids = peer.listen(Image, "/a2vis/overlay"), peer.listen(Image, "/a2vis/visible_ids")
        for publisher_topic in ("/a2vis/overlay", "/a2vis/visible_ids"):
            peer.until(lambda topic=publisher_topic: peer.node.count_publishers(topic))
        stamps = itertools.count(5.6, 0.001)
        sent: list[Any] = []

        def drawn() -> bool:
            """Both pictures have come; the node learns of who looks when it does."""
            sent.append(image(next(stamps), (40, 64)))
            camera.publish(sent[-1])
            answered = 11 + len(sent)
            node.results(answered)
            peer.spin(0.2)
            return bool(overlays and ids)

        peer.until(drawn)
        assert (overlays[0].encoding, overlays[0].height, overlays[0].width) == ("rgb8", 40, 64)
        peer.until(lambda: overlays[-1].header == ids[-1].header == sent[-1].header)
        values = np.frombuffer(ids[-1].data, "<u2").reshape(40, 64)
        visible = {t.track_id for t in node.tracks[-1].instances if t.visible.area and t.state in (0, 1, 2)}
        assert set(np.unique(values)) - {0} <= visible
        assert decode_rgb(image_of(ids[-1])).shape == (40, 64, 3)

        count = 11 + len(sent)
        assert node.books() == {"received": count, "processed": count}
        node.lifecycle.change("deactivate")
        assert not peer.call(Trigger, "/a2vis/reset", Trigger.Request()).success
        peer.until(lambda: not camera.get_subscription_count())
        node.lifecycle.change("activate")
        peer.until(camera.get_subscription_count)
        before = node.tracks[-1]
        camera.publish(image(next(stamps), (40, 64)))
        again = node.results(count + 1)[-1]
        assert again.epoch == before.epoch + 1
        assert again.frame_index == before.frame_index + 1
        for transition in ("deactivate", "cleanup", "configure", "cleanup"):
            node.lifecycle.change(transition)
        assert node.lifecycle.state() == "unconfigured"


def test_a_model_that_is_missing_or_broken_fails_in_words_and_can_be_mended(
    peer: Peer, tmp_path: Path, weights: str
) -> None:
    from a2vis_ros.programs.lifecycle_client import LifecycleError

    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(Path(weights).read_bytes()[:5000])
    with running(peer, tmp_path, weights="/nowhere.safetensors") as node:
        for path, words in (("/nowhere.safetensors", "no such file"), (str(broken), "truncated")):
            assert peer.set_parameter(NODE, weights=path)[0].successful
            with pytest.raises(LifecycleError, match="its log says why"):
                node.lifecycle.change("configure")
            assert node.lifecycle.state() == "unconfigured"
            assert f"cannot configure: {path}: {words}" in node.log()
        peer.set_parameter(NODE, weights=weights)
        node.start()
        assert node.lifecycle.state() == "active"


def malformed(rng: np.random.Generator) -> Any:
    """An image message that is wrong in one way or several."""
    message = image(float(rng.uniform(0, 100)), (int(rng.integers(1, 9)), int(rng.integers(1, 9))))
    wrongs = (
        lambda: setattr(
            message, "data", bytes(rng.integers(0, 256, rng.integers(0, max(len(message.data), 1)), np.uint8))
        ),
        lambda: setattr(message, "step", int(rng.integers(0, max(min(message.width, 9) * 3, 1)))),
        lambda: setattr(message, "encoding", str(rng.choice(["", "rgb", "32FC1", "jpeg", "x" * 3000, "bayer", "ü"]))),
        lambda: setattr(message, str(rng.choice(["height", "width"])), 0),
        lambda: setattr(message, str(rng.choice(["height", "width"])), int(rng.choice([20000, 2**31, 2**32 - 1]))),
        lambda: setattr(message.header.stamp, "nanosec", int(rng.integers(10**9, 2**32))),
        lambda: setattr(message.header.stamp, "sec", -int(rng.integers(1, 2**31))),
    )
    for index in rng.choice(len(wrongs), rng.integers(1, 4), replace=False):
        wrongs[index]()
    return message


def test_a_thousand_malformed_images_then_a_good_one(peer: Peer, tmp_path: Path, weights: str) -> None:
    with running(peer, tmp_path, weights=weights) as node:
        node.start()
        camera = node.publisher()
        rng = np.random.default_rng(7)
        for i in range(1000):
            camera.publish(malformed(rng))
            if i % 50 == 0:
                peer.spin(0.02)
        camera.publish(image(3.0))
        assert node.results(1)[0].dropped_since_last == 1000
        books = node.books()
        assert (books.pop("received"), books.pop("processed")) == (1001, 1)
        assert sum(books.values()) == 1000
        assert {"truncated image", "wrong step", "unknown encoding", "empty image", "image too large"} <= books.keys()
        assert "impossible stamp" in books
        # Said in words, but not a thousand times.
        assert "image dropped: " in node.log()
        assert node.log().count("image dropped") < 200


def test_a_flood_costs_images_but_neither_memory_nor_sums(peer: Peer, tmp_path: Path, weights: str) -> None:
    with running(peer, tmp_path, weights=weights, policy="latest") as node:
        node.start()
        camera = node.publisher()
        memory = float(node.diagnostics()["memory_mib"])
        stamps = itertools.count(10.0, 0.001)

        def flooded() -> bool:
            """A thousand images a second and more, until the node has had its share of them."""
            for _ in range(100):
                camera.publish(image(next(stamps), (48, 64)))
                time.sleep(0.001)
            heard = node.heard()
            return int(heard.get("received", 0)) > 200 and "dropped: superseded" in heard

        peer.until(flooded)
        values, books = node.diagnostics(), node.books()
        assert books["received"] == books["processed"] + sum(
            count for cause, count in books.items() if cause not in ("received", "processed")
        )
        assert float(values["memory_mib"]) < memory + 100
        # What came last is what was answered last.
        newest = image(next(stamps))
        camera.publish(newest)
        peer.until(lambda: node.tracks[-1].header == newest.header)


def test_services_answer_while_an_engine_is_built(peer: Peer, tmp_path: Path) -> None:
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from rcl_interfaces.srv import GetParameters

    from a2vis_ros.programs.lifecycle_client import LifecycleError

    built = tmp_path / "built"
    with running(peer, tmp_path, module="fake_node", engine_cache=str(built)) as node:
        client = peer.node.create_client(ChangeState, "/a2vis/change_state")
        assert client.wait_for_service(PATIENCE_S)
        request = ChangeState.Request()
        request.transition.id = Transition.TRANSITION_CONFIGURE
        configured = client.call_async(request)
        peer.until(lambda: node.heard().get("preparing") == "building an engine")
        assert node.lifecycle.state() == "configuring"
        # Thresholds change, what is being used does not, and both answers come at once.
        assert peer.set_parameter(NODE, min_area=77)[0].successful
        refused = peer.set_parameter(NODE, backend="eager")[0]
        assert not refused.successful
        assert "backend is read when the node is configured" in refused.reason
        names = GetParameters.Request(names=["min_area", "backend"])
        found = peer.call(GetParameters, "/a2vis/get_parameters", names).values
        assert (found[0].integer_value, found[1].string_value) == (77, "auto")
        # A transition that cannot be now is refused, and nothing else happens.
        with pytest.raises(LifecycleError):
            node.lifecycle.change("activate")
        with pytest.raises(LifecycleError):
            node.lifecycle.change("configure")
        assert not configured.done()
        status = node.diagnostics()
        assert (status["state"], status["level"], status["backend"]) == ("configuring", "1", "asked for auto, fp32")
        assert status["message"].startswith("being configured for ")
        built.touch()
        peer.until(configured.done)
        assert configured.result().success
        assert node.diagnostics()["engine"] == "0123abcd"
        node.lifecycle.change("activate")
        camera = node.publisher()
        camera.publish(cost(peer, 0, divided=False))
        node.results(1)
        for transition in ("deactivate", "cleanup"):
            node.lifecycle.change(transition)
        assert node.lifecycle.state() == "unconfigured"


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_the_program_ends_at_once_while_an_engine_is_built(peer: Peer, tmp_path: Path, told: signal.Signals) -> None:
    log = tmp_path / "log"
    with process("fake_node", *arguments(engine_cache=str(tmp_path / "never")), log=log) as program:
        peer.have_an_engine_built(log)
        # It is in the midst of it then.
        peer.spin(0.5)
        program.send_signal(told)
        assert program.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.read_text()


def test_transitions_that_cannot_be_now_are_refused(peer: Peer, tmp_path: Path) -> None:
    """Of its own Jazzy's rclpy would end the program; Kilted's refuses them in its own words."""
    from a2vis_ros.programs.lifecycle_client import LifecycleError

    with running(peer, tmp_path, module="fake_node") as node:
        for transition in ("activate", "deactivate", "cleanup"):
            with pytest.raises(LifecycleError):
                node.lifecycle.change(transition)
            assert node.lifecycle.state() == "unconfigured"
        assert "is refused in this state" in node.log() or "Unable to start transition" in node.log()
        node.start()
        assert node.lifecycle.state() == "active"


def test_it_is_disabled_and_enabled_without_a_transition(peer: Peer, tmp_path: Path) -> None:
    from std_srvs.srv import SetBool

    with running(peer, tmp_path, module="fake_node") as node:

        def enable(data: bool) -> tuple[bool, str]:
            answer = peer.call(SetBool, "/a2vis/enable", SetBool.Request(data=data))
            return answer.success, answer.message

        node.lifecycle.change("configure")
        assert enable(False) == (False, "the node is not active; activate it, which enables it too")
        node.lifecycle.change("activate")
        camera = node.publisher()
        camera.publish(cost(peer, 0, divided=False))
        node.results(1)
        assert enable(True) == (True, "it is active already")
        assert enable(False)[0]
        assert node.lifecycle.state() == "active"
        status = node.diagnostics()
        assert (status["state"], status["message"]) == ("disabled", "disabled; no images are processed")
        peer.until(lambda: not camera.get_subscription_count())
        camera.publish(cost(peer, 0, divided=False))
        peer.spin(0.5)
        assert len(node.tracks) == 1
        assert enable(True)[0]
        peer.until(camera.get_subscription_count)
        camera.publish(cost(peer, 0, divided=False))
        assert [m.epoch for m in node.results(2)] == [0, 1]
        assert node.diagnostics()["epoch_reason"] == "enabled again by ~/enable"
        assert node.books() == {"received": 2, "processed": 2}
        # Activating enables.
        enable(False)
        for transition in ("deactivate", "activate"):
            node.lifecycle.change(transition)
        assert node.diagnostics()["state"] == "active"


def test_cleanup_lets_go_of_the_model(peer: Peer) -> None:
    """In this process, and without help by a collection that happens to come."""
    import fake_node

    from a2vis_ros.node.a2vis_node import A2visNode
    from a2vis_ros.stream.models import LoadedModel, ModelRequest, ReportProgress

    trackers: list[weakref.ref[Any]] = []

    def load(request: ModelRequest, progress: ReportProgress) -> LoadedModel:
        model = fake_node.load(request, progress)
        trackers.append(weakref.ref(model.tracker))
        return model

    node = A2visNode(load, context=peer.context)
    peer.executor.add_node(node)
    gc.disable()
    try:
        for _ in range(3):
            for transition in ("configure", "activate", "deactivate", "cleanup"):
                assert getattr(node, f"trigger_{transition}")().name == "SUCCESS"
        assert [tracker() for tracker in trackers] == [None] * 3
    finally:
        gc.enable()
        # Whole, so that its services do not answer for the node of another test.
        peer.executor.remove_node(node)
        node.close()
        del node
        gc.collect()


def test_mismatched_qos_and_silence_are_said_in_words(peer: Peer, tmp_path: Path, weights: str) -> None:
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    with running(peer, tmp_path, weights=weights, no_image_s=0.3) as node:
        node.start()
        peer.until(lambda: "no publisher on /image for" in node.log())
        publisher = peer.node.create_publisher(Image, "/image", best_effort)
        peer.until(lambda: "offers less reliability than this node asks for" in node.log())
        assert "qos_overrides./image.subscription.reliability to best_effort" in node.log()
        peer.node.destroy_publisher(publisher)
    # As the message says:
    parameter = {"qos_overrides./image.subscription.reliability": "best_effort"}
    with running(peer, tmp_path, "-r", "__node:=mended", name="/mended", weights=weights, **parameter) as node:
        node.start()
        camera = node.publisher(qos=best_effort)
        peer.until(lambda: camera.publish(image(1.0)) or node.tracks)


def test_two_cameras_by_two_nodes_in_namespaces(peer: Peer, tmp_path: Path, weights: str) -> None:
    with (
        running(peer, tmp_path, "-r", "__ns:=/left", name="/left/a2vis", weights=weights) as left,
        running(peer, tmp_path, "-r", "__ns:=/right", name="/right/a2vis", weights=weights) as right,
    ):
        for node in (left, right):
            node.start()
        cameras = [node.publisher(f"/{side}/image") for node, side in ((left, "left"), (right, "right"))]
        cameras[0].publish(image(1.0))
        cameras[1].publish(image(2.0))
        cameras[1].publish(image(2.1))
        assert [m.header.stamp.sec for m in right.results(2)] == [2, 2]
        assert [m.header.stamp.sec for m in left.results(1)] == [1]
        peer.spin(0.5)
        assert (len(left.tracks), len(right.tracks)) == (1, 2)


def simulate_time(node: Running, seconds: int) -> None:
    """Have the clock of a node that uses simulated time stand there."""
    from rosgraph_msgs.msg import Clock

    clock = node.peer.node.create_publisher(Clock, "/clock", 10)
    now = Clock()
    now.clock.sec = seconds
    # Subscriptions to /clock are best effort.
    node.peer.until(lambda: clock.publish(now) or node.heard().get("time") == str(seconds))


def test_compressed_images_and_simulated_time(peer: Peer, tmp_path: Path, weights: str) -> None:
    import cv2
    from sensor_msgs.msg import CompressedImage

    with running(peer, tmp_path, weights=weights, transport="compressed", use_sim_time=True) as node:
        node.start()
        simulate_time(node, 100)
        camera = node.publisher("/image/compressed", CompressedImage)
        for quality in (90, 91):
            picture = np.random.default_rng(quality).integers(0, 256, (48, 64, 3), np.uint8)
            message = CompressedImage(header=image(99.75).header, format="jpeg")
            message.data.frombytes(cv2.imencode(".jpg", picture)[1].tobytes())
            camera.publish(message)
        camera.publish(CompressedImage(header=image(99.8).header, format="jpeg", data=b"\xff\xd8\xff"))
        found = node.results(2)
        assert [(m.height, m.width) for m in found] == [(48, 64)] * 2
        # The simulated clock stands at 100 s.
        assert found[0].timings.age_ms == pytest.approx(250, abs=1)
        assert node.books()["truncated image"] == 1


def cost(peer: Peer, milliseconds: int, *, divided: bool) -> Any:
    """An image of now that costs the model of `fake_node` so much."""
    message = image(peer.node.get_clock().now().nanoseconds * 1e-9, (10, 10))
    message.data[0], message.data[1] = milliseconds, int(divided)
    return message


def test_a_slow_model_gives_up_clips_then_pictures(peer: Peer, tmp_path: Path) -> None:
    """However busy this computer is: results are never younger than the model is slow."""
    with running(peer, tmp_path, module="fake_node", policy="latest", age_budget_s=0.01) as node:
        node.start()
        camera = node.publisher()

        def exhausted() -> bool:
            camera.publish(cost(peer, 30, divided=False))
            peer.spin(0.02)
            return "no overlay and no ID image" in (said := node.heard().get("degradation", "")) and "nothing" in said

        peer.until(exhausted)
        status = node.heard()
        assert (status["level"], status["message"]) == ("1", f"degraded: {status['degradation']}")
        assert "degradation: a clip every 2 frames instead of 1 to keep age_budget_s=0.01" in node.log()
        # And has it all again when it is told not to mind.
        assert peer.set_parameter(NODE, age_budget_s=0.0)[0].successful
        peer.until(lambda: node.diagnostics()["degradation"] == "off")


def test_steps_are_taken_by_the_ages_and_taken_back(peer: Peer, tmp_path: Path) -> None:
    """By a clock that stands still and images that are as old as the test wants them, one at a time."""
    from sensor_msgs.msg import Image

    from a2vis_ros.stream.degradation import PATIENCE, SETTLING, WINDOW

    # Images that become older run back in time, which is no lateness here.
    values = {"policy": "latest", "age_budget_s": 0.1, "use_sim_time": True, "max_gap_s": 0.001}
    # The node would subscribe anew once it knows of the camera, and an image that comes meanwhile would have no answer.
    values["qos_overrides./image.subscription.reliability"] = "reliable"
    with running(peer, tmp_path, module="fake_node", **values) as node:
        node.start()
        simulate_time(node, 100)
        camera = node.publisher()
        overlays = peer.listen(Image, "/a2vis/overlay")
        ids = peer.listen(Image, "/a2vis/visible_ids")

        def answer(age_s: float, images: int, said: str) -> None:
            """Have so many results of that age. What is said after the last of them stays said: no pace matters."""
            for _ in range(images):
                count = len(node.tracks)
                message = image(100 - age_s, (10, 10))
                message.data[0] = 0
                camera.publish(message)
                peer.until(lambda count=count: len(node.tracks) > count)
            assert node.tracks[-1].timings.age_ms == pytest.approx(age_s * 1000)
            peer.until(lambda: node.heard().get("degradation", "") == said)

        def drawn(age_s: float) -> list[bool]:
            stamp = image(100 - age_s, (10, 10)).header.stamp
            return [any(picture.header.stamp == stamp for picture in pictures) for pictures in (overlays, ids)]

        budget = "to keep age_budget_s=0.1"
        answer(0.05, 2, "full quality, age_budget_s is 0.1")
        answer(0.5, WINDOW - 2, f"a clip every 2 frames instead of 1 {budget}")
        # The larger stride has helped.
        answer(0.3, SETTLING + WINDOW, f"a clip every 4 frames instead of 1 {budget}")
        nothing = f"a clip every 4 frames instead of 1, no overlay and no ID image {budget}"
        answer(0.2, SETTLING + WINDOW, nothing)
        answer(0.19, SETTLING + WINDOW, f"{nothing}; results are still too old, and nothing more can be given up")
        answer(0.01, PATIENCE * WINDOW - 1, nothing)
        answer(0.02, 1, f"a clip every 4 frames instead of 1 {budget}")
        # A topic keeps its order: with the last picture, all before it have come.
        peer.until(lambda: all(drawn(0.02)))
        assert [all(drawn(age_s)) for age_s in (0.05, 0.5, 0.3, 0.2)] == [True] * 4
        assert [any(drawn(age_s)) for age_s in (0.19, 0.01)] == [False] * 2


@pytest.mark.parametrize("depth", [1000, 10])
def test_a_replay_loses_nothing_to_a_slow_model(peer: Peer, tmp_path: Path, depth: int) -> None:
    """The queue is full from the start, and most images wait in the subscription."""
    with running(peer, tmp_path, module="fake_node", queue_size=5) as node:
        node.start()
        camera = node.publisher(qos=depth)
        sent = []
        for _ in range(60):
            sent.append(cost(peer, 50, divided=False))
            camera.publish(sent[-1])
            peer.spin(0.01)
        assert [message.header for message in node.results(60)] == [message.header for message in sent]
        assert node.books() == {"received": 60, "processed": 60}


def test_a_replay_gives_nothing_up(peer: Peer, tmp_path: Path) -> None:
    with running(peer, tmp_path, module="fake_node", age_budget_s=0.001) as node:
        node.start()
        camera = node.publisher()
        for _ in range(150):
            camera.publish(cost(peer, 5, divided=True))
        node.results(150)
        assert node.diagnostics()["degradation"] == "off"


def test_a_wrong_parameter_ends_the_program_in_words() -> None:
    for parameter, words in (({"stride": 0}, "stride"), ({"policy": 5}, "policy")):
        command = [sys.executable, "-m", "a2vis_ros.node.a2vis_node", *arguments(**parameter)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert ended.returncode == 2, ended.stderr
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
