"""How many of these tests run at once."""

import os

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Workers of `-n auto`: two for each core, because a test of nodes waits for other programs most of the time.

    Each worker has a ROS domain of its own, see `ros_helpers.free_domain`.
    """
    return min(2 * (os.cpu_count() or 1), 8)
