"""A frame_id that is not UTF-8 comes out of a bag, and of what is made of one, bit for bit."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import call, image, needs_ros
from scripted_tracker import ScriptedTracker

from a2vis_ros.stream.parameters import Settings
from a2vis_ros.wire.cdr import CdrReader, bytes_of, text_of

pytestmark = needs_ros

LEFT, RIGHT = b"caf\xe9", b"caf\xe8"
"""In Latin-1. rclpy reads both as the same text."""


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_replay_passes_them_on_and_tells_them_apart(tmp_path: Path, storage: Any) -> None:
    from a2vis_ros.msg import TrackedInstanceArray
    from sensor_msgs.msg import Image

    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.bag_files import BagReader, BagWriter, type_name
    from a2vis_ros.bags.replay import replay
    from a2vis_ros.stream.models import LoadedModel

    model = LoadedModel(lambda tracks: ScriptedTracker(), 4, "fake", "nothing", "fake/cpu", ("thing",), engine="")
    sent = [LEFT, LEFT, RIGHT]
    with BagWriter(tmp_path / "bag", storage) as bag:
        for number, frame_id in enumerate(sent):
            message = image(number, (10, 10))
            message.header.frame_id = text_of(frame_id)
            bag.write("/image", message, number)
        # Half a message; it is counted, and costs no other.
        bag.write_raw("/image", type_name(Image), bytes(20), 3)
    said: list[str] = []
    with BagReader(tmp_path / "bag") as bag, BagWriter(tmp_path / "results", storage) as results:
        assert [bytes_of(m.header.frame_id) for m in itertools.islice(_messages(bag, Image), 3)] == sent
        books = replay(bag, "/image", results, Settings.defaults(), model, say=said.append, warn=said.append)
    assert (books.received, books.processed, books.dropped) == (4, 3, {"damaged message": 1})
    assert r"new epoch: frame_id changed from 'caf\udce9' to 'caf\udce8'" in said
    assert any(line.startswith("image 3: dropped: the message of 20 bytes is damaged") for line in said)
    with BagReader(tmp_path / "results") as bag:
        content = [data for _, data in bag.contents(TrackedInstanceArray, bag_files.TRACKS)]
    assert [bytes_of(CdrReader(data).header()[2]) for data in content] == sent


def _messages(bag: Any, kind: Any) -> Any:
    return (message for _, message in bag.messages(kind, "/image"))


def test_to_bag_writes_none_that_is_not_utf8(tmp_path: Path) -> None:
    done = call("bags.to_bag", tmp_path, tmp_path / "bag", "--frame-id", text_of(LEFT))
    assert done.returncode == 2
    assert done.stderr == "to_bag: --frame-id caf\\udce9: choose a text in UTF-8 without control characters\n"
