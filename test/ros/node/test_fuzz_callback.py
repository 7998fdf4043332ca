"""The subscription's own callback, in a node that is active: no message ends it, and the books add up."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ros_helpers import free_domain, needs_ros

pytest.importorskip("hypothesis", reason="hypothesis is not installed; pip install -e '.[test]'")
pytestmark = needs_ros


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hostile_messages_do_not_end_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fuzz_targets import image_messages
    from hypothesis import HealthCheck, given, settings
    from image_callback import ImageCallback

    # By itself: what hypothesis keeps of the test keeps the node's services, and under the name of the nodes of later
    # tests they would be found, and answer nobody.
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    with ImageCallback() as callback:

        @settings(
            max_examples=100, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(image_messages(tmp_path))
        def feed(messages: list[Any]) -> None:
            callback.take(messages, tmp_path)

        feed()


def test_a_worker_that_waits_is_told_from_one_that_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import image_callback

    from a2vis_ros.stream.image_decoding import RawImage

    def compute(_: object) -> None:
        end = time.thread_time() + 1.0
        while time.thread_time() < end:
            pass

    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setattr(image_callback, "_PATIENCE_S", 0.1)
    images = [(1, number, "camera", RawImage(2, 2, "mono8", False, 2, memoryview(bytes(4)))) for number in range(3)]
    with image_callback.ImageCallback() as callback:
        callback._stream._lane.request(compute)
        callback.take(images, tmp_path)
        waits, gate = threading.Event(), threading.Event()
        callback._stream._lane.request(lambda _: waits.set() or gate.wait())
        assert waits.wait(60)
        try:
            with pytest.raises(AssertionError, match=r"takes no image any more:(\n|.)* in serve"):
                callback.take(images, tmp_path)
        finally:
            gate.set()
