"""Which pictures are drawn, and what is pasted into them."""

import dataclasses
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled_photographs import CLASSES, boxes, write_photographs
from training_runs import (
    HEIGHT,
    WIDTH,
    MemoryVideo,
    VideoList,
    files,
    moving_squares,
)

from a2vis_model import ConfigError
from a2vis_model.training import (
    Augmentation,
    Batch,
    SequenceDataset,
    augment,
    copy_paste,
)
from a2vis_model.training.draws import EvenDraws, Focus
from a2vis_model.training.sources import CachedSource, open_source

__all__ = ["files"]  # a fixture


def photographs(folder: Path) -> Path:
    """Nine pictures of persons, one of them with a car, and one of a dog; the sixth person is small."""
    large = [(1, 5, 5, 40, 30)]
    pictures: list[dict[str, Any]] = [{"boxes": large} for _ in range(9)]
    pictures[3] = {"boxes": [*large, (2, 30, 50, 20, 20)]}
    pictures[5] = {"boxes": [*large, (1, 50, 70, 3, 4)]}
    return write_photographs(folder, [*pictures, {"boxes": [(3, 20, 20, 20, 20)]}, {"boxes": []}])


def drawn_from(file: Path, **changes: Any) -> SequenceDataset:
    values: dict[str, Any] = {
        "sources": [open_source(str(file), CLASSES, frames=1, seed=0, gigabytes=0.1)],
        "weights": [1.0],
        "frames": 1,
        "reach": 0,
        "height": HEIGHT,
        "width": WIDTH,
        "augmentation": dataclasses.replace(Augmentation(), resized=0.0, copy_paste=0.0),
        "seed": 3,
    }
    return SequenceDataset(**{**values, **changes})


def test_classes_are_drawn_evenly(tmp_path: Path) -> None:
    data = drawn_from(photographs(tmp_path))
    held = Counter(int(c) for index in range(300) for c in set(data[index].classes.tolist()))
    assert 85 <= held[2] <= 115  # one picture in eleven shows a dog
    # Those drawn for their car show a person too unless it is cropped away, and a few of those drawn for persons a car.
    assert 90 <= held[1] <= 130
    plain = drawn_from(photographs(tmp_path), even_draws=False)
    assert sum(2 in plain[index].classes for index in range(100)) < 25
    assert plain.draws == [None]


def test_draws_follow_from_their_number_alone_also_in_another_process(tmp_path: Path) -> None:
    data = drawn_from(photographs(tmp_path), frames=3)
    copy = pickle.loads(pickle.dumps(data))
    for index in (7, 2):
        assert np.array_equal(data[index].images, copy[index].images)
        assert np.array_equal(data[index].visible, copy[index].visible)


def test_every_video_of_a_class_is_as_likely() -> None:
    draws = EvenDraws.of([{0: 1.0, 1: 0.001}, {0: 1.0}, {}, {0: 0.001}], small_share=0.01)
    assert draws is not None
    rng = np.random.default_rng(0)
    for resized, of_first in ((0.0, (0, 1, 3)), (1.0, (3,))):
        drawn = Counter(draws.draw(resized, rng) for _ in range(600))
        counts = {number: n for (number, focus), n in drawn.items() if focus.class_id == 0}
        assert set(counts) == set(of_first)
        assert max(counts.values()) < 1.5 * min(counts.values())
        assert sum(counts.values()) == pytest.approx(300, abs=50)
        assert {number for number, focus in drawn if focus.class_id == 1} == {0}
        assert all(focus.resize == bool(resized) for _, focus in drawn)
    assert EvenDraws.of([{}, {}], small_share=0.01) is None
    few = EvenDraws.of([{0: 0.001}, *[{0: 1.0}] * 99], small_share=0.01)
    assert few is not None
    assert (
        20 <= sum(few.draw(1.0, rng)[0] == 0 for _ in range(600)) <= 50
    )  # 6 %: the only small one is not all there is


def test_a_frame_that_shows_the_class_is_drawn_from_a_long_video(tmp_path: Path) -> None:
    from dataset_files import LENGTH, two_objects, write_fishbowl

    source = open_source(str(write_fishbowl(tmp_path, two_objects())), ["SmallFishA"], frames=1, seed=0, gigabytes=0.0)
    assert isinstance(source, CachedSource)
    assert [dict(held) for held in source.video_classes()] == [{0: 1.0}]
    assert source[0].frames_with(0).tolist() == [2, 3, 4, 5]  # hidden in the first two of six
    assert LENGTH == 6
    data = dataclasses.replace(
        drawn_from(photographs(tmp_path / "photographs")), sources=[source], augmentation=Augmentation.none()
    )
    assert all(data._draw(np.random.default_rng(seed)).classes.tolist() == [0] for seed in range(12))


@pytest.mark.parametrize("side", [6, 60])
def test_objects_are_resized_to_medium_and_in_view(side: int) -> None:
    """Where the picture just fits, a side of 24 pixels, which is small, or 240, which is large."""
    visible = np.zeros((1, 1, 64, 96), np.bool_)
    visible[0, 0, 64 - side :, 96 - side :] = True
    sample = MemoryVideo(np.full((1, 64, 96, 3), 90, np.uint8), visible, None, np.array([1])).load([0])
    augmentation = dataclasses.replace(Augmentation(), scale=(2.0, 4.0))
    sides = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        resized = augment(sample, augmentation, height=256, width=384, rng=rng, focus=Focus(1, True))
        sides.append(np.sqrt(resized.visible[0, 0].sum()))
        assert 31 <= sides[-1] <= 98
        plain = augment(sample, augmentation, height=256, width=384, rng=rng, focus=Focus(1, False))
        least = 2 * 4 * side  # at twice the size at which the picture fits
        assert plain.visible[0, 0].sum() >= (min(least, 256) - 3) ** 2
    assert side == 60 or max(sides) - min(sides) > 20


def test_pasted_objects_cover_and_what_they_cover_stays_known() -> None:
    below, above = boxes((2, 2, 10, 10), (12, 12, 15, 15), grey=50), boxes((6, 6, 14, 11), grey=200)
    above = dataclasses.replace(above, labelled=np.array([True, True]))
    out = copy_paste(below, above, np.random.default_rng(0))
    cover = above.visible[0, 0]
    assert (out.images[0][cover] == 200).all()
    assert (out.images[0][~cover] == 50).all()
    assert out.classes.tolist() == [0, 1, 0]
    assert np.array_equal(out.visible[0, 0], below.visible[0, 0] & ~cover)
    assert np.array_equal(out.visible[0, 1], below.visible[0, 1])
    assert np.array_equal(out.visible[0, 2], cover)
    assert out.visible[0].sum(axis=0).max() == 1
    assert np.array_equal(out.amodal[0, 0], below.visible[0, 0])  # as it was seen before
    assert out.labelled is not None
    assert out.labelled.tolist() == [True, False]  # what the picture below does not label is still in it
    targets = Batch.collate([out]).targets("amodal")
    assert targets.unknown is not None
    unknown = targets.unknown[0, 0] & ~targets.pixels[0, 0]
    assert not unknown[0][torch.from_numpy(below.visible[0, 0])].any()  # under the paste too
    assert torch.equal(unknown[2], torch.from_numpy(out.visible[0, :2].any(axis=0) & ~cover))
    rest = torch.from_numpy(cover & ~below.visible[0, 0])
    assert unknown[0][rest].all()  # it may go on behind what was pasted beside it


def test_an_object_that_is_nearly_covered_is_left_out() -> None:
    below = boxes((0, 0, 10, 10), (0, 12, 4, 14), grey=50)
    for bottom, kept in ((9, [0, 1, 0]), (10, [1, 0])):
        above = boxes((0, 0, bottom, 10), grey=200)
        assert copy_paste(below, above, np.random.default_rng(0)).classes.tolist() == kept
    moving = boxes((0, 0, 10, 10), grey=200, frames=2)
    moving.visible[0, 0] = False  # it comes in the second frame
    out = copy_paste(boxes((0, 0, 10, 10), grey=50, frames=2), moving, np.random.default_rng(0))
    assert out.classes.tolist() == [0, 0]
    assert out.visible[:, 0].any(axis=(1, 2)).tolist() == [True, False]
    assert out.amodal[:, 0].sum(axis=(1, 2)).tolist() == [100, 100]  # hidden, and known
    assert out.amodal[:, 1].any(axis=(1, 2)).tolist() == [False, True]
    first = boxes((0, 0, 10, 10), grey=200, frames=2)
    first.visible[1, 0] = False  # it leaves what it hides
    out = copy_paste(boxes((0, 0, 10, 10), grey=50, frames=2), first, np.random.default_rng(0))
    assert out.amodal[:, 0].any(axis=(1, 2)).tolist() == [False, True]  # paper 3.1: not before it is first visible


def test_what_touches_a_pasted_object_comes_with_it() -> None:
    """What hides a part of an object must not stay behind: the cut would look like its edge."""
    above = boxes((2, 2, 6, 6), (6, 2, 9, 6), (2, 11, 5, 14), grey=200)
    pasted = {tuple(copy_paste(boxes(grey=50), above, np.random.default_rng(s)).classes.tolist()) for s in range(30)}
    assert pasted == {(0, 1), (2,), (0, 1, 2)}
    nothing = boxes(grey=200)
    below = boxes((2, 2, 10, 10), grey=50)
    assert copy_paste(below, nothing, np.random.default_rng(0)) is below


def test_photographs_are_pasted_and_videos_are_not(tmp_path: Path) -> None:
    always = dataclasses.replace(Augmentation.none(), copy_paste=1.0)
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 40, 30)]}, {"boxes": [(2, 20, 20, 30, 50)]}])
    data = drawn_from(file, augmentation=always, frames=2)
    assert {len(data[index].classes) for index in range(10)} == {1, 2}  # one, where it is covered
    assert np.array_equal(data[1].visible, data[1].visible)
    videos = dataclasses.replace(data, sources=[VideoList([moving_squares()])])
    assert all(len(videos[index].classes) == 2 for index in range(4))
    with pytest.raises(ConfigError, match=r"copy_paste=1\.5; choose 0 to 1"):
        Augmentation(copy_paste=1.5)
