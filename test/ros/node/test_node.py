"""The node in a process of its own, over DDS, through its public interface alone."""

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_helpers import Peer, image, needs_ros
from running_node import NODE, peer, running, weights

from a2vis_model import ModelConfig

__all__ = ["peer", "weights"]


pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]


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


def test_a_thousand_malformed_images_then_a_good_one(peer: Peer, tmp_path: Path) -> None:
    with running(peer, tmp_path, module="fake_node") as node:
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
        # The log names the problem, but is throttled: it does not repeat it for each of the thousand images.
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
