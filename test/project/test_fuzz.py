"""A minute of fuzzing, the same every time; `tools/fuzz.py` goes on where this ends."""

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed; pip install -e '.[test]'")

from fuzz_targets import TARGETS, feeding
from hypothesis import HealthCheck, given, settings

EXAMPLES = {
    "weight files": 15,
    "videos": 30,
    "image messages": 200,
    "masks of messages": 300,
    "labels files": 20,
    "data sets, SAIL-VOS folders, visible": 20,
    "data sets, SAIL-VOS folders, amodal": 20,
}
"""Inputs of a target, where it is not 60."""


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::RuntimeWarning")
def test_no_input_is_worse_than_refused(name: str) -> None:
    with feeding(TARGETS[name]) as (inputs, take):

        @settings(
            max_examples=EXAMPLES.get(name, 60),
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def feed(content: object) -> None:
            take(content)

        feed()
