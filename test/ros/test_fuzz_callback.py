"""The subscription's own callback, in a node that is active: no message ends it, and the books add up."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import Peer, needs_ros

pytest.importorskip("hypothesis", reason="hypothesis is not installed; pip install -e '.[test]'")
pytestmark = needs_ros


def as_message(seconds: int, nanoseconds: int, frame_id: str, content: Any) -> Any:
    """The ROS message of an image that `fuzz_targets` makes."""
    from sensor_msgs.msg import CompressedImage, Image

    from a2vis_ros.stream.image_decoding import RawImage

    if isinstance(content, RawImage):
        message = Image(height=content.height, width=content.width, encoding=content.encoding, step=content.step)
        message.is_bigendian = int(content.is_bigendian)
    else:
        message = CompressedImage(format=content.format)
    message.data.frombytes(bytes(content.data))
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    return message


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_messages_do_not_end_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from fuzz_targets import image_messages
    from hypothesis import HealthCheck, given, settings
    from scripted_tracker import ScriptedTracker

    from a2vis_ros.node.a2vis_node import A2visNode
    from a2vis_ros.stream.models import LoadedModel

    def load(*_: Any) -> LoadedModel:
        return LoadedModel(ScriptedTracker(), 4, "fake", "nothing", "fake/cpu", ("thing",), engine="")

    # By itself: what hypothesis keeps of the test keeps the node's services, and under the name of the nodes of later
    # tests they would be found, and answer nobody.
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + int(os.environ["ROS_DOMAIN_ID"]) % 100))
    peer = Peer()
    node = A2visNode(load, context=peer.context)
    for transition in ("configure", "activate"):
        assert getattr(node, f"trigger_{transition}")().name == "SUCCESS"
    stream = node._stream
    fed = 0

    @settings(max_examples=100, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(image_messages(tmp_path))
    def feed(messages: list[Any]) -> None:
        nonlocal fed
        for message in messages:
            stream._take(as_message(*message))
            fed += 1
        assert stream._ledger.read().balanced

    try:
        feed()
        time.sleep(0.1)  # for the worker to be in the middle of something
        assert node.trigger_deactivate().name == "SUCCESS"
        books = stream._ledger.read()
        assert books.balanced
        assert (books.received, books.in_flight) == (fed, 0)
        assert books.processed
        assert len(stream._last_error) <= 503
    finally:
        node.close()
        peer.close()
