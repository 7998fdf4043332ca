"""Overlap, duplicates, matching and motion of masks on a grid."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from a2vis_model.tracking.association import Motion, centre, duplicates, mask_iou, match, shifted, suppress


def box(top, left, height, width, size=(24, 36)):
    mask = np.zeros(size, np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def test_iou_of_masks_with_other_masks():
    first = np.stack([box(0, 0, 4, 4), box(10, 10, 2, 2), box(0, 0, 0, 0)])
    second = np.stack([box(0, 2, 4, 4), box(0, 0, 0, 0)])
    np.testing.assert_allclose(mask_iou(first, second), [[8 / 24, 0], [0, 0], [0, 0]])
    assert mask_iou(first[:0], second).shape == (0, 2)


def test_duplicates_overlap_or_lie_inside_each_other():
    masks = np.stack([box(0, 0, 8, 8), box(0, 1, 8, 8), box(2, 2, 2, 2), box(0, 6, 8, 8), box(12, 12, 4, 4)])
    same = duplicates(masks, iou=0.4, containment=0.6)
    assert (same == same.T).all()
    # IoU with the first: 7 / 9, then inside it by all of it, then 1 / 7, then 0.
    assert same[0].tolist() == [True, True, True, False, False]
    assert not same[4, :4].any()


def test_what_a_suppressed_mask_overlaps_is_not_suppressed_by_it():
    """The middle one covers parts of both others, which are different objects."""
    same = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], np.bool_)
    assert suppress(np.array([0.9, 0.8, 0.7], np.float32), same) == [0, 2]
    assert suppress(np.array([0.8, 0.9, 0.7], np.float32), same) == [1]
    assert suppress(np.array([0.5, 0.5, 0.5], np.float32), same) == [0, 2], "of equal ones the first"
    assert suppress(np.zeros(0, np.float32), np.zeros((0, 0), np.bool_)) == []


def test_matching_is_best_in_all_and_never_below_the_least():
    affinity = np.array([[0.9, 0.8], [0.7, 0.05]], np.float32)
    assert sorted(match(affinity, 0.1)) == [(0, 1), (1, 0)], "not the best pair first"
    assert match(affinity, 0.85) == [(0, 0)]
    assert match(affinity, 0.95) == []
    # What is below the least must not keep a good pair apart for the sake of the sum.
    assert match(np.array([[0.5, 0.4], [0.3, 0.0]], np.float32), 0.45) == [(0, 0)]
    assert match(np.zeros((0, 3), np.float32), 0.1) == []


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_matching_is_that_of_scipy(share):
    generator = np.random.default_rng(0)
    for _ in range(200):
        shape = generator.integers(1, 12, 2)
        affinity = (generator.random(shape) * (generator.random(shape) < share)).astype(np.float32)
        least = generator.uniform(0.01, 0.6)
        rows, columns = linear_sum_assignment(np.where(affinity >= least, affinity, 0.0), maximize=True)
        expected = [pair for pair in zip(rows.tolist(), columns.tolist(), strict=True) if affinity[pair] >= least]
        assert sorted(match(affinity, least)) == expected


def test_of_equally_good_matchings_one_is_found():
    generator = np.random.default_rng(0)
    for _ in range(200):
        affinity = generator.integers(0, 4, generator.integers(1, 9, 2)).astype(np.float32)
        found = match(affinity, 1.0)
        rows, columns = linear_sum_assignment(affinity, maximize=True)
        assert sum(affinity[pair] for pair in found) == affinity[rows, columns].sum()
        assert len({row for row, _ in found}) == len({column for _, column in found}) == len(found)


def test_masks_move_over_the_grid_and_off_it():
    mask = box(4, 4, 3, 5)
    np.testing.assert_array_equal(shifted(mask, np.array([2.4, -1.6])), box(6, 2, 3, 5))
    np.testing.assert_array_equal(shifted(mask, np.array([-5.0, 0.0])), box(0, 4, 2, 5))
    for gone in ([-50.0, 0.0], [0.0, 36.0], [24.0, -36.0]):
        assert not shifted(mask, np.array(gone)).any()
    assert shifted(mask, np.zeros(2)) is mask


def test_motion_is_the_mean_at_first_and_forgets_later():
    motion = Motion.at(box(0, 0, 2, 2))
    motion.observe(box(0, 2, 2, 2), 1)
    motion.observe(box(0, 8, 2, 2), 2)
    assert motion.position.tolist() == [0.5, 8.5]
    assert motion.velocity.tolist() == pytest.approx([0, 2.5])
    assert motion.after(4).tolist() == pytest.approx([0.5, 18.5])
    # It turns back: a constant gain follows within some ten frames.
    for t in range(1, 31):
        motion.observe(box(0, 31 - t, 2, 2), 1)
    assert motion.velocity[1] == pytest.approx(-1, abs=0.1)


def test_the_centre_is_the_mean_of_the_cells():
    assert centre(box(3, 7, 1, 3)).tolist() == [3, 8]
    mask = box(0, 0, 2, 2) | box(10, 10, 2, 2)
    assert centre(mask).tolist() == [5.5, 5.5]
