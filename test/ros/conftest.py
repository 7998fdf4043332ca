"""What holds for all tests with ROS."""

from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture(autouse=True)
def no_process_is_left_over() -> Iterator[None]:
    """A node that stays behind would speak to the tests after it."""
    yield
    left = [child.cmdline() for child in psutil.Process().children(recursive=True) if _ours(child)]
    assert not left


def _ours(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    return process.status() != psutil.STATUS_ZOMBIE and ("a2vis" in command or "fake_node" in command)
