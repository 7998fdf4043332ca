"""The benchmark of the localizer: what it gives to decoders is what they read."""

import runpy

import numpy as np
import pytest
from paths import ROOT
from ros_helpers import needs_ros

pytestmark = needs_ros


@pytest.mark.parametrize("kind", ["raw", "png", "rvl"])
def test_depth_of_every_coding(kind: str) -> None:
    benchmark = runpy.run_path(str(ROOT / "benchmark" / "localizer.py"))
    _, depth = benchmark["scene"](0, 3)
    found = benchmark["decoder"](kind)(benchmark["encoded"](depth, kind))
    assert np.array_equal(found, depth.astype(np.float32) * np.float32(0.001))
