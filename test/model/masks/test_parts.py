"""Specks: which connected parts of masks are kept."""

import cv2
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from a2vis_model.masks.components import large_parts, lowest_connected
from a2vis_model.masks.run_lengths import MaskRuns, Segments
from a2vis_model.placement import Placement

HEIGHT, WIDTH = 24, 37
PLACE = Placement.fit(image_height=HEIGHT, image_width=WIDTH, input_height=32, input_width=64)


def segments_of(masks):
    """Segments of bool masks [M, H, W]."""
    padded = np.pad(masks, ((0, 0), (0, 0), (1, 1))).astype(np.int8)
    mask, row, edge = np.nonzero(np.diff(padded))
    return Segments(mask[::2], row[::2], edge[::2], edge[1::2])


def kept_pixels(masks, slots, least):
    segments = segments_of(masks)
    runs = MaskRuns(segments.choose(large_parts(segments, PLACE, slots, least)), PLACE)
    return np.stack([runs.mask(i).full() for i in range(len(masks))])


def by_opencv(mask, least):
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    area = stats[1:, cv2.CC_STAT_AREA]
    large = 1 + np.flatnonzero(area >= least * area.max(initial=0))
    return np.isin(labels, large)


@pytest.mark.parametrize("least", [0.05, 0.25, 1.0])
@pytest.mark.parametrize("density", [0.1, 0.35, 0.6, 1.0])
def test_parts_are_those_of_opencv(least, density):
    rng = np.random.default_rng(int(100 * density))
    masks = rng.random((7, HEIGHT, WIDTH)) < density
    masks[3] = False
    wanted = np.stack([by_opencv(mask, least) for mask in masks])
    np.testing.assert_array_equal(kept_pixels(masks, None, least), wanted)


@pytest.mark.parametrize("edges", [0, 5, 40, 60, 200])
def test_nodes_that_are_joined_are_those_of_scipy(edges):
    rng = np.random.default_rng(edges)
    a, b = rng.integers(0, 100, (2, edges))
    label = lowest_connected(100, a, b)
    graph = coo_array((np.ones(edges, bool), (a, b)), shape=(100, 100))
    number = connected_components(graph, directed=False)[1]
    lowest = np.array([np.flatnonzero(number == number[node])[0] for node in range(100)])
    np.testing.assert_array_equal(label, lowest)


def test_a_long_way_between_nodes_is_found():
    """A path through 1,000 nodes in random order, which takes several rounds."""
    order = np.random.default_rng(0).permutation(1000)
    np.testing.assert_array_equal(lowest_connected(1001, order[:-1], order[1:]), np.append(np.zeros(1000, int), 1000))


def test_nothing_has_no_parts():
    assert kept_pixels(np.zeros((3, HEIGHT, WIDTH), bool), None, 0.5).sum() == 0
    assert not len(large_parts(segments_of(np.zeros((0, HEIGHT, WIDTH), bool)), PLACE, 0, 0.5))


def pair(*, whole, seen):
    """A visible and an amodal mask from boxes (top, left, bottom, right)."""
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    for top, left, bottom, right in seen:
        masks[:, top:bottom, left:right] = True
    for top, left, bottom, right in whole:
        masks[1, top:bottom, left:right] = True
    return masks


def test_a_speck_of_the_visible_mask_goes_from_both():
    masks = pair(whole=[(4, 4, 16, 20)], seen=[(4, 4, 10, 10), (20, 30, 22, 32)])
    visible, amodal = kept_pixels(masks, 1, 0.25)
    np.testing.assert_array_equal(amodal, pair(whole=[(4, 4, 16, 20)], seen=[])[1])
    np.testing.assert_array_equal(visible, pair(whole=[], seen=[(4, 4, 10, 10)])[0])


def test_what_is_seen_is_kept_though_little_of_the_object():
    masks = pair(whole=[(0, 0, 20, 20)], seen=[(10, 30, 13, 33)])
    np.testing.assert_array_equal(kept_pixels(masks, 1, 0.25), masks)


def test_an_object_in_two_pieces_keeps_both():
    masks = pair(whole=[(2, 0, 12, 34)], seen=[(2, 0, 12, 16), (2, 24, 12, 34)])
    np.testing.assert_array_equal(kept_pixels(masks, 1, 0.25), masks)


@pytest.mark.parametrize("least", [0.1, 0.25, 0.6, 1.0])
def test_amodal_masks_go_on_containing_visible_ones(least):
    rng = np.random.default_rng(5)
    smooth = np.stack([cv2.GaussianBlur(noise, (0, 0), 2.0) for noise in rng.normal(size=(12, HEIGHT, WIDTH))])
    visible, more = smooth[:6] > 0.05, smooth[6:] > 0.08
    masks = np.concatenate((visible, visible | more))
    kept = kept_pixels(masks, 6, least)
    assert not (kept & ~masks).any()
    assert (kept[:6] <= kept[6:]).all()
    for before, after in zip(masks[:6], kept[:6], strict=True):
        np.testing.assert_array_equal((by_opencv(before, 1.0) & ~after).sum(), 0)
    assert kept.sum() < masks.sum()
