"""Kill node, recorder, trainer and evaluator at random moments; nothing recorded may be lost, and the next start works.

python tools/kill_programs.py --rounds 100
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test"), str(ROOT / "test" / "ros")]

import psutil  # noqa: E402
import yaml  # noqa: E402
from conftest import tiny_config, tiny_model  # noqa: E402

from a2vis_model import load_weights, save_weights  # noqa: E402
from a2vis_model.config import config_to_dict  # noqa: E402
from a2vis_model.render import render_clip, write_clip  # noqa: E402
from a2vis_model.training.loop import CHECKPOINT, LAST  # noqa: E402

_FLUSH_S = 3.0
"""A recorder flushes every second; on a busy machine somewhat later."""


class Findings(list[str]):
    """What was lost or did not work, as it is found."""

    def check(self, condition: object, text: str) -> None:
        if not condition:
            print(f"FOUND: {text}", flush=True)
            self.append(text)


def main() -> int:
    """The program; 1 where something was lost."""
    programs: dict[str, Callable[[Path, int, random.Random, Findings], None]] = {
        "recorder": kill_recorder,
        "evaluator": kill_evaluator,
        "trainer": kill_trainer,
        "node": kill_node,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100, help="kills of each program (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=sorted(programs), default=list(programs), help="programs (all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    args = parser.parse_args()
    findings = Findings()
    for name in args.only:
        with tempfile.TemporaryDirectory(prefix="kill-") as folder:
            programs[name](Path(folder), args.rounds, random.Random(args.seed), findings)
        print(f"{name}: killed {args.rounds} times, {len(findings)} findings so far", flush=True)
    return 1 if findings else 0


def start(*command: object) -> subprocess.Popen[str]:
    """A program of ours, in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill(program: subprocess.Popen[str], findings: Findings) -> None:
    """Kill it alone; its own processes must end by themselves."""
    children = [] if program.poll() is not None else psutil.Process(program.pid).children(recursive=True)
    program.kill()
    program.communicate()
    _, alive = psutil.wait_procs(children, timeout=30)
    findings.check(not alive, f"{program.args} left {len(alive)} processes")


def finish(program: subprocess.Popen[str], findings: Findings) -> float:
    """Let it run to its end; how long that took."""
    before = time.monotonic()
    said = program.communicate(timeout=3000)[1]
    findings.check(program.returncode == 0, f"{program.args} ended with {program.returncode}: {said[-500:]}")
    return time.monotonic() - before


def material(folder: Path) -> tuple[Path, Path]:
    """A small data set, and weights of a small network."""
    for number, seed in enumerate((4, 8, 9, 12), 1):
        write_clip(
            render_clip(world="aquarium", seed=seed, frames=7, height=64, width=96), folder / f"data/{number:05d}"
        )
    config = tiny_config()
    save_weights(folder / "tiny.safetensors", tiny_model(config), config)
    return folder / "data", folder / "tiny.safetensors"


def kill_evaluator(folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """Runs go on where they were, and end with the same predictions as one that nobody killed."""
    data, weights = material(folder)
    options = ("--data", data, "--weights", weights, "--device", "cpu", "--jobs", 2, "--no-plots")
    options += ("--start-score", 0, "--keep-score", 0)
    command = ("a2vis_model.cli", "evaluate", *options, "--output")
    seconds = finish(start(*command, folder / "whole"), findings)
    whole = json.loads((folder / "whole" / "tracks.json").read_text())
    for number in range(rounds):
        program = start(*command, folder / "killed")
        time.sleep(moments.uniform(0, seconds))
        kill(program, findings)
        if number % 5 == 4 or number == rounds - 1:
            finish(start(*command, folder / "killed"), findings)
            tracks = json.loads((folder / "killed" / "tracks.json").read_text())
            findings.check(tracks == whole, "an evaluation that was killed ends with other tracks")
            left = sorted(path.name for path in (folder / "killed").rglob("*.part"))
            findings.check(not left, f"an evaluation has left {left}")
            for path in (folder / "killed").glob("videos-*/*.json"):
                path.unlink()


def kill_trainer(folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """Runs go on from their checkpoint, to weights that load."""
    data, _ = material(folder)
    values = config_to_dict(tiny_config())
    del values["name"]
    plain = yaml.safe_load(json.dumps(values))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(plain))
    options = ("--preset", folder / "tiny.yaml", "--data", data, "--stage", "video", "--steps", 12, "--batch", 1)
    options += ("--clips", 2, "--workers", 1, "--checkpoint-minutes", 0, "--device", "cpu", "--resume")
    command = ("a2vis_model.cli", "train", *options, "--output")
    seconds = finish(start(*command, folder / "whole"), findings)
    done = 0
    for number in range(rounds):
        program = start(*command, folder / f"killed{done}")
        time.sleep(moments.uniform(0, seconds))
        kill(program, findings)
        if number % 5 == 4 or number == rounds - 1:
            output = folder / f"killed{done}"
            finish(start(*command, output), findings)
            findings.check((output / CHECKPOINT).is_file(), "a training has no checkpoint")
            load_weights(output / LAST)
            left = sorted(path.name for path in output.glob(".*.part"))
            findings.check(not left, f"a training has left {left}")
            done += 1


def kill_recorder(folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """Bags hold all messages but those of the last seconds, in order."""
    from a2vis_ros.msg import TrackedInstanceArray
    from ros_helpers import Peer

    from a2vis_ros.bags.bag_files import TRACKS, BagReader

    peer = Peer()
    publisher = peer.node.create_publisher(TrackedInstanceArray, TRACKS, 100)
    for number in range(rounds):
        bag = folder / str(number)
        program = start("a2vis_ros.bags.recorder", bag, "--storage", ("mcap", "sqlite3")[number % 2])
        peer.until(publisher.get_subscription_count, 300)
        sent: list[float] = []
        end = time.monotonic() + moments.uniform(0, 6)
        while time.monotonic() < end:
            publisher.publish(TrackedInstanceArray(frame_index=len(sent)))
            sent.append(time.monotonic())
            peer.spin(0.01)
        killed = time.monotonic()
        kill(program, findings)
        with BagReader(bag) as reader:
            found = [message.frame_index for _, message in reader.messages(TrackedInstanceArray, TRACKS)]
        due = sum(moment < killed - _FLUSH_S for moment in sent)
        findings.check(found == list(range(len(found))), f"{bag}: messages {found[:5]}... are not those sent")
        findings.check(len(found) >= due, f"{bag}: {len(found)} messages of {due} that were flushed")
        peer.until(lambda: not publisher.get_subscription_count(), 300)
    peer.close()


def kill_node(folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """A node starts again after each, and answers images."""
    from a2vis_ros.msg import TrackedInstanceArray
    from ros_helpers import Peer, arguments, image
    from sensor_msgs.msg import Image

    _, weights = material(folder)
    parameters = arguments(weights=str(weights), device="cpu", backend="eager")
    peer = Peer()
    images = peer.node.create_publisher(Image, "/image", 10)
    tracks = peer.listen(TrackedInstanceArray, "/a2vis/tracks")
    stamp = 0

    def run(seconds: float | None) -> None:
        nonlocal stamp
        tracks.clear()
        begin = time.monotonic()
        program = start("a2vis_ros.node.a2vis_node", *parameters)
        try:
            node = peer.lifecycle("/a2vis")
            if seconds is None or moments.random() < 0.8:
                for transition in ("configure", "activate"):
                    node.change(transition, 300)
            while seconds is None or time.monotonic() < begin + seconds:
                stamp += 1
                images.publish(image(stamp / 10))
                peer.spin(0.05)
                if seconds is None and tracks:
                    break
                findings.check(time.monotonic() < begin + 600, "a node does not answer")
        finally:
            program.send_signal(signal.SIGKILL)
            program.communicate()

    begin = time.monotonic()
    run(None)
    usual = time.monotonic() - begin
    for number in range(rounds):
        run(moments.uniform(0, 1.5 * usual))
        if number % 5 == 4 or number == rounds - 1:
            run(None)
    peer.close()


if __name__ == "__main__":
    sys.exit(main())
