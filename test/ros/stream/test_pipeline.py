"""From frames to results: who gets which result, epochs, failures and the books; and the worker around it."""

import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scripted_tracker import ScriptedTracker

from a2vis_model import ModelConfig, StreamingTracker, TrackSettings, VideoNetwork, load_weights, save_weights
from a2vis_model.errors import A2VISError
from a2vis_ros.stream.frame_queue import FAILED, RESET, STOPPED, FrameQueue, Ledger
from a2vis_ros.stream.frames import Frame, Stamp
from a2vis_ros.stream.image_decoding import EncodedImage, Image, ImageError, RawImage
from a2vis_ros.stream.intake import FrameIntake
from a2vis_ros.stream.loading import load_model
from a2vis_ros.stream.models import ModelRequest
from a2vis_ros.stream.pipeline import FramePipeline, ProcessedFrame, Tracker
from a2vis_ros.stream.worker import Lane, Worker


def grey(value: int = 0, side: int = 2) -> RawImage:
    return RawImage(side, side, "mono8", False, side, memoryview(bytes([value]) * side * side))


BROKEN = EncodedImage("png", memoryview(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\2\0\0\0\2"))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.01)


class Line:
    """Intake, pipeline and books, as the node puts them together."""

    def __init__(self, stride: int = 1) -> None:
        self.ledger = Ledger()
        self.intake = FrameIntake(self.ledger, max_gap_s=0.5, max_image_side=100)
        self.tracker = ScriptedTracker(stride)
        self.reasons: list[str] = []
        self.pipeline = FramePipeline(self.tracker, self.ledger, on_epoch=self.reasons.append)
        self.published: list[ProcessedFrame] = []
        self.reports: list[str] = []

    def lane(self, worker: Worker, publish: Callable[[ProcessedFrame], None] | None = None) -> Lane:
        """A way through the worker, not open yet; what it publishes and reports is kept."""
        queue = FrameQueue(
            policy="every_frame", capacity=100, patience_s=5, ledger=self.ledger, changed=worker.turns.changed
        )
        return Lane(queue, self.pipeline, publish or self.published.append, self.reports.append)

    def frame(self, seconds: float, image: Image | None = None) -> Frame:
        stamp = Stamp(*divmod(round(seconds * 1e9), 10**9))
        return self.intake.accept(stamp, "camera", grey() if image is None else image)

    def push(self, seconds: float, image: Image | None = None) -> list[ProcessedFrame]:
        frame = self.frame(seconds, image)
        return self.pipeline.enter(frame) + self.pipeline.process(frame)


def test_every_frame_gets_its_own_result() -> None:
    line = Line()
    done = [processed for i in range(5) for processed in line.push(1 + i / 30)]
    assert [p.result.index for p in done] == list(range(5))
    assert [p.frame.stamp.nanosec for p in done] == [round(i / 30 * 1e9) for i in range(5)]
    assert all(p.dropped_since_last == 0 for p in done)
    entry = line.ledger.read()
    assert (entry.processed, entry.in_flight, entry.dropped) == (5, 0, {})


def test_a_clip_that_fills_up_decides_its_frames_in_order() -> None:
    line = Line(stride=3)
    batches = [line.push(1 + i / 30) for i in range(7)]
    assert [len(batch) for batch in batches] == [0, 0, 3, 0, 0, 3, 0]
    assert line.ledger.read().in_flight == 1
    assert batches[2][0].times.clip >= batches[2][2].times.clip >= 0
    assert [p.frame.sequence for p in line.pipeline.flush()] == [7]
    assert line.ledger.read().in_flight == 0


def test_a_break_finishes_the_clip_before_and_starts_an_epoch() -> None:
    line = Line(stride=3)
    line.push(1.0)
    line.push(1.1)
    done = line.push(9.0)
    assert [(p.frame.sequence, p.result.epoch) for p in done] == [(1, 0), (2, 0)]
    assert line.tracker.epoch == 1
    assert line.reasons == ["no image for 7.900 s, more than max_gap_s=0.5"]
    assert line.ledger.read().dropped == {}


def test_a_break_that_was_dropped_is_not_forgotten() -> None:
    """The first frame behind a gap is superseded before the worker sees it; the next still begins an epoch."""
    line = Line()
    line.push(1.0)
    line.frame(50.0)
    line.ledger.drop("superseded")
    done = line.push(50.1)
    assert done[0].result.epoch == 1
    assert done[0].dropped_since_last == 1


def test_loops_of_a_bag_give_equal_results_but_for_their_epoch() -> None:
    line = Line()
    loops = [[p for i in range(6) for p in line.push(1 + i / 30)] for _ in range(3)]
    assert [{p.result.epoch for p in loop} for loop in loops] == [{0}, {1}, {2}]
    assert len({tuple(p.result.instances[0].track_id for p in loop) for loop in loops}) == 1


def test_bad_images_between_good_ones_are_counted_as_dropped() -> None:
    line = Line()
    line.push(1.0)
    for _ in range(2):
        with pytest.raises(ImageError):
            line.push(1.1, RawImage(5, 5, "mono8", False, 5, memoryview(b"")))
    with pytest.raises(ImageError):
        line.push(1.2, BROKEN)
    assert line.push(1.3)[0].dropped_since_last == 3
    entry = line.ledger.read()
    assert entry.dropped == {"truncated image": 2, "broken image": 1}
    assert entry.balanced


def test_a_failing_model_costs_its_frames_and_an_epoch() -> None:
    line = Line(stride=2)
    line.push(1.0)
    with pytest.raises(RuntimeError, match="the model failed"):
        line.push(1.1, grey(66))
    entry = line.ledger.read()
    assert (entry.in_flight, entry.dropped) == (0, {FAILED: 2})
    assert line.tracker.epoch == 1
    line.push(1.2)
    assert len(line.push(1.3)) == 2


@pytest.mark.parametrize("image", [BROKEN, grey(66)], ids=["a broken image", "a failing model"])
def test_the_clip_before_a_break_is_handed_on_whatever_comes_behind_it(image: Image) -> None:
    line = Line(stride=3)
    worker = Worker()
    lane = line.lane(worker)
    # All of it waits when the worker starts.
    for seconds, content in ((1.0, grey()), (1.1, grey()), (9.0, image), (9.1, grey())):
        lane.queue.put(line.frame(seconds, content))
    worker.open(lane)
    until(lambda: not len(lane.queue))
    worker.close(lane)
    published = line.published
    assert [(p.frame.sequence, p.result.epoch) for p in published] == [(1, 0), (2, 0), (4, line.tracker.epoch)]
    entry = line.ledger.read()
    assert (entry.processed, entry.in_flight, sum(entry.dropped.values())) == (3, 0, 1)


def test_a_clip_that_cannot_be_finished_costs_its_own_frames_and_one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(stride=3)
    line.push(1.0)
    frame = line.frame(9.0)

    def fail() -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(line.tracker, "flush", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            line.pipeline.enter(frame)
    line.pipeline.process(frame)
    line.push(9.1)
    done = line.push(9.2)
    assert [(p.frame.sequence, p.result.epoch) for p in done] == [(2, 1), (3, 1), (4, 1)]
    assert line.reasons == ["processing failed"]
    entry = line.ledger.read()
    assert (entry.processed, entry.in_flight, entry.dropped) == (3, 0, {FAILED: 1})


def test_restart_drops_the_open_frames() -> None:
    line = Line(stride=3)
    line.push(1.0)
    line.pipeline.restart("asked for")
    assert line.ledger.read().dropped == {RESET: 1}
    assert line.reasons == ["asked for"]


def test_the_worker_survives_bad_images_and_a_failing_model() -> None:
    line = Line()
    worker = Worker()
    lane = line.lane(worker)
    worker.open(lane)
    for image in (grey(), grey(66), grey()):
        lane.queue.put(line.frame(1.0, image))
    settings = TrackSettings(start_score=0.9)
    lane.request(lambda pipeline: pipeline.tracker.set_track_settings(settings))
    until(lambda: not line.ledger.read().in_flight)
    worker.close(lane)
    assert [p.frame.sequence for p in line.published] == [1, 3]
    assert len(line.reports) == 1
    assert "the model failed" in line.reports[0]
    assert line.tracker.settings is settings
    assert threading.active_count() < 50
    assert line.ledger.read().balanced


def test_what_is_asked_of_the_worker_waits_for_no_frame() -> None:
    line = Line()
    worker = Worker()
    lane = line.lane(worker)
    worker.open(lane)
    for score in (0.9, 0.8):
        settings = TrackSettings(start_score=score)
        lane.request(partial(_set, settings))
        until(lambda settings=settings: line.tracker.settings is settings)
    worker.close(lane)


def _set(settings: TrackSettings, pipeline: FramePipeline) -> None:
    pipeline.tracker.set_track_settings(settings)


def test_stopping_the_worker_finishes_the_open_clip() -> None:
    line = Line(stride=4)
    worker = Worker()
    lane = line.lane(worker)
    worker.open(lane)
    for i in range(6):
        lane.queue.put(line.frame(1 + i / 30))
    until(lambda: not len(lane.queue))
    worker.close(lane)
    assert len(line.published) == 6
    assert line.ledger.read().in_flight == 0


def test_what_fails_for_one_camera_is_no_matter_to_another() -> None:
    lines, worker = [Line(), Line()], Worker()

    def refuse(processed: ProcessedFrame) -> None:
        raise OSError("nobody takes it")

    # The second camera's model fails at every other image, its publisher at every result, and a request too.
    lanes = [lines[0].lane(worker), lines[1].lane(worker, publish=refuse)]
    for lane in lanes:
        worker.open(lane)
    lanes[1].request(lambda pipeline: pipeline.tracker.set_stride(1 // 0))
    for i in range(10):
        lanes[0].queue.put(lines[0].frame(1 + i / 30))
        lanes[1].queue.put(lines[1].frame(1 + i / 30, grey(66 * (i % 2))))
    until(lambda: not any(line.ledger.read().in_flight for line in lines))
    for lane in lanes:
        worker.close(lane)
    assert [(p.frame.sequence, p.result.epoch) for p in lines[0].published] == [(i, 0) for i in range(1, 11)]
    assert (lines[0].reasons, lines[0].reports) == ([], [])
    entry = lines[1].ledger.read()
    assert (entry.received, entry.processed, entry.dropped) == (10, 5, {FAILED: 5})
    assert len(lines[1].reports) == 11


def test_a_camera_is_closed_while_the_other_goes_on_and_comes_back() -> None:
    lines, worker = [Line(stride=3), Line(stride=3)], Worker()
    lanes = [line.lane(worker) for line in lines]
    for lane in lanes:
        worker.open(lane)
    for line, lane in zip(lines, lanes, strict=True):
        for i in range(4):
            lane.queue.put(line.frame(1 + i / 30))
    until(lambda: not any(len(lane.queue) for lane in lanes))
    worker.close(lanes[0])
    # Its open clip is decided; that of the other waits for more.
    assert [len(line.published) for line in lines] == [4, 3]
    lanes[0].queue.put(lines[0].frame(1.2))
    assert lines[0].ledger.read().dropped == {STOPPED: 1}
    again = lines[0].lane(worker)
    worker.open(again)
    again.queue.put(lines[0].frame(1.3))
    lanes[1].queue.put(lines[1].frame(1.2))
    until(lambda: not len(again.queue) and not len(lanes[1].queue))
    for lane in (again, lanes[1]):
        worker.close(lane)
    assert [[p.frame.sequence for p in line.published] for line in lines] == [[1, 2, 3, 4, 6], [1, 2, 3, 4, 5]]
    assert all(line.ledger.read().balanced for line in lines)
    assert not [thread for thread in threading.enumerate() if thread.name == "a2vis worker"]


def request(weights: str, **changes: object) -> ModelRequest:
    values: dict[str, object] = {
        "weights": weights,
        "device": "cpu",
        "backend": "eager",
        "precision": "fp32",
        "engine_cache": "",
        "threads": 0,
        "input_width": 0,
        "input_height": 0,
        "stride": 1,
        "warmup_frames": 1,
    }
    return ModelRequest(**{**values, **changes})  # type: ignore[arg-type]


def test_the_input_size_can_be_changed(tmp_path, model: VideoNetwork, config: ModelConfig) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    weights = str(tmp_path / "w.safetensors")
    wide = config.input_width + 32
    loaded = load_model(request(weights, input_width=wide), lambda text: None)
    settings = TrackSettings(start_score=0.0, keep_score=0.0)
    plain = StreamingTracker(*load_weights(weights, {"input_width": wide}), settings=settings)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    ours, theirs = loaded.new_tracker(settings).push(image, 0)[0], plain.push(image, 0)[0]
    assert ours.instances
    assert [t.score for t in ours.instances] == [t.score for t in theirs.instances]
    with pytest.raises(A2VISError, match="input_width=50 is not a multiple of 32"):
        load_model(request(weights, input_width=50), lambda text: None)


def test_a_loaded_model_says_what_its_weights_recommend(tmp_path, model: VideoNetwork, config: ModelConfig) -> None:
    save_weights(tmp_path / "w.safetensors", model, config, recommended={"start_score": 0.6})
    loaded = load_model(request(str(tmp_path / "w.safetensors")), lambda text: None)
    assert loaded.recommended == {"start_score": 0.6}


def test_a_loaded_model_answers_as_the_plain_tracker(tmp_path, model: VideoNetwork, config: ModelConfig) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    said: list[str] = []
    loaded = load_model(request(str(tmp_path / "w.safetensors")), said.append)
    assert (loaded.backend, loaded.classes, loaded.device) == ("eager/cpu", config.classes, "cpu")
    assert (loaded.engine, loaded.parity, loaded.clip_length) == ("", "", config.clip_length)
    assert loaded.reason
    assert said == [f"reading {tmp_path / 'w.safetensors'}", "warming up eager"]
    settings = TrackSettings(start_score=0.0, keep_score=0.0)
    tracker, plain = loaded.new_tracker(settings), StreamingTracker(model, config, settings=settings)
    rng = np.random.default_rng(0)
    for i in range(3):
        image = rng.integers(0, 256, (48, 64, 3), np.uint8)
        ours, theirs = tracker.push(image, i)[0], plain.push(image, i)[0]
        # Warming up has left no trace: the frames count from 0 and the tracks from 1.
        assert ours.index == theirs.index == i
        assert [t.track_id for t in ours.instances] == [t.track_id for t in theirs.instances]


@pytest.mark.parametrize(("frames", "stride", "clips"), [(0, 1, 0), (1, 1, 1), (1, 3, 1), (4, 3, 2)])
def test_a_model_is_warm_with_a_clip_whatever_the_stride(
    tmp_path, monkeypatch, model: VideoNetwork, config: ModelConfig, frames: int, stride: int, clips: int
) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    run, step = [], type(model).step
    monkeypatch.setattr(type(model), "step", lambda *given: run.append(given) or step(*given))
    load_model(request(str(tmp_path / "w.safetensors"), warmup_frames=frames, stride=stride), lambda text: None)
    assert len(run) == clips


def test_trackers_of_one_model_know_nothing_of_each_other(tmp_path, model: VideoNetwork, config: ModelConfig) -> None:
    """Two streams in turns, of which one begins anew in between, are answered as one after the other."""
    save_weights(tmp_path / "w.safetensors", model, config)
    settings = TrackSettings(start_score=0.0, keep_score=0.0)
    loaded = load_model(request(str(tmp_path / "w.safetensors")), lambda text: None)
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 48, 64, 3), np.uint8)

    def answer(tracker: Tracker, stream: int, frame: int) -> list[object]:
        if (stream, frame) == (1, 3):
            tracker.reset()
        (result,) = tracker.push(images[stream, frame], frame / 30)
        assert result.instances
        masks = [mask for t in result.instances for mask in (t.visible, t.amodal) if mask is not None]
        told = [(t.track_id, t.slot, t.state, t.score, t.age) for t in result.instances]
        return [result.index, result.epoch, told, [(mask.x, mask.y, mask.counts.tolist()) for mask in masks]]

    trackers = [loaded.new_tracker(settings) for _ in range(2)]
    in_turns = [[answer(trackers[stream], stream, frame) for stream in range(2)] for frame in range(6)]
    for stream in range(2):
        alone = loaded.new_tracker(settings)
        assert [answer(alone, stream, frame) for frame in range(6)] == [both[stream] for both in in_turns]


def test_thresholds_change_between_frames(model: VideoNetwork, config: ModelConfig) -> None:
    tracker = StreamingTracker(model, config, settings=TrackSettings(start_score=1.0))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    assert not tracker.push(image, 0.0)[0].instances
    tracker.set_track_settings(TrackSettings(start_score=0.0, keep_score=0.0))
    assert tracker.push(image, 0.1)[0].instances


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": "/nowhere.safetensors"}, "/nowhere.safetensors: no such file"),
        ({"device": "potato"}, "device=potato: choose auto, cpu, cuda, intel:gpu or intel:npu"),
        ({"device": "meta"}, "device=meta: choose auto, cpu, cuda, intel:gpu or intel:npu"),
        ({"stride": 99}, "stride=99"),
        ({"precision": "fp16"}, "precision=fp16: fp16 needs a GPU"),
        ({"backend": "tensorrt"}, "backend=tensorrt: "),
    ],
)
def test_what_cannot_be_loaded_is_said(
    tmp_path, model: VideoNetwork, config: ModelConfig, changes: dict[str, object], words: str
) -> None:
    save_weights(tmp_path / "w.safetensors", model, config)
    with pytest.raises(A2VISError, match=words):
        load_model(request(**{"weights": str(tmp_path / "w.safetensors"), **changes}), print)  # type: ignore[arg-type]
