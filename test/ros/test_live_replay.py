"""A bag played to a running node: the end comes with the last answer, not with the last image sent."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import Peer, arguments, image, needs_ros, process

pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]

IMAGES = 25
PLAYER = [sys.executable, "-m", "a2vis_ros.bags.player"]


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.close()


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Images that cost the `fake_node` 50 ms each."""
    from a2vis_ros.bags.bag_files import BagWriter

    with BagWriter(tmp_path / "bag", "mcap") as bag:
        for i in range(IMAGES):
            message = image(1 + i / 30, (10, 10))
            message.data[0], message.data[1] = 50, 0
            bag.write("/image", message, round((1 + i / 30) * 1e9))
    return tmp_path / "bag"


def test_it_ends_when_the_last_image_is_answered(peer: Peer, tmp_path: Path, bag: Path) -> None:
    """The queue holds two, so most images wait in the subscription when the player ends."""
    from a2vis_ros.msg import TrackedInstanceArray

    heard: list[Any] = peer.listen(TrackedInstanceArray, "/robot1/a2vis/tracks")
    log, said = tmp_path / "log", tmp_path / "said"
    given = arguments(policy="every_frame", queue_size=2, diagnostics_period_s=0.1, autostart=True)
    namespace = ("-r", "__ns:=/robot1", "-r", "image:=/image")
    with process("fake_node", *given, *namespace, log=log):
        play = ["--node", "a2vis", "--", *PLAYER, str(bag), "--topics", "/image", "--speed", "20"]
        with process("a2vis_ros.bags.live_replay", *play, "--ros-args", *namespace, log=said) as replay:
            peer.until(lambda: replay.poll() is not None, 120)
            assert replay.returncode == 0, said.read_text() + log.read_text()
        peer.until(lambda: len(heard) == IMAGES)
    assert f"{IMAGES} images received = {IMAGES} processed + 0 dropped + 0 in flight" in said.read_text()


def test_a_player_that_fails_is_said(tmp_path: Path) -> None:
    log, said = tmp_path / "log", tmp_path / "said"
    with process("fake_node", *arguments(diagnostics_period_s=0.1, autostart=True), log=log):
        for command, words in (
            ([*PLAYER, "/nowhere"], "the player has failed with status 2"),
            (["/no/such"], "/no/such"),
        ):
            with process("a2vis_ros.bags.live_replay", "--", *command, log=said) as replay:
                assert replay.wait(60) == 1
            assert words in said.read_text()
    assert "Traceback" not in said.read_text()
