"""Many bags are run by processes or a cluster with the results of one process, and go on where they were."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from networks import tiny_config, tiny_model
from ros_helpers import PATIENCE_S, ROOT, call, needs_ros
from ros_helpers import run as program

from a2vis_model import save_weights
from a2vis_model.render import render_clip, write_clip

pytestmark = needs_ros
BAGS = ("monday/a", "monday/b", "tuesday")
SCORED = ("metrics.json", "results.json", "ground_truth.json")
IN_SPACE = ("monday/a", "tuesday")
"""Bags that know where objects are in space."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bags, and weights beside it."""
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    folder = tmp_path_factory.mktemp("fleet")
    for seed, bag in enumerate(BAGS, 3):
        clip = folder / "clips" / str(seed)
        size = {"frames": 12, "height": 64, "width": 96}
        write_clip(render_clip(world="robot", seed=seed, space=bag in IN_SPACE, **size), clip)
        write_bag(AnnotatedVideo.open(clip), folder / "bags" / bag)
    config = tiny_config()
    save_weights(folder / "tiny.safetensors", tiny_model(config), config)
    return folder


def given(fleet: Path, output: Path, *options: str, bags: str | Path = "bags") -> list[str]:
    common = ("--weights", fleet / "tiny.safetensors", "--backend", "eager", "--start-score", 0, "--keep-score", 0)
    return [*map(str, (fleet / bags, output, *common, *options))]


def run(fleet: Path, output: Path, *options: str, bags: str | Path = "bags") -> subprocess.CompletedProcess[str]:
    return call("bags.replay_evaluate", *given(fleet, output, *options, bags=bags))


@pytest.fixture(scope="module")
def alone(fleet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one process."""
    output = tmp_path_factory.mktemp("alone") / "out"
    done = run(fleet, output, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "3 bags run, 0 done before, 0 left out" in done.stdout
    assert "positions in space, of 2 bags" in done.stdout
    return output


def said_in(output: Path, bag: str) -> list[Any]:
    """The tracks in a bag of results, but for what no two runs share."""
    from a2vis_ros.msg import Timings

    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.replay import RESULTS, tracks_in

    messages = tracks_in(output / bag / RESULTS, bag_files.TRACKS)
    for message in messages:
        message.timings, message.session = Timings(), 0
    return messages


def check_same(output: Path, alone: Path) -> None:
    in_space = ["space_metrics.json", *(f"{bag}/space_metrics.json" for bag in IN_SPACE)]
    for name in [*SCORED, *(f"{bag}/{name}" for bag in BAGS for name in SCORED), *in_space]:
        assert (output / name).read_bytes() == (alone / name).read_bytes(), name
    for bag in BAGS:
        assert said_in(output, bag) == said_in(alone, bag)
    assert not list(output.rglob(".*")), "parts are left over"


def test_all_bags_are_scored_together(fleet: Path, alone: Path) -> None:
    together = json.loads((alone / "metrics.json").read_text())
    single = [json.loads((alone / bag / "metrics.json").read_text()) for bag in BAGS]
    assert together["videos"] == 3
    for key in ("frames", "objects", "visible_boxes.TP", "visible_boxes.FP", "visible_boxes.FN"):
        assert together[key] == sum(values[key] for values in single), key
    assert together["visible_boxes.FP"], "a network that finds nothing would prove nothing"


def test_positions_in_space_of_all_bags_are_scored_together(alone: Path) -> None:
    together = json.loads((alone / "space_metrics.json").read_text())
    single = [json.loads((alone / bag / "space_metrics.json").read_text()) for bag in IN_SPACE]
    assert not (alone / BAGS[1] / "space_metrics.json").exists()
    for masks in ("predicted", "true"):
        for method, found in together[masks].items():
            parts = [one[masks][method] for one in single]
            assert found["frames"] == 24
            assert found["false_estimates"] == sum(part["false_estimates"] for part in parts)
            for seen, score in found["views"].items():
                views = [part["views"][seen] for part in parts if seen in part["views"]]
                assert score["objects"] == sum(view["objects"] for view in views)
                recalled = sum(view["recall"] * view["objects"] for view in views)
                assert score["recall"] * score["objects"] == pytest.approx(recalled)
                medians = [view["position_median"] for view in views if view["position_median"] is not None]
                if medians:
                    assert min(medians) <= score["position_median"] <= max(medians)
    assert any(found["views"] for found in together["true"].values())


def test_a_bag_is_run_as_if_it_were_alone(fleet: Path, alone: Path, tmp_path: Path) -> None:
    done = run(fleet, tmp_path / "out", "--threads", "1", bags=f"bags/{BAGS[2]}")
    assert done.returncode == 0, done.stderr
    for name in (*SCORED, "space_metrics.json"):
        assert (tmp_path / "out" / name).read_bytes() == (alone / BAGS[2] / name).read_bytes()
    assert said_in(tmp_path, "out") == said_in(alone, BAGS[2])


def test_processes_give_the_results_of_one(fleet: Path, alone: Path, tmp_path: Path) -> None:
    done = program("bags.replay_evaluate", *given(fleet, tmp_path / "out", "--jobs", "2"))
    assert done.returncode == 0, done.stderr
    check_same(tmp_path / "out", alone)


def test_what_is_done_is_kept(fleet: Path, alone: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(alone, output)
    shutil.rmtree(output / BAGS[1])
    (output / "monday" / ".b.part-0123").mkdir()
    kept = (output / BAGS[0] / "results" / "metadata.yaml").stat().st_mtime_ns
    done = run(fleet, output, "--jobs", "1")
    assert "1 bags run, 2 done before, 0 left out" in done.stdout, done.stderr
    check_same(output, alone)
    assert (output / BAGS[0] / "results" / "metadata.yaml").stat().st_mtime_ns == kept
    other = run(fleet, output, "--jobs", "1", "--stride", "2")
    assert other.returncode == 2
    assert f"{output / BAGS[0]} was written for another bag, or with other weights" in other.stderr
    parameters = tmp_path / "localizer.yaml"
    parameters.write_text("object_localizer: {ros__parameters: {outline_std: 0.0}}")
    other = run(fleet, output, "--jobs", "1", "--localizer-params", str(parameters))
    assert other.returncode == 2
    assert f"{output / BAGS[0]} was written for another bag, or with other weights" in other.stderr


def test_a_broken_bag_is_left_out(fleet: Path, alone: Path, tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    shutil.copytree(fleet / "bags" / BAGS[0], bags / "a")
    (bags / "broken\x1b[2J").mkdir()
    (bags / "broken\x1b[2J" / "metadata.yaml").write_text("nonsense: [")
    done = run(fleet, tmp_path / "out", "--jobs", "1", bags=bags)
    assert done.returncode == 1
    assert "broken\\x1b[2J: " in done.stderr
    assert "\x1b[2J" not in done.stderr
    assert "it is left out" in done.stderr
    assert "1 bags run, 0 done before, 1 left out" in done.stdout
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["videos"] == 1
    strict = run(fleet, tmp_path / "strict", "--jobs", "1", "--strict", bags=bags)
    assert strict.returncode == 2
    assert "broken\\x1b[2J: " in strict.stderr


@pytest.mark.parametrize(
    ("options", "bags", "inside", "words"),
    [
        (("--ray", "local"), f"bags/{BAGS[2]}", False, "--ray local: is for a folder of bags"),
        (("--jobs", "0"), "bags", False, "--jobs 0: choose 1 or more"),
        ((), "bags", True, "choose one outside it"),
    ],
)
def test_what_cannot_be_is_said(
    fleet: Path, tmp_path: Path, options: tuple[str, ...], bags: str, inside: bool, words: str
) -> None:
    done = run(fleet, fleet / "bags" / "out" if inside else tmp_path / "out", *options, bags=bags)
    assert done.returncode == 2
    assert words in done.stderr


# --- A cluster -----------------------------------------------------------------------------------------


def _await(what: Callable[[], Any], program: "subprocess.Popen[str]") -> Any:
    deadline = time.monotonic() + 2 * PATIENCE_S
    while not (found := what()):
        assert program.poll() is None, "the program ended before"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


def test_a_killed_workers_bag_is_taken_up_again(fleet: Path, alone: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'a2vis_ros[ray]'")
    output = tmp_path / "out"
    arguments = [sys.executable, "-m", "a2vis_ros.bags.replay_evaluate", *given(fleet, output, "--ray", "local")]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        family = psutil.Process(program.pid)
        _await(lambda: list(output.rglob(".*.part-*")), program)
        workers = [child for child in family.children(recursive=True) if child.name().startswith("ray::_work")]
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        said, errors = program.communicate(timeout=2 * PATIENCE_S)
    assert workers
    assert program.returncode == 0, errors
    assert "3 bags run, 0 done before, 0 left out" in said
    check_same(output, alone)
