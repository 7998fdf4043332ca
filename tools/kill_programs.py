"""Kill node, recorder, trainer and evaluator at random moments; nothing recorded may be lost, and the next start works.

python tools/kill_programs.py --rounds 100
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "helpers")]

from a2vis_model import openmp as openmp  # noqa: E402, and before the import of torch

# isort: split
import psutil  # noqa: E402
import yaml  # noqa: E402
from forked_programs import ForkedPrograms  # noqa: E402
from networks import tiny_config, tiny_model  # noqa: E402
from ros_helpers import Peer, arguments, image  # noqa: E402, and with it a ROS domain of its own

from a2vis_model import load_weights, save_weights  # noqa: E402
from a2vis_model.config import config_to_dict  # noqa: E402
from a2vis_model.render import render_clip, write_clip  # noqa: E402
from a2vis_model.training.checkpoint import Checkpoint  # noqa: E402
from a2vis_model.training.loop import CHECKPOINT, LAST  # noqa: E402

COMMAND, RECORDER, NODE = "a2vis_model.cli", "a2vis_ros.bags.recorder", "a2vis_ros.node.a2vis_node"
_IMPORTED = (COMMAND, "a2vis_model.commands.evaluate", "a2vis_model.commands.train", RECORDER, NODE)
_FLUSH_S = 3.0
"""A recorder flushes every second; on a busy machine somewhat later."""
_PATIENCE_S = 300.0
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <participant profile_name="short_lease" is_default_profile="true"><rtps><builtin><discovery_config>
    <leaseDuration><sec>6</sec></leaseDuration><leaseAnnouncement><sec>1</sec></leaseAnnouncement>
  </discovery_config></builtin></rtps></participant>
</profiles>
"""
"""For Fast DDS, which believes in a process that was killed for 20 s."""


class Findings(list[str]):
    """What was lost or did not work, as it is found."""

    def check(self, condition: object, text: str) -> None:
        if not condition:
            print(f"FOUND: {text}", flush=True)
            self.append(text)


class Victims:
    """Starts programs and kills them.

    Args:
        programs: who starts them.
        folder: for their logs.
        findings: where it is noted that one failed, or left processes behind.
    """

    def __init__(self, programs: ForkedPrograms, folder: Path, findings: Findings) -> None:
        self._programs = programs
        self._log = folder / "log.txt"
        self._findings = findings

    def start(self, module: str, *arguments: object) -> int:
        """The process ID of a new program."""
        self._log.write_bytes(b"")
        return self._programs.start(module, arguments, self._log)

    def kill(self, pid: int) -> bool:
        """Kill a program alone: whether it still ran. Its own processes must end by themselves."""
        if self._programs.has_ended(pid):
            self._check_status(pid)
            return False
        children = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        self._programs.wait(pid)
        _, alive = psutil.wait_procs(children, timeout=60)
        self._findings.check(not alive, f"a killed program left {[child.cmdline() for child in alive]}")
        return True

    def finish(self, module: str, *arguments: object) -> float:
        """Let a program run to its end, which must be a good one; how long that took, in seconds."""
        before = time.monotonic()
        self._check_status(self.start(module, *arguments))
        return time.monotonic() - before

    def _check_status(self, pid: int) -> None:
        status = self._programs.wait(pid)
        self._findings.check(status == 0, f"a program ended with {status}: {self.said()}")

    def said(self) -> str:
        """The end of what the last program wrote."""
        return self._log.read_text(errors="replace")[-1500:]


Killing = Callable[[Victims, Path, int, random.Random, Findings], None]


def main() -> int:
    """The program; 1 where something was lost."""
    killings: dict[str, Killing] = {
        "recorder": kill_recorder,
        "evaluator": kill_evaluator,
        "trainer": kill_trainer,
        "node": kill_node,
    }
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100, help="kills of each program (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=sorted(killings), default=list(killings), help="programs (all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    args = parser.parse_args()
    findings = Findings()
    for name in args.only:
        with tempfile.TemporaryDirectory(prefix="kill-") as made:
            folder = Path(made)
            (folder / "profile.xml").write_text(_PROFILE)
            os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(folder / "profile.xml")
            environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            begin = time.monotonic()
            with ForkedPrograms(_IMPORTED, environment) as programs:
                victims = Victims(programs, folder, findings)
                killings[name](victims, folder, args.rounds, random.Random(args.seed), findings)
            minutes = (time.monotonic() - begin) / 60
        print(f"{name}: killed {args.rounds} times in {minutes:.0f} min, {len(findings)} findings so far", flush=True)
    return 1 if findings else 0


def material(folder: Path) -> tuple[Path, Path]:
    """A small data set, and weights of a small network."""
    for number, seed in enumerate((4, 8, 9, 12), 1):
        write_clip(
            render_clip(world="aquarium", seed=seed, frames=7, height=64, width=96), folder / f"data/{number:05d}"
        )
    config = tiny_config()
    save_weights(folder / "tiny.safetensors", tiny_model(config), config)
    return folder / "data", folder / "tiny.safetensors"


def _has_processes(number: int) -> int:
    """1 for every tenth victim, which has processes of its own, and 0 for the others: such take most of their time to
    import what their parents have."""
    return int(number % 10 == 9)


def kill_evaluator(victims: Victims, folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """Runs go on where they were, and end with the same predictions as one that nobody killed."""
    data, weights = material(folder)
    options = ("evaluate", "--data", data, "--weights", weights, "--device", "cpu", "--no-plots")
    options += ("--start-score", 0, "--keep-score", 0)
    seconds = {
        jobs: victims.finish(COMMAND, *options, "--jobs", jobs, "--output", folder / f"whole{jobs}") for jobs in (1, 2)
    }
    whole = json.loads((folder / "whole1" / "tracks.json").read_text())
    findings.check(any(whole), "nothing was tracked, so that nothing could be lost")
    killed, output = 0, folder / "killed"
    while killed < rounds:
        jobs = 1 + _has_processes(killed)
        program = victims.start(COMMAND, *options, "--jobs", jobs, "--output", output)
        time.sleep(moments.uniform(0, seconds[jobs]))
        ran = victims.kill(program)
        killed += ran
        if not ran or killed % 10 == 0 or killed == rounds:
            if ran:
                victims.finish(COMMAND, *options, "--jobs", 1, "--output", output)
            tracks = json.loads((output / "tracks.json").read_text())
            findings.check(tracks == whole, "an evaluation that was killed ends with other tracks")
            left = sorted(path.name for path in output.rglob("*.part"))
            findings.check(not left, f"an evaluation has left {left}")
            for path in output.glob("videos-*/*.json"):
                path.unlink()


def kill_trainer(victims: Victims, folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """Runs go on from their checkpoint, which never goes back, to weights that load."""
    data, _ = material(folder)
    values = config_to_dict(tiny_config())
    del values["name"]
    plain = yaml.safe_load(json.dumps(values))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(plain))
    options = ("train", "--preset", folder / "tiny.yaml", "--data", data, "--stage", "video", "--steps", 12)
    options += ("--batch", 1, "--clips", 2, "--checkpoint-minutes", 0, "--device", "cpu", "--resume")
    seconds = {
        workers: victims.finish(COMMAND, *options, "--workers", workers, "--output", folder / f"whole{workers}")
        for workers in (0, 1)
    }
    killed, step, output = 0, 0, Path(tempfile.mkdtemp(dir=folder))
    while killed < rounds:
        workers = _has_processes(killed)
        program = victims.start(COMMAND, *options, "--workers", workers, "--output", output)
        time.sleep(moments.uniform(0, seconds[workers]))
        ran = victims.kill(program)
        killed += ran
        if (output / CHECKPOINT).is_file():
            before, step = step, Checkpoint.load(output / CHECKPOINT).step
            findings.check(step >= before, f"a checkpoint has step {step} where {before} were done")
        else:
            findings.check(not step, "the checkpoint of a training is gone")
        if not ran or killed % 10 == 0 or killed == rounds:
            if ran:
                victims.finish(COMMAND, *options, "--workers", 0, "--output", output)
            findings.check(Checkpoint.load(output / CHECKPOINT).step == 12, "a training that ended has steps to do")
            load_weights(output / LAST)
            left = sorted(path.name for path in output.glob(".*.part"))
            findings.check(not left, f"a training has left {left}")
            step, output = 0, Path(tempfile.mkdtemp(dir=folder))


def kill_recorder(victims: Victims, folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """Bags hold all messages but those of the last seconds, in order."""
    from a2vis_ros.msg import TrackedInstanceArray

    from a2vis_ros.bags.bag_files import TRACKS, BagReader

    peer = Peer()
    publisher = peer.node.create_publisher(TrackedInstanceArray, TRACKS, 100)
    for number in range(rounds):
        bag = folder / str(number)
        program = victims.start(RECORDER, bag, "--storage", ("mcap", "sqlite3")[number % 2])
        peer.until(publisher.get_subscription_count, _PATIENCE_S)
        sent: list[float] = []
        end = time.monotonic() + moments.uniform(0, 6)
        while time.monotonic() < end:
            publisher.publish(TrackedInstanceArray(frame_index=len(sent)))
            sent.append(time.monotonic())
            peer.spin(0.01)
        killed = time.monotonic()
        findings.check(victims.kill(program), f"a recorder ended by itself: {victims.said()}")
        with BagReader(bag) as reader:
            found = [message.frame_index for _, message in reader.messages(TrackedInstanceArray, TRACKS)]
        due = sum(moment < killed - _FLUSH_S for moment in sent)
        findings.check(found == list(range(len(found))), f"{bag}: messages {found[:5]}... are not those sent")
        findings.check(len(found) >= due, f"{bag}: {len(found)} messages of {due} that were flushed")
        peer.until(lambda: not publisher.get_subscription_count(), _PATIENCE_S)
    peer.close()


def kill_node(victims: Victims, folder: Path, rounds: int, moments: random.Random, findings: Findings) -> None:
    """A node starts again after each, and answers images."""
    from a2vis_ros.msg import TrackedInstanceArray
    from sensor_msgs.msg import Image

    _, weights = material(folder)
    parameters = arguments(weights=str(weights), device="cpu", backend="eager", autostart=True)
    peer = Peer()
    images = peer.node.create_publisher(Image, "/image", 10)
    tracks = peer.listen(TrackedInstanceArray, "/a2vis/tracks")
    sessions: set[int] = set()
    stamp = 0

    def run(seconds: float) -> float:
        """Start a node, send it images and kill it after so long; how long it took to answer, infinite if never."""
        nonlocal stamp
        begin, answered = time.monotonic(), float("inf")
        tracks.clear()
        program = victims.start(NODE, *parameters)
        while time.monotonic() < begin + seconds:
            stamp += 1
            images.publish(image(stamp / 10))
            peer.spin(0.05)
            if any(message.session not in sessions for message in tracks):
                answered = min(answered, time.monotonic() - begin)
                if seconds == _PATIENCE_S:
                    break
        sessions.update(message.session for message in tracks)
        findings.check(victims.kill(program), f"a node ended by itself: {victims.said()}")
        return answered

    usual = run(_PATIENCE_S)
    for number in range(1, rounds + 1):
        run(moments.uniform(0, 1.5 * usual))
        if number % 5 == 0 or number == rounds:
            findings.check(run(_PATIENCE_S) < _PATIENCE_S, f"a node does not answer: {victims.said()}")
    peer.close()


if __name__ == "__main__":
    sys.exit(main())
