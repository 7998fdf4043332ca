"""A bag played to a running node: the end comes with the last answer, not with the last image sent."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from ros_helpers import PATIENCE_S, Peer, arguments, image, needs_ros, process

pytestmark = [needs_ros, pytest.mark.usefixtures("no_process_is_left_over")]

IMAGES = 25
PLAYER = [sys.executable, "-m", "a2vis_ros.bags.player"]


@pytest.fixture
def peer() -> Iterator[Peer]:
    found = Peer()
    yield found
    found.close()


def write_bag(path: Path, cost_ms: int) -> Path:
    """Images that cost the `fake_node` so much each."""
    from a2vis_ros.bags.bag_files import BagWriter

    with BagWriter(path, "mcap") as bag:
        for i in range(IMAGES):
            message = image(1 + i / 30, (10, 10))
            message.data[0], message.data[1] = cost_ms, 0
            bag.write("/image", message, round((1 + i / 30) * 1e9))
    return path


LATCHED_TRACKS = {"qos_overrides./robot1/a2vis/tracks.publisher.durability": "transient_local"}
"""However late the node learns of this listener: the publisher keeps 30, so all results come."""
BOOKS = f"{IMAGES} images received = {IMAGES} processed + 0 dropped + 0 in flight"


def test_it_ends_when_the_last_image_is_answered(peer: Peer, tmp_path: Path) -> None:
    """The queue holds two, so most images wait in the subscription when the player ends."""
    from a2vis_ros.msg import TrackedInstanceArray
    from rclpy.qos import DurabilityPolicy, QoSProfile

    latched = QoSProfile(depth=IMAGES, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    heard: list[Any] = peer.listen(TrackedInstanceArray, "/robot1/a2vis/tracks", latched)
    bag, log, said = write_bag(tmp_path / "bag", 50), tmp_path / "log", tmp_path / "said"
    given = arguments(policy="every_frame", queue_size=2, diagnostics_period_s=0.1, autostart=True, **LATCHED_TRACKS)
    namespace = ("-r", "__ns:=/robot1", "-r", "image:=/image")
    with process("fake_node", *given, *namespace, log=log):
        play = ["--node", "a2vis", "--", *PLAYER, str(bag), "--topics", "/image", "--speed", "20"]
        with process("a2vis_ros.bags.live_replay", *play, "--ros-args", *namespace, log=said) as replay:
            peer.until(lambda: replay.poll() is not None)
            assert replay.returncode == 0, said.read_text() + log.read_text()
        assert BOOKS in said.read_text(), said.read_text() + log.read_text()
        peer.until(lambda: len(heard) == IMAGES)


def test_it_is_not_misled_by_reports_from_before_the_images(peer: Peer, tmp_path: Path) -> None:
    """The program stands still while the player plays, as on busy cores: reports of no image at all wait for it."""
    # The node still has work when the player's process has ended, seconds after its last image.
    bag = write_bag(tmp_path / "bag", 200)
    log, said, played = tmp_path / "log", tmp_path / "said", tmp_path / "played"
    given = arguments(policy="every_frame", queue_size=2, diagnostics_period_s=0.5, autostart=True)
    player = ["sh", "-c", 'kill -STOP $PPID; "$@" && touch "$0"', str(played), *PLAYER, str(bag)]
    with process("fake_node", *given, log=log):
        play = ["--node", "a2vis", "--", *player, "--topics", "/image", "--speed", "20"]
        with process("a2vis_ros.bags.live_replay", *play, log=said) as replay:
            peer.until(played.exists)
            (shell,) = psutil.Process(replay.pid).children()
            peer.until(lambda: shell.status() == psutil.STATUS_ZOMBIE)
            replay.send_signal(signal.SIGCONT)
            peer.until(lambda: replay.poll() is not None)
            assert replay.returncode == 0, said.read_text() + log.read_text()
    assert BOOKS in said.read_text(), said.read_text() + log.read_text()


def test_a_player_that_fails_is_said(tmp_path: Path) -> None:
    log, said = tmp_path / "log", tmp_path / "said"
    with process("fake_node", *arguments(diagnostics_period_s=0.1, autostart=True), log=log):
        for command, words in (
            ([*PLAYER, "/nowhere"], "the player has failed with status 2"),
            (["/no/such"], "/no/such"),
        ):
            with process("a2vis_ros.bags.live_replay", "--", *command, log=said) as replay:
                assert replay.wait(PATIENCE_S) == 1
            assert words in said.read_text()
    assert "Traceback" not in said.read_text()


def test_reports_that_cannot_be_read_are_left_out() -> None:
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
    from rclpy.serialization import serialize_message

    from a2vis_ros.bags.live_replay import LiveReplay

    def report(received: str) -> DiagnosticArray:
        status = DiagnosticStatus(name="a2vis: tracking", values=[KeyValue(key="received", value=received)])
        return DiagnosticArray(status=[status])

    crowd = report("2")
    crowd.status = crowd.status * 5000
    rclpy.init(args=[])
    try:
        replay = LiveReplay("a2vis", ["true"])
        for content in (b"", b"\x00\x01\x00\x00\xff", serialize_message(crowd), serialize_message(report("1"))):
            replay._hear(bytes(content))
        assert replay._statuses == [{"received": "1"}]
        replay.close()
    finally:
        rclpy.try_shutdown()
