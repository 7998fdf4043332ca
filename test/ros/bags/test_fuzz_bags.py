"""Damaged bags and messages are read or refused, a repair leaves a bag that is whole, the same inputs every time."""

from contextlib import suppress
from pathlib import Path

import pytest
from ros_helpers import needs_ros

pytest.importorskip("hypothesis", reason="hypothesis is not installed; pip install -e '.[test]'")
pytestmark = needs_ros

BAGS = ["bags, MCAP", "bags, SQLite", "bags, metadata", "bags, reindex MCAP", "bags, reindex SQLite"]
NAMES = [*BAGS, "bags, truth in space", "planners' messages, serialised"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_worse_than_refused(name: str) -> None:
    from fuzz_bags import BAG_TARGETS
    from fuzz_targets import feeding
    from hypothesis import HealthCheck, given, settings

    assert list(BAG_TARGETS) == NAMES
    with feeding(BAG_TARGETS[name]) as (inputs, take):

        @settings(
            max_examples=30, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(inputs)
        def feed(content: object) -> None:
            take(content)

        feed()


def test_metadata_of_any_kind_are_refused_in_words(tmp_path: Path) -> None:
    """In the place of each value, what a parser chokes on, and values of another kind."""
    from damage import ODD_YAML
    from fuzz_bags import write_bag

    from a2vis_ros.bags.bag_files import BagError, BagReader

    write_bag(tmp_path / "bag", "mcap", closed=True)
    file = tmp_path / "bag" / "metadata.yaml"
    lines = file.read_bytes().splitlines()
    said: list[str] = []
    for number, line in enumerate(lines):
        key, colon, value = line.partition(b":")
        for odd in [*ODD_YAML, b" [1]"] if value.strip() else []:
            file.write_bytes(b"\n".join([*lines[:number], key + colon + odd, *lines[number + 1 :]]))
            try:
                with BagReader(tmp_path / "bag") as bag:
                    assert all(isinstance(bag.count(topic), int) for topic in bag.topics)
                    with suppress(BagError):
                        list(bag.raw())
            except BagError as error:
                said.append(str(error))
    assert len(said) > 20
    assert not [text for text in said if "\n" in text]
