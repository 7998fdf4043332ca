"""The planner of docs/tutorials/planner.md, as it stands there."""

import re
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

from paths import ROOT
from ros_helpers import Peer, image, needs_ros

pytestmark = needs_ros


def tracks(state: str, *, box: tuple[int, int, int, int] | None = None, session: int = 1, epoch: int = 0) -> Any:
    """A message with one track, whose amodal mask fills its box (x, y, width, height) where one is given."""
    from a2vis_ros.msg import TrackedInstance, TrackedInstanceArray

    track = TrackedInstance(track_id=7, state=getattr(TrackedInstance, state))
    if box is not None:
        roi = track.amodal.roi
        roi.x_offset, roi.y_offset, roi.width, roi.height = box
        track.amodal.area = box[2] * box[3]
        track.amodal.counts = array("I", [0, track.amodal.area])
    header = image(1.0).header
    return TrackedInstanceArray(header=header, height=48, width=64, session=session, epoch=epoch, instances=[track])


def test_the_planner_of_the_tutorial_slows_down_for_what_is_hidden(tmp_path: Path) -> None:
    from a2vis_ros.msg import TrackedInstanceArray
    from std_msgs.msg import Bool

    page = (ROOT / "docs" / "tutorials" / "planner.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "slow_down.py").write_text(code, "utf-8")
    command = [sys.executable, "slow_down.py", "--ros-args", "-p", "way:=[0, 0, 10, 10]"]
    peer = Peer()
    said: list[bool] = []
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.DEVNULL) as planner:
        try:
            heard = peer.listen(Bool, "/slow_down/slow")
            publisher = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 20)
            peer.until(publisher.get_subscription_count)
            # The planner may learn of this listener later than this process of the planner.
            peer.until(lambda: publisher.publish(tracks("VISIBLE", box=(30, 4, 3, 3), session=2)) or heard)
            publisher.publish(tracks("OCCLUDED", box=(5, 4, 3, 3), session=2))
            peer.until(lambda: heard[-1].data)
            heard.clear()
            crowd = tracks("VISIBLE", box=(4, 4, 3, 3))
            crowd.instances = crowd.instances * 4097
            publisher.publish(crowd)  # damaged, and nothing is said of it
            story = [
                tracks("VISIBLE", box=(4, 4, 3, 3)),  # in the way, but seen: not this node's business
                tracks("OCCLUDED", box=(5, 4, 3, 3)),
                tracks("LOST"),  # still there
                tracks("LOST", epoch=1),  # of another stream: its mask is not known
                tracks("OCCLUDED", box=(30, 30, 3, 3), epoch=1),  # elsewhere
                tracks("OCCLUDED", box=(5, 4, 3, 3), epoch=1),
                tracks("ENDED", epoch=1),
                tracks("LOST", epoch=1),
            ]
            for number, message in enumerate(story, 1):
                publisher.publish(message)
                peer.until(lambda number=number: len(heard) >= number)
            said = [message.data for message in heard]
        finally:
            planner.kill()
    peer.close()
    assert said == [False, True, True, False, False, True, False, False]
