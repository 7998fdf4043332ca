"""Position encodings against their closed form."""

import math

import pytest
import torch

from a2vis_model.modeling.position import sine_position_1d, sine_position_2d, sine_position_3d


def closed_form(index: int, length: int, channel: int, dim: int) -> float:
    phase = (index + 1) / (length + 1e-6) * 2 * math.pi / 10_000 ** (2 * (channel // 2) / dim)
    return math.sin(phase) if channel % 2 == 0 else math.cos(phase)


def test_2d_is_y_then_x_of_the_closed_form():
    height, width, dim = 3, 5, 16
    table = sine_position_2d(height, width, dim)
    assert table.shape == (height * width, dim)
    for y in range(height):
        for x in range(width):
            expected = [closed_form(y, height, k, dim // 2) for k in range(dim // 2)]
            expected += [closed_form(x, width, k, dim // 2) for k in range(dim // 2)]
            assert table[y * width + x].tolist() == pytest.approx(expected, abs=1e-6)


def test_3d_adds_time_to_the_2d_table():
    table = sine_position_3d(2, 3, 4, 8)
    time = sine_position_1d(2, 8)
    torch.testing.assert_close(table[12:] - time[1], sine_position_2d(3, 4, 8))


def test_odd_channels_are_refused():
    with pytest.raises(ValueError, match="dim=7"):
        sine_position_1d(4, 7)
