"""Full occlusions: does the ID come back, and where was the object taken to be meanwhile?"""

from pathlib import Path

import numpy as np
import pytest
from evaluation_data import HEIGHT, WIDTH, Box, track

from a2vis_model.evaluation import TrackRecord, VideoInfo
from a2vis_model.evaluation.instances import VideoTracks
from science.context import Context
from science.occlusion import GUESSES, SYSTEMS, Scene, Survival, hidden_episodes

LENGTH = 20
START, STOP = 8, 12


def path(x: float, speed: float, frames: range = range(LENGTH)) -> list[Box | None]:
    return [(x + speed * t, 10.0, 10.0, 12.0) if t in frames else None for t in range(LENGTH)]


COVER: list[Box | None] = [(0.0, 0.0, 64.0, 48.0) if START <= t < STOP else None for t in range(LENGTH)]


def episodes_of(thing: TrackRecord, *found: TrackRecord) -> list[dict]:  # type: ignore[type-arg]
    info = VideoInfo(1, "clip", LENGTH, HEIGHT, WIDTH)
    return hidden_episodes(VideoTracks(info, [thing]), VideoTracks(info, list(found)))


def test_an_id_that_comes_back_survives_and_guesses_are_measured() -> None:
    thing = track(1, 1, path(2, 2.0), occluder=COVER)
    (episode,) = episodes_of(thing, thing)
    assert (episode["frames"], episode["survived"]) == (STOP - START, 1)
    assert tuple(episode["iou"]) == GUESSES
    assert episode["iou"]["amodal mask"] == [1, 1, 1, 1]
    assert episode["iou"]["constant velocity"] == [1, 1, 1, 1]
    # 10 wide and moved by 2, 4, 6, 8: what is common over what either covers.
    assert episode["iou"]["stands still"] == pytest.approx([8 / 12, 6 / 14, 4 / 16, 2 / 18], abs=1e-3)


def test_another_id_afterwards_does_not_survive_and_nothing_drawn_is_zero() -> None:
    thing = track(1, 1, path(2, 0.0), occluder=COVER)
    before, after = (track(n, 1, path(2, 0.0, frames)) for n, frames in ((4, range(START)), (5, range(STOP, LENGTH))))
    (episode,) = episodes_of(thing, before, after)
    assert episode["survived"] == 0
    assert episode["iou"]["amodal mask"] == [0, 0, 0, 0]
    assert episode["iou"]["stands still"] == [1, 1, 1, 1]


def test_an_object_that_nobody_followed_or_that_does_not_return_is_no_episode() -> None:
    thing = track(1, 1, path(2, 0.0), occluder=COVER)
    assert episodes_of(thing) == []
    gone = track(1, 1, path(2, 0.0, range(STOP)), occluder=COVER)
    assert episodes_of(gone, track(1, 1, path(2, 0.0))) == []


def test_part_of_an_object_is_no_full_occlusion() -> None:
    half: list[Box | None] = [None if box is None else (0.0, 0.0, 7.0, 48.0) for box in COVER]
    thing = track(1, 1, path(2, 0.0), occluder=half)
    assert episodes_of(thing, thing) == []


def test_standing_still_ends_after_its_frames() -> None:
    long = 60
    boxes: list[Box | None] = [(20.0, 10.0, 10.0, 12.0)] * long
    cover: list[Box | None] = [(0.0, 0.0, 64.0, 48.0) if 5 <= t < 50 else None for t in range(long)]
    thing = track(1, 1, boxes, occluder=cover)
    info = VideoInfo(1, "clip", long, HEIGHT, WIDTH)
    (episode,) = hidden_episodes(VideoTracks(info, [thing]), VideoTracks(info, [thing]))
    still = np.array(episode["iou"]["stands still"])
    assert still.tolist() == [1.0] * 30 + [0.0] * 15


def test_guesses_are_of_the_last_full_mask_not_of_a_sliver() -> None:
    # A wall covers the object bit by bit from the right: 8, 5 and 2 columns are left before it is hidden.
    left = {START - 3: 10.0, START - 2: 7.0, START - 1: 4.0} | dict.fromkeys(range(START, STOP), 0.0)
    cover: list[Box | None] = [(left[t], 0.0, 64.0, 48.0) if t in left else None for t in range(LENGTH)]
    thing = track(1, 1, path(2, 0.0), occluder=cover)
    (episode,) = episodes_of(thing, thing)
    assert episode["frames"] == STOP - START
    assert episode["iou"]["stands still"] == [1, 1, 1, 1]
    assert episode["iou"]["constant velocity"] == [1, 1, 1, 1]


def test_all_trackers_of_a_scene_have_one_memory_of_what_the_detector_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "003").mkdir()
    asked = []
    monkeypatch.setattr(Scene, "folder", lambda self, context: tmp_path)
    monkeypatch.setattr("science.occlusion.answers", lambda *arguments: asked.append(arguments) or [])
    context = Context(roots={}, scratch=tmp_path)
    for system in SYSTEMS:
        Survival(Scene(0, "still"), system).run(context)
    assert [arguments[3] for arguments in asked] == list(SYSTEMS.values())
    assert all(arguments[-1] is context.detections for arguments in asked)
