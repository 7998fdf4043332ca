"""Bags whose recorder was killed are read to the last flush, and none runs what it names."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from ros_helpers import Peer, image, needs_ros

pytestmark = needs_ros

STORAGES = pytest.mark.parametrize("storage", ["mcap", "sqlite3"])


def write(path: Path, storage: Any, count: int, then: str) -> None:
    """A bag of `count` images, flushed, and one that is not; from a process of its own that ends at once there."""
    code = (
        "import os, sys; sys.path.insert(0, 'test/helpers'); from ros_helpers import image;"
        "from a2vis_ros.bags.bag_files import BagWriter\n"
        f"bag = BagWriter({str(path)!r}, {storage!r}).__enter__()\n"
        f"for i in range({count}): bag.write('/image', image(i, seed=i), 100 - i)\n"
        "bag.flush()\n"
        "bag.write('/image', image(99), 99)\n"
        f"{then}\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=120)


@STORAGES
def test_what_was_flushed_is_read_after_a_kill(tmp_path: Path, storage: Any) -> None:
    from sensor_msgs.msg import Image

    from a2vis_ros.bags.bag_files import BagReader

    write(tmp_path / "bag", storage, 3, "os.kill(os.getpid(), 9)")
    for _ in range(2):  # the second time as any other bag
        with BagReader(tmp_path / "bag") as bag:
            found = [(time_ns, message.header.stamp.sec) for time_ns, message in bag.messages(Image, "/image")]
            assert bag.count("/image") == 3
        # By time, though the clock ran backwards while it was recorded.
        assert found == [(98, 2), (99, 1), (100, 0)]
    assert sorted(path.suffix for path in (tmp_path / "bag").iterdir()) == [
        {"mcap": ".mcap", "sqlite3": ".db3"}[storage],
        ".yaml",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


@STORAGES
def test_a_repair_writes_through_no_link(tmp_path: Path, storage: Any) -> None:
    from a2vis_ros.bags.bag_files import BagError, BagReader

    write(tmp_path / "bag", storage, 3, "os.kill(os.getpid(), 9)")
    (file,) = (path for path in (tmp_path / "bag").iterdir() if path.suffix in (".mcap", ".db3"))
    victim = file.rename(tmp_path / "victim")
    before = victim.read_bytes()
    file.symlink_to(victim)
    with pytest.raises(BagError, match="is a link or no file"):
        BagReader(tmp_path / "bag").__enter__()
    assert victim.read_bytes() == before


@pytest.mark.parametrize("name", ["metadata.yaml", "bag.mcap"])
def test_a_pipe_in_a_bag_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    from a2vis_ros.bags.bag_files import BagError, BagReader, BagWriter

    with BagWriter(tmp_path / "bag", "mcap") as writer:
        writer.write("/image", image(0), 0)
    (tmp_path / "bag" / name).unlink()
    os.mkfifo(tmp_path / "bag" / name)
    for path in (tmp_path / "bag", tmp_path / "bag" / name):
        with pytest.raises(BagError, match=f"not a readable bag \\({name} is not a regular file\\)"):
            BagReader(path)


def test_half_a_record_at_the_end_costs_no_other(tmp_path: Path) -> None:
    from a2vis_ros.bags.bag_files import BagReader, reindex

    write(tmp_path / "bag", "mcap", 3, "os.kill(os.getpid(), 9)")
    with open(tmp_path / "bag" / "bag.mcap", "ab") as file:
        file.write(b"\x06" + (10**6).to_bytes(8, "little") + b"half")
    assert reindex(tmp_path / "bag") == 3
    with BagReader(tmp_path / "bag") as bag:
        assert bag.count("/image") == 3


@STORAGES
def test_a_recorder_killed_before_the_first_message_leaves_an_empty_bag(tmp_path: Path, storage: Any) -> None:
    from a2vis_ros.bags.bag_files import BagReader

    bag = str(tmp_path / "bag")
    code = f"import os; from a2vis_ros.bags.bag_files import BagWriter; BagWriter({bag!r}, {storage!r})"
    subprocess.run([sys.executable, "-c", f"{code}.__enter__(); os.kill(os.getpid(), 9)"], cwd=ROOT, check=False)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.topics == {}


@STORAGES
def test_a_bag_that_is_being_recorded_is_left_alone(tmp_path: Path, storage: Any) -> None:
    from a2vis_ros.bags.bag_files import BagError, BagReader, BagWriter

    with BagWriter(tmp_path / "bag", storage) as writer:
        writer.write("/image", image(0), 0)
        writer.flush()
        with pytest.raises(BagError, match="it is being recorded; wait until its recorder has ended"):
            BagReader(tmp_path / "bag").__enter__()
        writer.write("/image", image(1), 1)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.count("/image") == 2


@STORAGES
def test_the_recorder_flushes_by_itself(tmp_path: Path, storage: str) -> None:
    from a2vis_ros.msg import TrackedInstanceArray

    from a2vis_ros.bags.bag_files import TRACKS, BagReader

    peer = Peer()
    recorder = subprocess.Popen(
        [sys.executable, "-m", "a2vis_ros.bags.recorder", str(tmp_path / "bag"), "--storage", storage],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    metadata = tmp_path / "bag" / "metadata.yaml"
    try:
        publisher = peer.node.create_publisher(TrackedInstanceArray, TRACKS, 100)
        peer.until(publisher.get_subscription_count)
        for i in range(5):
            publisher.publish(TrackedInstanceArray(frame_index=i))
        peer.until(lambda: "message_count: 5" in metadata.read_text())
    finally:
        recorder.send_signal(signal.SIGKILL)
        recorder.wait()
        peer.close()
    with BagReader(tmp_path / "bag") as bag:
        assert [message.frame_index for _, message in bag.messages(TrackedInstanceArray, TRACKS)] == list(range(5))


def test_damaged_masks_in_a_bag_are_said(tmp_path: Path) -> None:
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    from a2vis_model import A2VISError
    from a2vis_ros.bags.scoring import score

    track = TrackedInstance(track_id=1, state=TrackedInstance.VISIBLE, class_name="thing")
    track.visible.area = 1
    track.visible.roi.width = track.visible.roi.height = 2**14
    message = TrackedInstanceArray(header=image(1.5).header, height=48, width=64, instances=[track])
    with pytest.raises(A2VISError, match=r"the message of 1\.500000000 s is damaged: the mask's box ends at"):
        score([message], [message], (), tmp_path / "scores")


def test_messages_of_too_many_instances_are_refused_with_bag_topic_and_number(tmp_path: Path) -> None:
    from a2vis_ros.msg import HiddenObject, HiddenObjectArray, TrackedInstance, TrackedInstanceArray

    from a2vis_ros.bags.bag_files import GROUND_TRUTH, TRACKS, BagError, BagReader, BagWriter
    from a2vis_ros.bags.replay import score_bags, tracks_in

    with BagWriter(tmp_path / "bag", "mcap") as bag:
        for topic in (TRACKS, GROUND_TRUTH):
            bag.write(topic, TrackedInstanceArray(instances=[TrackedInstance()] * 5000), 1)
        bag.write("/hidden", HiddenObjectArray(objects=[HiddenObject()] * 5000), 1)
    words = r"/bag: a message on %s cannot be read \(.* it holds 5000, more than 4096, .*record or make the bag again$"
    with pytest.raises(BagError, match=words % TRACKS):
        tracks_in(tmp_path / "bag", TRACKS)
    with pytest.raises(BagError, match=words % TRACKS):
        score_bags(tmp_path / "bag", TRACKS, tmp_path / "bag", tmp_path / "scores")
    with BagReader(tmp_path / "bag") as bag, pytest.raises(BagError, match=words % "/hidden"):
        list(bag.messages(HiddenObjectArray, "/hidden"))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("payload/msg/X", "not installed here"),
        ("os/msg/X", "not installed here"),
        ("std_msgs/msg/Nothing", "not installed here"),
        ("payload", "is not a message type"),
        ("a/b/c/d", "is not a message type"),
        ("std_msgs/srv/Empty", "is not a message type"),
        ("std_msgs/msg/__name__", "is not a message type"),
        ("../payload/msg/X", "is not a message type"),
    ],
)
def test_the_type_of_a_topic_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, said: str
) -> None:
    from a2vis_ros.bags.bag_files import BagError
    from a2vis_ros.bags.player import _type

    (tmp_path / "payload.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(BagError, match=said):
        _type(kind)


def test_a_module_of_the_current_folder_does_not_pass_for_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from std_msgs.msg import Header

    from a2vis_ros.bags.bag_files import BagError
    from a2vis_ros.bags.player import _type

    assert _type("std_msgs/msg/Header") is Header
    (tmp_path / "nav_msgs.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nav_msgs", raising=False)
    with pytest.raises(BagError, match="not installed here"):
        _type("nav_msgs/msg/Odometry")
