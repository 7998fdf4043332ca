"""Bags: written, read, played, recorded; and a live run equals an offline one, message by message."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_helpers import PATIENCE_S, ROOT, Peer, arguments, call, image, needs_ros, process, run

from a2vis_model import ModelConfig, VideoNetwork, save_weights
from a2vis_model.render import render_clip, write_clip

pytestmark = needs_ros


@pytest.fixture
def weights(tmp_path: Path, model: VideoNetwork, config: ModelConfig) -> str:
    path = tmp_path / "tiny.safetensors"
    save_weights(path, model, config)
    return str(path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips") / "00000"
    write_clip(render_clip(world="robot", seed=3, frames=12, height=64, width=96), folder)
    return folder


def without_timings(message: Any) -> Any:
    """A message but for the parts that no two runs share. Equal ones have every number equal to the last bit.

    Messages are compared rather than their bytes: the padding in these is whatever was in memory.
    """
    from a2vis_ros.msg import Timings

    message.timings, message.session = Timings(), 0
    return message


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "png"])
def test_to_bag_keeps_pictures_stamps_and_truth(tmp_path: Path, clip: Path, storage: str, encoding: str) -> None:
    from a2vis_ros.msg import ClassNames, TrackedInstanceArray
    from sensor_msgs.msg import CompressedImage, Image

    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.bag_files import BagReader
    from a2vis_ros.bags.video_source import AnnotatedVideo
    from a2vis_ros.node.messages import image_of
    from a2vis_ros.stream.image_decoding import decode_rgb, image_size

    done = call(
        "bags.to_bag", clip, tmp_path / "bag", "--storage", storage, "--encoding", encoding, "--start", 5, "--rate", 20
    )
    assert done.returncode == 0, done.stderr
    pictures = list(AnnotatedVideo.open(clip).frames())
    topic, kind = ("/image/compressed", CompressedImage) if encoding == "png" else ("/image", Image)
    with BagReader(tmp_path / "bag") as bag:
        images = list(bag.messages(kind, topic))
        truth = [message for _, message in bag.messages(TrackedInstanceArray, bag_files.GROUND_TRUTH)]
        names = [message for _, message in bag.messages(ClassNames, bag_files.GROUND_TRUTH_CLASSES)]
    assert len(images) == len(truth) == 12
    assert len(names) == 1
    for index, (picture, (bag_time, message), known) in enumerate(zip(pictures, images, truth, strict=True)):
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == 5 * 10**9 + index * 10**9 // 20 == bag_time - (index == 0)
        assert known.header == message.header
        assert picture.truth is not None
        assert [t.track_id for t in known.instances] == [t.track_id for t in picture.truth.instances]
        content = image_of(message)
        assert image_size(content, max_side=1000) == (64, 96)
        if encoding != "mono8":
            np.testing.assert_array_equal(decode_rgb(content), picture.image)


def test_what_cannot_be_made_into_a_bag_or_read_is_said(tmp_path: Path, clip: Path) -> None:
    (tmp_path / "there").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "metadata.yaml").write_text("nonsense: [")
    for module, args, words in (
        ("bags.to_bag", ("/nowhere", tmp_path / "b"), "/nowhere: no such file"),
        ("bags.to_bag", (clip, tmp_path / "there"), "exists already"),
        ("bags.to_bag", (clip, tmp_path / "b", "--rate", "0"), "--rate 0"),
        ("bags.replay_evaluate", ("/nowhere", tmp_path / "o"), "not a readable bag"),
        ("bags.replay_evaluate", (broken, tmp_path / "o"), "not a readable bag"),
        ("bags.replay_evaluate", (broken, tmp_path / "o", "--stride", "0"), "stride=0"),
        ("bags.player", (broken,), "not a readable bag"),
        ("bags.recorder", (tmp_path / "there",), "exists already"),
    ):
        # Player and recorder start ROS.
        done = run(module, *args) if module in ("bags.player", "bags.recorder") else call(module, *args)
        assert done.returncode == 2, (module, args, done.stderr)
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_that_is_damaged_inside_is_said(tmp_path: Path, storage: Any) -> None:
    """Its beginning and its end are whole, so that it opens."""
    from sensor_msgs.msg import Image

    from a2vis_ros.bags.bag_files import BagError, BagReader, BagWriter

    with BagWriter(tmp_path / "bag", storage) as bag:
        for i in range(40):
            bag.write("/image", image(i, seed=i), i)
    (file,) = (path for path in (tmp_path / "bag").iterdir() if path.suffix != ".yaml")
    content = bytearray(file.read_bytes())
    content[40_000:60_000] = bytes([255]) * 20_000
    file.write_bytes(content)
    with BagReader(tmp_path / "bag") as damaged, pytest.raises(BagError, match="broken in the middle"):
        list(damaged.messages(Image, "/image"))


@pytest.mark.parametrize("stride", [1, 2])
def test_live_and_offline_give_the_same_messages(tmp_path: Path, clip: Path, weights: str, stride: int) -> None:
    """A bag played twice over DDS into the node, recorded by the recorder; and the same bag offline."""
    from a2vis_ros.msg import TrackedInstanceArray

    from a2vis_ros.bags import bag_files
    from a2vis_ros.bags.replay_evaluate import tracks_in
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag", loops=2)
    thresholds = {"start_score": 0.0, "keep_score": 0.0, "stride": stride}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in thresholds.items()]
    offline = run("bags.replay_evaluate", tmp_path / "bag", tmp_path / "offline", "--weights", weights, *flags)
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
        peer.until(lambda: peer.node.count_subscribers(bag_files.TRACKS) == 2)
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
    thresholds = ("--start-score", "0.7", "--keep-score", "0.3")
    common = ("--weights", "onboard-fishbowl", "--device", "cpu", "--stride", "2", *thresholds)
    quietly = ("--output-mode", "stream", "--jobs", "1", "--quiet", "--no-plots")
    direct = ("--data", tmp_path / "clips", "--output", tmp_path / "direct")
    for done in (
        run("cli", "evaluate", *direct, *common, *quietly, package="a2vis_model"),
        call("bags.to_bag", folder, tmp_path / "bag"),
        run("bags.replay_evaluate", tmp_path / "bag", tmp_path / "out", *common, "--backend", "eager"),
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
    from a2vis_ros.bags.replay_evaluate import tracks_in
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
    from a2vis_ros.bags.replay_evaluate import tracks_in
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
    from a2vis_ros.bags.replay_evaluate import tracks_in
    from a2vis_ros.bags.to_bag import write_bag
    from a2vis_ros.bags.video_source import AnnotatedVideo

    write_bag(AnnotatedVideo.open(clip), tmp_path / "bag", loops=3)
    done = run(
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
    from a2vis_ros.bags.replay_evaluate import tracks_in
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


def test_a_full_disk_is_said_once_and_what_is_lost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from a2vis_ros.msg import TrackedInstanceArray
    from rosbags.rosbag2 import Writer

    from a2vis_ros.bags.bag_files import TRACKS, BagError, BagWriter
    from a2vis_ros.bags.recorder import BagRecorder

    written = []

    def write(self: Writer, connection: object, time_ns: int, data: bytes) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(data)

    monkeypatch.setattr(Writer, "write", write)
    peer = Peer()
    bag = BagWriter(tmp_path / "bag", "mcap")
    bag.__enter__()
    recorder = BagRecorder(peer.node, bag)
    publisher = peer.node.create_publisher(TrackedInstanceArray, TRACKS, 10)
    peer.until(publisher.get_subscription_count)
    for _ in range(5):
        publisher.publish(TrackedInstanceArray())
    peer.until(lambda: recorder.recorded + recorder.lost == 5)
    bag.__exit__(BagError, None, None)
    peer.close()
    assert (recorder.recorded, recorder.lost) == (2, 3)
    said = capfd.readouterr().err
    assert said.count("recording has stopped") == 1
    assert "the disk is full; free some space" in said


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_recorder_that_may_write_no_more_ends_in_words(tmp_path: Path, storage: str) -> None:
    """For real: the system lets the recorder's files grow to 300 KB and no further."""
    from a2vis_ros.msg import TrackedInstanceArray

    peer = Peer()
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        "from a2vis_ros.bags.recorder import main; sys.exit(main(sys.argv[1:]))"
    )
    log = tmp_path / "log"
    with open(log, "wb") as output:
        recorder = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "bag"), "--storage", storage],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
    try:
        publisher = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 100)
        peer.until(publisher.get_subscription_count)
        noise = np.random.default_rng(0).bytes(50_000).hex()

        def says_so() -> bool:
            publisher.publish(TrackedInstanceArray(backend=noise))
            return "cannot be written" in log.read_text()

        peer.until(says_so)
        peer.spin(0.2)
        assert recorder.poll() is None
    finally:
        recorder.terminate()
        recorder.wait(PATIENCE_S)
        peer.close()
    assert recorder.returncode in (1, 2)
    assert "Traceback" not in log.read_text()


def test_the_monitor_tells_what_is_hidden(tmp_path: Path) -> None:
    from a2vis_ros.msg import HiddenObjectArray, TrackedInstance, TrackedInstanceArray

    from a2vis_ros.planner.mask_codec import decode_image, encode_image
    from a2vis_ros.planner.mask_messages import mask_from_message, mask_to_message

    picture = np.zeros((48, 64), np.bool_)
    picture[10:20, 30:40] = True

    def tracks(seconds: float, state: int, since: int, *, placed: bool = True) -> TrackedInstanceArray:
        track = TrackedInstance(track_id=7, state=state, class_id=3, class_name="Box", frames_since_visible=since)
        if placed:
            track.amodal = mask_to_message(encode_image(picture))
        return TrackedInstanceArray(header=image(seconds).header, height=48, width=64, instances=[track])

    # A message that was damaged: 4,000,000 x 4,000,000 pixels, and runs that fill them.
    damaged = tracks(0.9, TrackedInstance.OCCLUDED, 0)
    box = damaged.instances[0].amodal
    box.roi.width = box.roi.height = 4_000_000
    full, rest = divmod(4_000_000**2, 2**32 - 1)
    box.counts = [2**32 - 1, 0] * full + [rest]

    peer = Peer()
    with process("a2vis_ros.planner.occlusion_monitor", *arguments(region=[40, 0, 10, 48], margin_px=2.0)):
        hidden = peer.listen(HiddenObjectArray, "/occlusion_monitor/hidden")
        publisher = peer.node.create_publisher(TrackedInstanceArray, "/a2vis/tracks", 10)
        peer.until(publisher.get_subscription_count)
        peer.acquaint(publisher, TrackedInstanceArray(height=48, width=64), hidden)
        publisher.publish(damaged)
        publisher.publish(tracks(1.0, TrackedInstance.VISIBLE, 0))
        publisher.publish(tracks(1.5, TrackedInstance.OCCLUDED, 15))
        # What the slot of a lost track draws is not the track.
        lost = tracks(2.0, TrackedInstance.LOST, 30, placed=False)
        lost.instances[0].amodal = mask_to_message(encode_image(np.roll(picture, -20, axis=1)))
        publisher.publish(lost)
        publisher.publish(tracks(2.1, TrackedInstance.ENDED, 31, placed=False))
        peer.until(lambda: len(hidden) == 4)
    peer.close()
    assert [len(message.objects) for message in hidden] == [0, 1, 1, 0]
    assert hidden[0].region.x_offset == 40
    for message, seconds, frames in zip(hidden[1:3], (0.5, 1.0), (15, 30), strict=True):
        found = message.objects[0]
        assert (found.track_id, found.class_name, found.frames_since_visible) == (7, "Box", frames)
        assert found.seconds_since_visible == pytest.approx(seconds)
        assert found.reachable == 2 * 14
        np.testing.assert_array_equal(decode_image(mask_from_message(found.footprint), 48, 64), picture)
