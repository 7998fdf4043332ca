"""Frames as the intake sees them, and the status of a node as it reports it."""

from scripted_tracker import ScriptedTracker

from a2vis_ros.stream.diagnostics import NodeStatus
from a2vis_ros.stream.epochs import FrameKey
from a2vis_ros.stream.frame_queue import LedgerEntry
from a2vis_ros.stream.frames import Stamp
from a2vis_ros.stream.image_decoding import RawImage
from a2vis_ros.stream.models import LoadedModel

IMAGE = RawImage(2, 2, "mono8", False, 2, memoryview(bytes(4)))


def at(seconds: float) -> Stamp:
    return Stamp(*divmod(round(seconds * 1e9), 10**9))


def key(seconds: float, **changes: object) -> FrameKey:
    values: dict[str, object] = {"stamp": at(seconds), "height": 2, "width": 2, "kind": "mono8", "frame_id": "camera"}
    return FrameKey(**{**values, **changes})  # type: ignore[arg-type]


def status(**changes: object) -> NodeStatus:
    values: dict[str, object] = {
        "state": "active",
        "model": LoadedModel(
            lambda tracks: ScriptedTracker(), 3, "onboard", "a file", "eager/cpu", ("thing",), reason="as asked for"
        ),
        "gpu_memory": None,
        "policy": "latest",
        "ledger": LedgerEntry(10, 7, 1, {"superseded": 2}),
        "waiting": 1,
        "unstamped": 0,
        "non_increasing_stamps": 0,
        "silence": "",
        "input_qos": "reliable, keep last 3",
        "mixed_sources": "",
        "clock": "",
        "age_warn_s": 0.3,
        "age_error_s": 1.0,
        "last_error": "",
        "degraded": False,
        "degradation": "off",
        "subscribers": 4,
    }
    return NodeStatus(**{**values, **changes})  # type: ignore[arg-type]
