"""A live run equals an offline one, message by message; and how either is scored."""

import json
from pathlib import Path
from typing import Any

import pytest
from bag_runs import clip
from ros_helpers import Peer, arguments, call, needs_ros, process, run

from a2vis_model import ModelConfig, VideoNetwork, save_weights
from a2vis_model.render import render_clip, write_clip

__all__ = ["clip"]


pytestmark = needs_ros


@pytest.fixture
def weights(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> str:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, model, config)
    return str(path)


def without_timings(message: Any) -> Any:
    """A message but for the parts that no two runs share. Equal ones have every number equal to the last bit.

    Messages are compared rather than their bytes: the padding in these is whatever was in memory.
    """
    from a2vis_ros.msg import Timings

    message.timings, message.session = Timings(), 0
    return message


@pytest.mark.parametrize("stride", [1, 2])
def test_live_and_offline_give_the_same_messages(tmp_path: Path, clip: Path, weights: str, stride: int) -> None:
    """A bag played twice over DDS into the node, recorded by the recorder; and the same bag offline."""
    from a2vis_ros.msg import TrackedInstanceArray

    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.replay import tracks_in
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag", loops=2)
    thresholds = {"start_score": 0.0, "keep_score": 0.0, "stride": stride}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in thresholds.items()]
    offline = call("bags.replay_evaluate", tmp_path / "bag", tmp_path / "offline", "--weights", weights, *flags)
    assert offline.returncode == 0, offline.stderr
    assert "24 received = 24 processed + 0 dropped + 0 in flight" in offline.stdout
    assert "new epoch: time ran backwards" in offline.stdout
    assert "amodal.AP" in json.loads((tmp_path / "offline" / "metrics.json").read_text())

    peer = Peer()
    heard = peer.listen(TrackedInstanceArray, bag_files.TRACKS)
    parameters = arguments(weights=weights, policy="every_frame", queue_size=100, **thresholds)
    log = tmp_path / "log"
    with (
        process("a2vis_ros.node.a2vis_node", *parameters, log=log),
        process("a2vis_ros.bags.recorder", str(tmp_path / "live"), log=log),
    ):
        node = peer.lifecycle("/a2vis")
        node.change("configure")
        # This process and the recorder.
        peer.until_found_by_the_node(2)
        node.change("activate")
        played = run("bags.player", tmp_path / "bag", "--topics", "/image", "--speed", 2)
        assert played.returncode == 0, played.stderr
        peer.until(lambda: len(heard) == 24)
        metadata = tmp_path / "live" / "metadata.yaml"
        peer.until(lambda: "message_count: 24" in metadata.read_text())
        node.change("deactivate")
    peer.close()
    live = tracks_in(tmp_path / "live", bag_files.TRACKS)
    replayed = tracks_in(tmp_path / "offline" / "results", bag_files.TRACKS)
    assert len(live) == len(replayed) == 24
    assert [m.epoch for m in live] == [0] * 12 + [1] * 12
    sessions = [{m.session for m in messages} for messages in (live, replayed)]
    assert [len(session) for session in sessions] == [1, 1]
    assert len(sessions[0] | sessions[1] | {0}) == 3
    assert any(m.instances for m in live)
    assert [without_timings(m) for m in live] == [without_timings(m) for m in replayed]
    scored = call("bags.replay_evaluate", tmp_path / "bag", tmp_path / "scored", "--results", tmp_path / "live")
    assert "0 of 24 frames have no result" in scored.stdout, scored.stderr
    assert metrics(tmp_path / "scored") == metrics(tmp_path / "offline")


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def test_a_clip_scores_the_same_directly_and_through_a_bag(tmp_path: Path) -> None:
    """With trained weights: a random network finds nothing that average precision counts."""
    folder = tmp_path / "clips" / "00000"
    write_clip(render_clip(world="aquarium", seed=8, frames=24, height=128, width=192), folder)
    thresholds = ("--start-score", "0.3", "--keep-score", "0.1")
    common = ("--weights", "onboard-fishbowl", "--device", "cpu", "--stride", "2", *thresholds)
    quietly = ("--output-mode", "stream", "--jobs", "1", "--quiet", "--no-plots")
    direct = ("--data", tmp_path / "clips", "--output", tmp_path / "direct")
    for done in (
        call("cli", "evaluate", *direct, *common, *quietly, package="a2vis_model"),
        call("bags.to_bag", folder, tmp_path / "bag"),
        call("bags.replay_evaluate", tmp_path / "bag", tmp_path / "out", *common, "--backend", "eager"),
    ):
        assert done.returncode == 0, done.stderr
    expected = json.loads((tmp_path / "direct" / "results.json").read_text())
    found = metrics(tmp_path / "out")
    assert found.pop("frames_without_result") == 0
    assert expected.keys() - found.keys() == {"fps", "parameters", "provenance", "settings"}
    assert found.keys() <= expected.keys()
    del found["name"]
    assert found == {
        key: value if value is None else pytest.approx(value, abs=1e-9)
        for key, value in expected.items()
        if key in found
    }
    assert all(found[key] > 0 for key in ("visible.AP", "amodal.AP", "boxes.HOTA", "visible_boxes.HOTA"))


def test_frames_that_a_live_run_dropped_are_frames_without_a_find(tmp_path: Path, clip: Path) -> None:
    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.bag_files import BagWriter
    from a2vis_ros.bags.replay import tracks_in
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag", loops=2)
    dropped = {0, 1, 2, 3, 4, 19, 20}
    for name, left_out in (("whole", set()), ("live", dropped)):
        with BagWriter(tmp_path / name, "mcap") as bag:
            for index, message in enumerate(tracks_in(tmp_path / "bag", bag_files.GROUND_TRUTH)):
                # A node begins an epoch with every loop.
                message.epoch = index // 12
                if index not in left_out:
                    bag.write("/left/a2vis/tracks", message, index)
        done = call(
            "bags.replay_evaluate",
            tmp_path / "bag",
            tmp_path / f"{name}-scores",
            "--results",
            tmp_path / name,
            "--topic",
            "/left/a2vis/tracks",
        )
        assert done.returncode == 0, done.stderr
        assert f"{len(left_out)} of 24 frames have no result" in done.stdout
    whole, live = metrics(tmp_path / "whole-scores"), metrics(tmp_path / "live-scores")
    assert (whole["frames_without_result"], live["frames_without_result"]) == (0, 7)
    assert live["frames"] == 24
    for key in ("visible.AP", "amodal.AP", "boxes.HOTA", "boxes.MOTA"):
        assert live[key] < whole[key], key
    assert live["boxes.FN"] > whole["boxes.FN"]
    # Each result is at its own frame, and none has slipped into the other loop.
    found = json.loads((tmp_path / "live-scores" / "results.json").read_text())
    told = {t for entry in found for t, mask in enumerate(entry["segmentations"]) if mask}
    assert told == set(range(24)) - dropped
    assert live["boxes.FP"] == 0


def test_a_track_is_ranked_and_classed_as_a2vis_evaluate_does(tmp_path: Path, clip: Path) -> None:
    """The class by the scores, not by how often each was said; the score summed over the frames of the video."""
    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.replay import tracks_in
    from a2vis_ros.bags.scoring import score
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag")
    truth, tracks = (tracks_in(tmp_path / "bag", bag_files.GROUND_TRUTH) for _ in range(2))
    for message in tracks:
        for instance in message.instances:
            instance.score, instance.class_name = (0.9, "seldom") if message.frame_index < 2 else (0.1, "often")
    score(tracks, truth, ("often", "seldom"), tmp_path / "scores")
    names = json.loads((tmp_path / "scores" / "ground_truth.json").read_text())["categories"]
    assert [category["name"] for category in names[:2]] == ["often", "seldom"]
    first = json.loads((tmp_path / "scores" / "results.json").read_text())[0]
    assert first["category_id"] == 2
    placed = [i for m in tracks for i in m.instances if i.track_id == 1 and i.state not in (i.LOST, i.ENDED)]
    assert first["score"] == pytest.approx(sum(instance.score for instance in placed) / len(tracks))


def test_results_that_are_not_of_the_ground_truth_are_refused(tmp_path: Path, clip: Path) -> None:
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag")
    write_bag(AnnotatedVideo.open(clip), tmp_path / "later", start_s=100.0)
    given = ("bags.replay_evaluate", tmp_path / "bag", tmp_path / "out", "--results", tmp_path / "later")
    for topic, words in (("/ground_truth", "none of 12 results has the stamp"), ("/a2vis/tracks", "nothing on")):
        done = call(*given, "--topic", topic)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_loops_offline_have_no_memory_of_each_other(tmp_path: Path, clip: Path, weights: str) -> None:
    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.replay import tracks_in
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag", loops=3)
    done = call(
        "bags.replay_evaluate",
        tmp_path / "bag",
        tmp_path / "out",
        f"--weights={weights}",
        "--start-score=0",
        "--keep-score=0",
    )
    assert done.returncode == 0, done.stderr
    messages = tracks_in(tmp_path / "out" / "results", bag_files.TRACKS)
    loops = [messages[i : i + 12] for i in (0, 12, 24)]
    assert [{m.epoch for m in loop} for loop in loops] == [{0}, {1}, {2}]
    for loop in loops:
        oldest = min(t.track_id for m in loop for t in m.instances)
        for message in loop:
            message.epoch, message.frame_index = 0, 0
            for track in message.instances:
                # IDs are never used twice, so every loop has its own.
                track.track_id -= oldest
    first, second, third = ([without_timings(m) for m in loop] for loop in loops)
    assert first == second == third
    ids = [{t.track_id for m in loop for t in m.instances} for loop in loops]
    assert ids[0] == ids[1] == ids[2]


def test_the_truth_scores_perfectly_against_itself(tmp_path: Path, clip: Path) -> None:
    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.replay import tracks_in
    from a2vis_ros.bags.scoring import score
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag")
    truth = tracks_in(tmp_path / "bag", bag_files.GROUND_TRUTH)
    results, table = score(truth, truth, (), tmp_path / "scores")
    assert results["amodal.AP"] == results["visible.AP"] == pytest.approx(1.0)
    assert results["frames"] == 12
    assert "Amodal" in table
    for message in truth[6:]:
        message.instances = []
    worse, _ = score(truth, tracks_in(tmp_path / "bag", bag_files.GROUND_TRUTH), (), tmp_path / "worse")
    assert worse["amodal.AP"] < 0.9
