"""The certainty of a mask: how much of it a lower threshold would add."""

import math

import pytest
import torch
from torch import Tensor

from a2vis_model.masks.certainty import certainty, loose_area


def disc(slope: float) -> Tensor:
    """Logits [64, 64] of a disc with a radius of 10.3 pixels, which fall by `slope` a pixel."""
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    return slope * (10.3 - (rows - 32).hypot(columns - 32))


def sure(masks: Tensor) -> Tensor:
    return certainty((masks > 0).sum(dim=(-2, -1)), loose_area(masks))


def test_the_blurrier_an_outline_the_less_certain() -> None:
    values = sure(torch.stack([disc(slope) for slope in (100.0, 1.0, 0.5, 0.25)])).tolist()
    # A probability of a tenth lies so much further out.
    expected = [(10.3 / (10.3 + math.log(9) / slope)) ** 2 for slope in (100.0, 1.0, 0.5, 0.25)]
    assert values == pytest.approx(expected, abs=0.03)
    assert values[0] == 1.0


def test_it_does_not_depend_on_the_size() -> None:
    small, large = (certainty(torch.tensor([area]), torch.tensor([2 * area])) for area in (3, 30_000))
    assert small.tolist() == large.tolist() == [0.5]


def test_masks_of_nothing_and_of_everything() -> None:
    masks = torch.tensor([-5.0, -1.0, 5.0, math.nan])[:, None, None].expand(4, 8, 8)
    assert sure(masks).tolist() == [0.0, 0.0, 1.0, 0.0]


def test_a_mask_that_was_made_larger_is_at_most_certain() -> None:
    """An amodal mask has the cells of the visible one, whatever its own logits are."""
    assert certainty(torch.tensor([9]), torch.tensor([4])).tolist() == [1.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    assert sure(disc(0.5).to(dtype)).item() == pytest.approx(sure(disc(0.5)).item(), abs=0.03)
