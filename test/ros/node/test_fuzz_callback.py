"""The subscription's own callback, in a node that is active: no message ends it, and the books add up."""

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
