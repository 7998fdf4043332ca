"""The streaming tracker around a real, tiny network, and around a scripted one."""

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import (
    FrameResult,
    RegionMask,
    StreamingTracker,
    TrackedInstance,
    TrackSettings,
    TrackState,
    track_video,
)
from a2vis_model.modeling import ClipPrediction, ClipState, FrameFeatures
from a2vis_model.tracking.results import TrackCollector

OPEN = TrackSettings(start_score=0.0, keep_score=0.0, min_area=1, confirm_frames=1)


def images(count, height=64, width=96):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def run(tracker, count):
    return list(track_video(tracker, ((i / 30, image) for i, image in enumerate(images(count)))))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_every_frame_is_decided_once_in_order(model, config, stride, count):
    results = run(StreamingTracker(model, config, stride=stride, settings=OPEN), count)
    assert [r.index for r in results] == list(range(count))
    assert [r.timestamp for r in results] == [i / 30 for i in range(count)]
    assert all((r.height, r.width, r.epoch) == (64, 96, 0) for r in results)


@pytest.mark.parametrize("variant", ["vita", "mask2former-vis", "minvis", "mask2former-amodal", "genvis-online"])
def test_the_baselines_stream_too(variant):
    config = tiny_config(variant)
    results = run(StreamingTracker(tiny_model(config), config, settings=OPEN), 7)
    assert [r.index for r in results] == list(range(7))
    assert any(r.instances for r in results)
    kinds = {(i.visible is not None, i.amodal is not None) for r in results for i in r.instances}
    assert kinds == {(config.supervision == "visible", config.supervision == "amodal")}


def test_with_stride_1_an_answer_comes_at_once(model, config):
    tracker = StreamingTracker(model, config, stride=1, settings=OPEN)
    for i, image in enumerate(images(5)):
        (result,) = tracker.push(image, float(i))
        assert result.index == i


def test_features_are_computed_once_a_frame(model, config, monkeypatch):
    calls = []
    extract = model.extract
    monkeypatch.setattr(model, "extract", lambda x: calls.append(x.shape[1]) or extract(x))
    run(StreamingTracker(model, config, stride=1, settings=OPEN), 6)
    assert calls == [1] * 6


def test_a_reset_starts_anew_with_new_ids(model, config):
    tracker = StreamingTracker(model, config, stride=1, settings=OPEN)
    first = [r for image in images(3) for r in tracker.push(image, 0.0)]
    tracker.reset()
    second = [r for image in images(3) for r in tracker.push(image, 0.0)]
    assert [r.epoch for r in second] == [1] * 3
    assert [r.index for r in second] == [3, 4, 5]
    ids = [{i.track_id for r in results for i in r.instances} for results in (first, second)]
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]
    # Apart from the IDs the same images give the same answer: nothing is left of the first epoch.
    for a, b in zip(first, second, strict=True):
        assert [(i.slot, i.score) for i in a.instances] == [(i.slot, i.score) for i in b.instances]
        for x, y in zip(a.instances, b.instances, strict=True):
            assert (x.amodal.full() == y.amodal.full()).all()


def test_images_may_change_their_size(model, config):
    tracker = StreamingTracker(model, config, stride=3, settings=OPEN)
    sizes = [(64, 96), (100, 50), (30, 200)]
    results = []
    for size in sizes:
        results += tracker.push(images(1, *size)[0], 0.0)
    assert [(r.height, r.width) for r in results] == sizes
    for result in results:
        for instance in result.instances:
            assert instance.amodal.full().shape == (result.height, result.width)


def test_bad_strides_are_named(model, config):
    tracker = StreamingTracker(model, config)
    for stride in (0, 4):
        with pytest.raises(ValueError, match=f"stride={stride}"):
            StreamingTracker(model, config, stride=stride)
        with pytest.raises(ValueError, match=f"stride={stride}"):
            tracker.set_stride(stride)
    assert tracker.stride == 1


def test_the_stride_changes_while_a_stream_runs(model, config):
    tracker = StreamingTracker(model, config, settings=OPEN)
    batches = []
    # In the middle of a clip too, upwards and downwards.
    for stride, image in zip((1, 3, 3, 3, 3, 1, 1, 3, 2, 2), images(10), strict=True):
        tracker.set_stride(stride)
        batches.append([result.index for result in tracker.push(image, 0.0)])
    assert batches == [[0], [], [], [1, 2, 3], [], [4, 5], [6], [], [7, 8], []]
    assert [result.index for result in tracker.flush()] == [9]


def test_an_offline_variant_says_when_a_stream_is_too_long(monkeypatch):
    monkeypatch.setattr("a2vis_model.tracking.streaming.OFFLINE_FRAMES", 3)
    config = tiny_config("vita")
    tracker = StreamingTracker(tiny_model(config), config)
    for image in images(3):
        tracker.push(image, 0.0)
    with pytest.raises(ValueError, match="online variant"):
        tracker.push(images(1)[0], 0.0)


class Script:
    """A network of 3 slots that says what a script says: per frame, {slot: (visible cells, amodal cells)}.

    The frame's number is read from the image's brightness, so that the script survives any clip stride.
    """

    slots = 3
    device = torch.device("cpu")

    def __init__(self, frames):
        self.frames = frames
        self.recycled = []

    def extract(self, images):
        number = ((images[:, :, 0].mean(dim=(-1, -2)) * 58.395 + 123.675).round()).view(1, -1, 1, 1, 1)
        return FrameFeatures(queries=None, mask_features=number)

    def initial_state(self, batch=1):
        return ClipState(torch.zeros(batch, 3, 0))

    def recycle(self, state, slots):
        self.recycled.append(slots[0].nonzero().flatten().tolist())
        return state

    def step(self, features, state):
        numbers = features.mask_features.flatten().int().tolist()
        visible = torch.full((1, len(numbers), 3, 16, 24), -5.0)
        amodal = visible.clone()
        classes = torch.zeros(1, 3, 6)
        classes[..., -1] = 8.0
        for t, number in enumerate(numbers):
            for slot, (seen, whole) in self.frames[number].items():
                visible[0, t, slot, 4:8, 4 : 4 + seen] = 5.0
                amodal[0, t, slot, 4:8, 4 : 4 + whole] = 5.0
                classes[0, slot, 2], classes[0, slot, -1] = 8.0, 0.0
        return ClipPrediction(classes, visible, amodal), state


def scripted(frames, stride=1, settings=None):
    script = Script(frames)
    tracker = StreamingTracker(script, tiny_config(), stride=stride, settings=settings)
    video = ((i / 30, np.full((64, 96, 3), i, np.uint8)) for i in range(len(frames)))
    return list(track_video(tracker, video)), script


FISH = [{}, *[{0: (8, 8)}] * 2, {0: (4, 8)}, *[{0: (0, 8)}] * 2, {0: (6, 8)}, {0: (8, 8)}]


def test_one_object_keeps_its_id_through_occlusion():
    results, _ = scripted(FISH)
    story = [[(i.track_id, i.state.name, round(i.occlusion * 4) / 4) for i in r.instances] for r in results]
    assert story == [
        [],
        [(1, "TENTATIVE", 0.0)],
        [(1, "TENTATIVE", 0.0)],
        [(1, "VISIBLE", 0.5)],
        [(1, "OCCLUDED", 1.0)],
        [(1, "OCCLUDED", 1.0)],
        [(1, "VISIBLE", 0.25)],
        [(1, "VISIBLE", 0.0)],
    ]
    hidden = results[4].instances[0]
    assert hidden.visible.area == 0
    assert hidden.amodal.area > 0
    assert hidden.frames_since_visible == 1
    assert hidden.class_name == tiny_config().classes[2]


@pytest.mark.parametrize("stride", [2, 3])
def test_the_story_is_the_same_at_any_stride(stride):
    # Classes are said once a clip, so only the ages of the empty first frame can differ.
    results, _ = scripted(FISH[1:], stride=stride)
    expected, _ = scripted(FISH[1:])
    for a, b in zip(results, expected, strict=True):
        assert [(i.track_id, i.state, i.age, i.visible.area) for i in a.instances] == [
            (i.track_id, i.state, i.age, i.visible.area) for i in b.instances
        ]


def test_slots_of_ended_tracks_are_recycled_and_live_ones_are_not():
    frames = [{0: (8, 8), 1: (6, 8)}] * 3 + [{1: (6, 8)}] * 4
    # Both slots overlap on purpose; the second must still be allowed to start.
    settings = TrackSettings(max_lost_frames=2, duplicate_iou=1.0, duplicate_part=1.0)
    results, script = scripted(frames, settings=settings)
    assert script.recycled == [[0]]
    assert [i.state for i in results[5].instances if i.track_id == 1] == [TrackState.ENDED]
    assert [i.track_id for i in results[6].instances] == [2]


def test_a_track_that_held_its_object_long_scores_more_than_a_short_one_that_was_surer():
    def instance(track_id, score, state=TrackState.VISIBLE):
        mask = RegionMask.crop(np.ones((2, 2), np.bool_), x=0, y=0, image_height=8, image_width=8)
        return TrackedInstance(track_id, 0, state, 0, "fish", score, score, 0, 0, mask, mask)

    collector = TrackCollector(["fish"])
    frames = [[instance(1, 0.6), instance(2, 0.99)], [instance(1, 0.6)], [instance(1, 0.6), instance(2, 0.99)], []]
    # A lost track is nowhere: it earns nothing, whatever its slot says.
    frames[3] = [instance(1, 0.6), instance(2, 0.99, TrackState.LOST)]
    for t, instances in enumerate(frames):
        collector.add(FrameResult(t, t / 30, 0, 8, 8, tuple(instances)))
    first, second = collector.youtube_vis()
    assert first["score"] == pytest.approx(0.6)
    assert second["score"] == pytest.approx(0.99 * 2 / 4)


def test_results_are_youtube_vis_tracks():
    results, _ = scripted(FISH)
    collector = TrackCollector(tiny_config().classes)
    for result in results:
        collector.add(result)
    (entry,) = collector.youtube_vis(video_id=7)
    assert (entry["video_id"], entry["track_id"], entry["category_id"]) == (7, 1, 3)
    assert entry["category_name"] == tiny_config().classes[2]
    assert [s is not None for s in entry["segmentations"]] == [False, True, True, True, False, False, True, True]
    assert [s is not None for s in entry["amodal_segmentations"]] == [False] + [True] * 7
    assert entry["states"][4] == "occluded"
    assert entry["segmentations"][1]["size"] == [64, 96]
    scores = [i.score for r in results for i in r.instances]
    assert entry["score"] == pytest.approx(sum(scores) / len(results))
    assert entry["score"] < min(scores), "it was not there in all frames"


def passing(stride, settings=None, size=(64, 96)):
    """A fish that moves to the right by 4 pixels of the input a frame, and that nothing shows after the 14th frame."""

    class Mover(Script):
        def step(self, features, state):
            prediction, state = super().step(features, state)
            for t, number in enumerate(features.mask_features.flatten().int().tolist()):
                for masks in (prediction.visible, prediction.amodal):
                    masks[0, t, 0] = masks[0, t, 0].roll(number, dims=-1)
            return prediction, state

    script = Mover([{0: (6, 6)}] * 14 + [{}] * 20)
    tracker = StreamingTracker(script, tiny_config(), stride=stride, settings=settings)
    video = ((i / 25, np.full((*size, 3), i, np.uint8)) for i in range(34))
    return list(track_video(tracker, video))


@pytest.mark.parametrize("size", [(64, 96), (32, 48), (160, 240)])
@pytest.mark.parametrize("stride", [1, 3])
def test_a_lost_track_has_its_last_full_mask_moved_on_in_image_pixels(stride, size):
    last, scale = 13, size[0] / 64
    results = passing(stride, TrackSettings(max_predicted_s=0.22), size)
    full = results[last].instances[0].amodal
    assert full.area
    for result in results[last + 1 : last + 6]:
        (track,) = result.instances
        assert (track.state, track.visible.area) == (TrackState.LOST, 0)
        steps = (result.index - last) * 4 * scale
        assert track.amodal.y == full.y
        assert track.amodal.x == pytest.approx(full.x + steps, abs=1 + scale)
        assert track.amodal.x + track.amodal.width <= size[1]
        if track.amodal.x + full.width < size[1]:
            assert track.amodal.area == full.area
    for result in results[last + 6 :]:
        (track,) = result.instances
        assert (track.state, track.amodal.area) == (TrackState.LOST, 0)


def test_what_is_predicted_is_scored_where_it_is_and_adds_nothing_to_the_score():
    collectors = []
    for limit in (0.0, 0.18):
        collector = TrackCollector(tiny_config().classes)
        for result in passing(1, TrackSettings(max_predicted_s=limit)):
            collector.add(result)
        collectors.append(collector.youtube_vis()[0])
    without, predicted = collectors
    assert predicted["score"] == without["score"] > 0
    assert predicted["segmentations"] == without["segmentations"]
    placed = [[t for t, mask in enumerate(entry["amodal_segmentations"]) if mask] for entry in collectors]
    assert placed == [list(range(14)), list(range(18))]
