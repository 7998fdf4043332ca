"""The demo: a rendered video through the real node over real DDS, with a report on the results.

    python -m a2vis_ros.tools.demo --output demo

It renders a video with occlusions, writes it to a bag with its ground truth, starts node, monitor, recorder and player
as processes of their own, and makes from the recorded messages alone: overlay.mp4, contact_sheet.png, a table of
tracks, the frame counts and the metrics against the rendered truth.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from a2vis_model import A2VISError, FrameResult, RegionMask, TrackState
from a2vis_model import TrackedInstance as ModelInstance
from a2vis_model.errors import printable
from a2vis_model.files.atomic import write_bytes
from a2vis_model.files.home import arguments_at_home
from a2vis_model.files.video_io import VideoWriter
from a2vis_model.render import render_clip, write_clip
from a2vis_model.shipped import DEFAULT_WEIGHTS, find_weights
from a2vis_model.tracking.overlay import draw_overlay

from ..bags import bag_files
from ..bags.bag_files import BagReader
from ..bags.recorder import HIDDEN
from ..bags.replay import score_bags, tracks_in
from ..bags.to_bag import write_bag
from ..bags.video_source import AnnotatedVideo
from ..msg import HiddenObjectArray, Mask, TrackedInstance, TrackedInstanceArray
from ..node.messages import image_of
from ..planner.mask_messages import mask_from_message
from ..programs.lifecycle_client import LifecycleClient, LifecycleError
from ..programs.processes import running
from ..programs.spinning import end
from ..stream.image_decoding import Pixels, decode_rgb
from ..wire.exact_text import MessageError, received

_PROFILE = Path("config") / "fastdds_large_image.xml"
_WEIGHTS = "onboard-fishbowl"
_CONTACT_SHEET = (4, 3)
"""Number of columns and rows."""
_STUCK_S = 120.0
"""Longest wait in seconds for the node's next result."""


class DemoError(RuntimeError):
    """A part of the demo has failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status."""
    parser = argparse.ArgumentParser(prog="demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder, emptied before (%(default)s)")
    parser.add_argument(
        "--weights",
        default=_WEIGHTS,
        help=f"name or file (%(default)s, which knows the aquarium's fish as {DEFAULT_WEIGHTS} does not)",
    )
    parser.add_argument("--world", choices=("aquarium", "robot"), default="aquarium", help="to render (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=8, help="of the rendered clip (%(default)s, with fish that hide and come back)"
    )
    parser.add_argument("--frames", type=int, default=90, help="to render (%(default)s)")
    parser.add_argument("--speed", type=float, default=0.5, help="of the player, 1 is 30 images a second (%(default)s)")
    args = parser.parse_args(arguments_at_home(arguments))
    try:
        # This comes before rendering, to report missing weights early.
        find_weights(args.weights)
        run(args.output, args.weights, world=args.world, seed=args.seed, frames=args.frames, speed=args.speed)
    except (A2VISError, DemoError, LifecycleError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    return 0


def run(output: Path, weights: str, *, world: Any, seed: int, frames: int, speed: float) -> None:
    """Make the demo in a folder, which is emptied first."""
    _empty(output)
    print(f"rendering {frames} frames of the {world} world, seed {seed}", flush=True)
    clip = output / "clip" / "00000"
    write_clip(render_clip(world=world, seed=seed, frames=frames, height=320, width=480), clip)
    video = AnnotatedVideo.open(clip)
    write_bag(video, output / "input", topic="/image")
    fish = f", trained on this aquarium's fish, unlike {DEFAULT_WEIGHTS}, the default elsewhere"
    print(f"running {weights}{fish if (weights, world) == (_WEIGHTS, 'aquarium') else ''}", flush=True)
    values = _live(output, weights, frames, speed)
    tracks = tracks_in(output / "recorded", bag_files.TRACKS)
    print(f"\nthe node: {values['model']} on {values['backend']}")
    print(
        f"{values['received']} received = {values['processed']} processed + {values['total_dropped_frames']} dropped + "
        f"{values['in_flight']} in flight; {values['lost_in_transport']} lost in transport; "
        f"{len(tracks)} results recorded of {frames} images played"
    )
    _pictures(output, tracks)
    print(f"\n{track_table(tracks)}")
    print(f"\n{_hidden_summary(output / 'recorded')}")
    _, metrics = score_bags(output / "recorded", bag_files.TRACKS, output / "input", output / "metrics")
    print(f"\nagainst the rendered truth, with {weights}:\n\n{metrics}")
    print(
        f"wrote {output / 'overlay.mp4'}, {output / 'contact_sheet.png'}, {output / 'recorded'}, {output / 'metrics'}"
    )
    if len(tracks) != frames:
        raise DemoError(f"{frames} images were played and {len(tracks)} results recorded; see {output / 'log.txt'}")


def _empty(output: Path) -> None:
    """Remove what an earlier demo has left, and nothing else."""
    known = {"clip", "input", "recorded", "metrics", "overlay.mp4", "contact_sheet.png", "log.txt"}
    foreign = {path.name for path in output.iterdir()} - known if output.is_dir() else set()
    if foreign:
        raise DemoError(f"--output {output} holds {min(foreign)}, which is not of a demo; name another folder")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)


def _live(output: Path, weights: str, frames: int, speed: float) -> dict[str, str]:
    """Run node, monitor, recorder and player as processes; return the node's last diagnostics."""
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    profile = Path(__file__).resolve().parents[2] / _PROFILE
    if profile.is_file():
        os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(profile))
    parameters = {
        "weights": f'"{weights}"',
        "policy": "every_frame",
        "queue_size": frames,
        "use_sim_time": "true",
        "diagnostics_period_s": 0.2,
        # The model may be slower than the player; the queue absorbs the difference.
        "age_warn_s": 3600.0,
        "age_error_s": 3600.0,
    }
    ros = ["--ros-args"]
    for name, value in parameters.items():
        ros += ["-p", f"{name}:={value}"]
    rclpy.init(args=[])
    with ExitStack() as stack:
        stack.callback(end)
        # It is read while it grows, so it is no file that appears when it is whole; but it follows no link either.
        log = stack.enter_context(open(output / "log.txt", "xb"))
        peer = Node("demo")
        stack.callback(peer.destroy_node)
        executor = SingleThreadedExecutor()
        executor.add_node(peer)
        stack.enter_context(_process(log, "node.a2vis_node", *ros))
        stack.enter_context(_process(log, "planner.occlusion_monitor"))
        stack.enter_context(_process(log, "bags.recorder", str(output / "recorded")))
        values: dict[str, str] = {}

        def hear(content: bytes) -> None:
            # Anybody may publish there; what cannot be read is none of the node's reports.
            with suppress(MessageError):
                for status in received(content, DiagnosticArray).status:
                    values.update({pair.key: printable(pair.value, 200) for pair in status.values})

        peer.create_subscription(DiagnosticArray, "/diagnostics", hear, 10, raw=True)
        life = LifecycleClient(peer, "/a2vis", executor)
        life.change("configure", 300.0)
        life.change("activate")
        # What the node has not found yet gets none of its results, whoever else has found it.
        _wait(executor, "monitor and recorder", lambda: values.get("subscribers") == "2", 60)
        _wait(executor, "the recorder", lambda: peer.count_subscribers(HIDDEN) >= 1, 60)
        print(f"playing {frames} images at {30 * speed:g} a second", flush=True)
        player = stack.enter_context(
            _process(log, "bags.player", str(output / "input"), "--topics", "/image", "--speed", str(speed), "--clock")
        )
        _wait(executor, "the player", lambda: player.poll() is not None, 600 + frames / 30 / speed)
        if player.returncode:
            raise DemoError(f"the player failed; see {output / 'log.txt'}")
        _wait_for_results(executor, values, frames)
        # The recorder has its last messages when no more arrive.
        _settle(executor, 1.0)
        life.change("deactivate")
    return values


def _process(log: BinaryIO, module: str, *args: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return running([sys.executable, "-m", f"a2vis_ros.{module}", *args], log)


def _wait(executor: SingleThreadedExecutor, what: str, done: Any, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise DemoError(f"{what} was not ready within {timeout_s:.0f} s; see log.txt in the output folder")
        executor.spin_once(timeout_sec=0.05)


def _wait_for_results(executor: SingleThreadedExecutor, values: Mapping[str, str], frames: int) -> None:
    """Wait until the node has processed all images, as long as it goes on doing so.

    Args:
        executor: hears the node's diagnostics meanwhile.
        values: the last of these.
        frames: number of images that were played.
    """

    def books() -> tuple[str | None, str | None]:
        return values.get("received"), values.get("in_flight")

    while (before := books()) != (str(frames), "0"):
        what = f"the next of {frames} results ({before[0]} images received, {before[1]} of them in flight)"
        _wait(executor, what, lambda before=before: books() != before, _STUCK_S)


def _settle(executor: SingleThreadedExecutor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.05)


def track_table(tracks: Sequence[TrackedInstanceArray]) -> str:
    """Return one line per confirmed track: ID, class, and the numbers of frames visible, occluded and lost."""
    names = {getattr(TrackedInstance, state.name): state for state in TrackState}
    states: dict[int, Counter[TrackState]] = {}
    classes: dict[int, Counter[str]] = {}
    for array in tracks:
        for instance in array.instances:
            states.setdefault(instance.track_id, Counter())[names[instance.state]] += 1
            classes.setdefault(instance.track_id, Counter())[instance.class_name] += 1
    lines = [f"{'ID':>5}  {'class':<14}{'visible':>9}{'occluded':>10}{'lost':>6}"]
    for track_id, counts in sorted(states.items()):
        if counts[TrackState.VISIBLE]:
            name = printable(classes[track_id].most_common(1)[0][0], 40)
            shown = [counts[TrackState.TENTATIVE] + counts[TrackState.VISIBLE], counts[TrackState.OCCLUDED]]
            lines.append(f"{track_id:>5}  {name:<14}{shown[0]:>9}{shown[1]:>10}{counts[TrackState.LOST]:>6}")
    if len(lines) == 1:
        lines.append("       no track was confirmed")
    return "\n".join(lines)


def _hidden_summary(recorded: Path) -> str:
    with BagReader(recorded) as bag:
        heard = [message for _, message in bag.messages(HiddenObjectArray, HIDDEN)]
    ids = sorted({track.track_id for message in heard for track in message.objects})
    frames = sum(bool(message.objects) for message in heard)
    which = f"tracks {', '.join(map(str, ids))}" if ids else "none"
    return f"the monitor: {len(heard)} messages, hidden objects in {frames} of them: {which}"


def _pictures(output: Path, tracks: Sequence[TrackedInstanceArray]) -> None:
    """Write overlay.mp4 and contact_sheet.png, from the images of the bag and the recorded messages."""
    by_stamp = {(array.header.stamp.sec, array.header.stamp.nanosec): array for array in tracks}
    drawn: list[Pixels] = []
    with BagReader(output / "input") as bag:
        for _, message in bag.messages(Image, "/image"):
            array = by_stamp.get((message.header.stamp.sec, message.header.stamp.nanosec))
            image = decode_rgb(image_of(message))
            drawn.append(image if array is None else draw_overlay(image, _result(array)))
    height, width = drawn[0].shape[:2]
    with VideoWriter(output / "overlay.mp4", height=height, width=width, rate=30) as video:
        for image in drawn:
            video.write(image)
    columns, rows = _CONTACT_SHEET
    chosen = np.linspace(0, len(drawn) - 1, columns * rows).round().astype(int)
    lines = [np.hstack([drawn[i] for i in chosen[row * columns : (row + 1) * columns]]) for row in range(rows)]
    sheet = cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR)
    write_bytes(output / "contact_sheet.png", cv2.imencode(".png", sheet)[1].tobytes())


def _result(array: TrackedInstanceArray) -> FrameResult:
    """Convert a message to the form that drawing takes."""

    def region(message: Mask) -> RegionMask:
        return RegionMask.of(mask_from_message(message, array.height, array.width), array.height, array.width)

    instances = tuple(
        ModelInstance(
            track_id=instance.track_id,
            slot=0,
            state=TrackState(instance.state),
            class_id=instance.class_id,
            class_name=instance.class_name,
            score=instance.score,
            existence=instance.existence,
            age=instance.age,
            frames_since_visible=instance.frames_since_visible,
            visible=region(instance.visible),
            amodal=region(instance.amodal),
        )
        for instance in array.instances
    )
    return FrameResult(array.frame_index, 0.0, array.epoch, array.height, array.width, instances)


if __name__ == "__main__":
    sys.exit(main())
