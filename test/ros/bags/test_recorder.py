"""The recorder where it can write no more."""

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from ros_helpers import PATIENCE_S, Peer, needs_ros

pytestmark = needs_ros


def test_a_full_disk_is_said_once_and_what_is_lost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from a2vis_ros.msg import TrackedInstanceArray
    from rosbags.rosbag2 import Writer

    from a2vis_ros.bags.bag_files import TRACKS, BagError, BagWriter
    from a2vis_ros.bags.recorder import BagRecorder

    written = []

    def write(self: Writer, connection: object, time_ns: int, data: bytes) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(data)

    monkeypatch.setattr(Writer, "write", write)
    peer = Peer()
    bag = BagWriter(tmp_path / "bag", "mcap")
    bag.__enter__()
    recorder = BagRecorder(peer.node, bag)
    publisher = peer.node.create_publisher(TrackedInstanceArray, TRACKS, 10)
    peer.until(publisher.get_subscription_count)
    for _ in range(5):
        publisher.publish(TrackedInstanceArray())
    peer.until(lambda: recorder.recorded + recorder.lost == 5)
    bag.__exit__(BagError, None, None)
    peer.close()
    assert (recorder.recorded, recorder.lost) == (2, 3)
    said = capfd.readouterr().err
    assert said.count("recording has stopped") == 1
    assert "the disk is full; free some space" in said


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recorder_that_may_write_no_more_ends_in_words(tmp_path: Path, storage: str) -> None:
    """For real: the system lets the recorder's files grow to 300 KB and no further."""
    from a2vis_ros.msg import TrackedInstanceArray

    peer = Peer()
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        "from a2vis_ros.bags.recorder import main; sys.exit(main(sys.argv[1:]))"
    )
    log = tmp_path / "log"
    with open(log, "wb") as output:
        recorder = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "bag"), "--storage", storage],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        publisher = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 100)
        peer.until(publisher.get_subscription_count)
        noise = np.random.default_rng(0).bytes(50_000).hex()

        def says_so() -> bool:
            publisher.publish(TrackedInstanceArray(backend=noise))
            return "cannot be written" in log.read_text()

        peer.until(says_so)
        peer.spin(0.2)
        assert recorder.poll() is None
    finally:
        recorder.terminate()
        recorder.wait(PATIENCE_S)
        peer.close()
    assert recorder.returncode in (1, 2)
    assert "Traceback" not in log.read_text()
