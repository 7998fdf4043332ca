"""What is drawn and how it is augmented, the same in every process."""

import dataclasses
import multiprocessing

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training_runs import CPU, HEIGHT, WIDTH, MemoryVideo, VideoList, batch_of, dataset, moving_squares

from a2vis_model import (
    A2VISError,
)
from a2vis_model.preprocessing import FrameTransform
from a2vis_model.training import (
    Augmentation,
    Batch,
    augment,
)
from a2vis_model.training.sequences import draw_frames, load_batches


def test_unaugmented_sample_is_what_inference_sees() -> None:
    video = moving_squares(height=100, width=200)
    batch = batch_of([video], [0, 3])
    expected, _ = FrameTransform(input_height=HEIGHT, input_width=WIDTH)(video.frames[3])
    assert torch.allclose(batch.normalised()[0, 1], expected, atol=0.01)
    assert batch.normalised()[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("seed", range(6))
def test_augmentation_moves_masks_with_the_image(seed: int) -> None:
    strong = Augmentation(scale=(0.6, 1.8), travel=0.5, brightness=0.0, contrast=0.0, saturation=0.0)
    sample = moving_squares().load(range(6), seen_only=True)
    out = augment(sample, strong, height=HEIGHT, width=WIDTH, rng=np.random.default_rng(seed))
    red = (out.images[..., 0] > 170) & (out.images[..., 2] < 50)
    mask = out.visible[:, out.classes == 1].any(axis=1)
    assert (red ^ mask).sum() < 0.08 * mask.sum() + 20  # differences along the edges alone
    assert (out.visible & ~out.amodal).sum() == 0


def test_crop_moves_smoothly_and_in_one_direction() -> None:
    frames = np.repeat(moving_squares().frames[:1], 9, axis=0)
    frames[:] = 0
    frames[:, 28:36, 44:52] = 255
    still = MemoryVideo(frames, frames[None, ..., 0] > 0, None, np.array([0]))
    moving = Augmentation(scale=(1.6, 1.6), travel=0.3, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0)
    for seed in range(20):
        out = augment(still.load(range(9)), moving, height=HEIGHT, width=WIDTH, rng=np.random.default_rng(seed))
        if len(out.classes) and out.visible.any(axis=(1, 2, 3)).all():
            path = np.array([np.argwhere(mask[0]).mean(axis=0) for mask in out.visible])
            path = path[np.abs(path - [HEIGHT / 2, WIDTH / 2]).max(axis=1) < 20]  # wholly inside
            if len(path) == 9 and np.abs(path[-1] - path[0]).max() > 4:
                steps = np.diff(path, axis=0)
                assert np.ptp(steps, axis=0).max() <= 1.01
                return
    pytest.fail("no seed shows the object moving")


def test_amodal_masks_begin_when_the_object_is_first_seen_in_the_sequence() -> None:
    video = moving_squares(hidden=slice(0, 3))
    batch = batch_of([video], [0, 2, 4, 6])
    assert batch.present[0, 0, :, 0].tolist() == [False, False, True, True]
    assert batch.present[1, 0, :, 0].tolist() == [False, False, True, True]
    again = batch_of([moving_squares(hidden=slice(5, 8))], [4, 6, 7, 9])
    assert again.present[1, 0, :, 0].tolist() == [True, True, True, True]
    never = batch_of([video], [0, 1])
    assert never.classes[0].tolist() == [3]


def test_batches_pad_objects_and_cut_time_without_copying() -> None:
    both, one = moving_squares(), moving_squares(hidden=slice(0, 12))
    batch = batch_of([both, one], range(4))
    assert np.array_equal(batch.masks("visible")[0, 3].numpy(), both.visible[:, 3])
    assert not batch.present[:, 1, :, 1].any()
    sequences = batch.targets("visible")
    clips = sequences.split(2)
    assert clips.pixels.shape == (4, 2, 2, HEIGHT, WIDTH)
    assert clips.pixels.data_ptr() == sequences.pixels.data_ptr()
    assert torch.equal(clips.pixels[1, 0], sequences.pixels[0, 2])
    assert clips.classes.tolist() == [[1, 3], [1, 3], [3, 0], [3, 0]]
    assert torch.equal(clips.cells[1, 1, 0], F.avg_pool2d(sequences.pixels[0, 3, :1].float(), 4).flatten())


def test_frames_are_drawn_near_each_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        reference = int(rng.integers(60))
        indices = draw_frames(reference, 60, 15, 12, rng)
        assert len(indices) == 15
        assert (np.diff(indices) >= 0).all()
        assert indices[-1] - indices[0] <= 24
        assert 0 <= indices[0] <= reference <= indices[-1] < 60
        assert reference in indices
    assert draw_frames(0, 1, 3, 12, rng).tolist() == [0, 0, 0]


def assert_equal_batches(a: Batch, b: Batch) -> None:
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.packed, b.packed)
    assert np.array_equal(a.classes, b.classes)


@pytest.mark.parametrize("workers", [0, 2])
def test_batch_depends_on_its_step_alone(workers: int) -> None:
    def batches(steps: range, workers: int, rank: int = 0, size: int = 1, batch: int = 2) -> list[Batch]:
        loading = load_batches(dataset(3), steps, batch=batch, rank=rank, world_size=size, workers=workers, device=CPU)
        with loading as loaded:
            return list(loaded)

    whole = batches(range(4), 0)
    for a, b in zip(whole[2:], batches(range(2, 4), workers), strict=True):
        assert_equal_batches(a, b)
    parts = [batches(range(1), 0, rank, 2, 1)[0] for rank in range(2)]
    assert torch.equal(whole[0].images, torch.cat([part.images for part in parts]))
    assert not torch.equal(whole[0].images, whole[1].images)


def test_broken_videos_are_drawn_again_and_nothing_else_is_an_error() -> None:
    broken = dataclasses.replace(moving_squares(), broken=True)
    assert len(dataset(3, sources=[VideoList([broken, moving_squares()])])[0].classes)
    with pytest.raises(A2VISError, match=r"cannot be used.*cannot be decoded.*check-data"):
        dataset(3, sources=[VideoList([broken])])[0]


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_loader_processes_are_one_line(workers: int) -> None:
    data = dataset(3, sources=[VideoList([dataclasses.replace(moving_squares(), broken=True)])])
    loading = load_batches(data, range(2), batch=2, rank=0, world_size=1, workers=workers, device=CPU)
    with loading as batches, pytest.raises(A2VISError, match=r"^20 videos in a row cannot be used; .*check-data'$"):
        next(batches)
    assert not multiprocessing.active_children()
