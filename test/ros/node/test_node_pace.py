"""The node's time: clocks, models that are slow, and replays that lose nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_helpers import PATIENCE_S, Peer, arguments, image, needs_ros, process
from running_node import NODE, Running, cost, peer, running

__all__ = ["peer"]


pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]


def simulate_time(node: Running, seconds: int) -> None:
    """Have the clock of a node that uses simulated time stand there."""
    from rosgraph_msgs.msg import Clock

    clock = node.peer.node.create_publisher(Clock, "/clock", 10)
    now = Clock()
    now.clock.sec = seconds
    # Subscriptions to /clock are best effort.
    node.peer.until(lambda: clock.publish(now) or node.heard().get("time") == str(seconds))


def test_compressed_images_and_simulated_time(peer: Peer, tmp_path: Path) -> None:
    import cv2
    from sensor_msgs.msg import CompressedImage

    with running(peer, tmp_path, module="fake_node", transport="compressed", use_sim_time=True) as node:
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


@pytest.mark.parametrize(("parameter", "words"), [({"stride": 0}, "stride"), ({"policy": 5}, "policy")])
def test_a_wrong_parameter_ends_the_program_in_words(tmp_path: Path, parameter: dict[str, Any], words: str) -> None:
    log = tmp_path / "log"
    with process("fake_node", *arguments(**parameter), log=log) as program:
        assert program.wait(PATIENCE_S) == 2
    said = log.read_text()
    assert words in said
    assert "Traceback" not in said
