"""Fixtures of the tests of foreign weights."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seed() -> None:
    """Give every test the same random weights."""
    torch.manual_seed(0)
