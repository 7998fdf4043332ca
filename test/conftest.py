"""Small configurations that every test can afford."""

from collections.abc import Iterator

import psutil
import pytest
from networks import tiny_config, tiny_model

from a2vis_model import ModelConfig, VideoNetwork


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow ones first, so that no worker is left with one of them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def config() -> ModelConfig:
    return tiny_config()


@pytest.fixture
def model(config: ModelConfig) -> VideoNetwork:
    return tiny_model(config)


@pytest.fixture
def no_process_is_left_over() -> Iterator[None]:
    """A node that stays behind would speak to the tests after it."""
    yield
    assert not [child.cmdline() for child in psutil.Process().children(recursive=True) if _is_node(child)]


def _is_node(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
        return process.status() != psutil.STATUS_ZOMBIE and ("a2vis_" in command or "fake_node" in command)
    except psutil.NoSuchProcess:
        return False
