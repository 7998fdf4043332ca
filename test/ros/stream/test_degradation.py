"""What is given up when results are too old, against plants that react to it in different ways."""

import math
from collections.abc import Callable

import pytest

from a2vis_ros.stream.degradation import MAX_PATIENCE, PATIENCE, SETTLING, WINDOW, Degradation

STEP = SETTLING + WINDOW


def policy(budget_s: float = 0.1, stride: int = 1, max_stride: int = 5) -> Degradation:
    return Degradation(budget_s=budget_s, stride=stride, max_stride=max_stride)


def run(degradation: Degradation, age: Callable[[Degradation], float], results: int) -> list[tuple[int, bool]]:
    """The plant answers with an age; the steps taken."""
    changes = (degradation.observe(age(degradation)) for _ in range(results))
    return [(degradation.stride, degradation.pictures) for changed in changes if changed]


def test_first_the_stride_then_the_pictures_and_back_in_the_opposite_order() -> None:
    degradation = policy()
    load = 1.0
    plant = lambda d: load * (0.4 - 0.03 * d.stride - 0.05 * (not d.pictures))  # noqa: E731
    assert run(degradation, plant, 6 * STEP) == [(2, True), (4, True), (5, True), (5, False)]
    assert degradation.degraded
    assert str(degradation) == (
        "a clip every 5 frames instead of 1, no overlay and no ID image to keep age_budget_s=0.1; results are "
        "still too old, and nothing more can be given up"
    )
    load = 0.1
    assert run(degradation, plant, 40 * STEP) == [(5, True), (2, True), (1, True)]
    assert not degradation.degraded
    assert str(degradation) == "full quality, age_budget_s is 0.1"


def test_it_stops_where_the_budget_is_kept() -> None:
    degradation = policy()
    assert run(degradation, lambda d: 0.18 / d.stride, 20 * STEP) == [(2, True)]
    assert str(degradation) == "a clip every 2 frames instead of 1 to keep age_budget_s=0.1"


def test_a_stride_that_makes_results_older_is_taken_back() -> None:
    degradation = policy()
    # The first frame of a clip waits for the others.
    load = 1.0
    plant = lambda d: load * (0.2 + 0.033 * (d.stride - 1))  # noqa: E731
    assert run(degradation, plant, 20 * STEP) == [(2, True), (1, False)]
    assert "clip" not in str(degradation)
    assert "no overlay" in str(degradation)
    # And is not tried again until all has been well for long.
    load = 0.1
    assert run(degradation, plant, STEP * PATIENCE) == [(1, True)]
    load = 1.0
    assert run(degradation, plant, 2 * STEP) == [(1, False)]
    load = 0.1
    assert run(degradation, plant, 30 * STEP) == [(1, True)]
    load = 1.0
    assert run(degradation, plant, 3 * STEP) == [(2, True), (1, False)]


def test_a_usual_stride_above_1_is_where_it_returns_to() -> None:
    degradation = policy(stride=3)
    load = 1.0
    plant = lambda d: load / d.stride  # noqa: E731
    assert run(degradation, plant, 3 * STEP) == [(5, True), (5, False)]
    load = 0.01
    assert run(degradation, plant, 20 * STEP) == [(5, True), (3, True)]


def test_ages_around_the_budget_change_nothing() -> None:
    degradation = policy()
    ages = iter([0.061, 0.099] * 50 * STEP)
    assert run(degradation, lambda d: next(ages), 50 * STEP) == []
    # One result in thirty is no p95.
    spikes = iter(([5.0] + [0.05] * (WINDOW - 1)) * 20)
    assert run(degradation, lambda d: next(spikes), 20 * WINDOW) == []


def test_what_was_wrong_to_take_back_is_tried_ever_less_often() -> None:
    """Without the doubling it would come and go for ever."""
    degradation = policy(max_stride=1)
    changes = (degradation.observe(0.2 if degradation.pictures else 0.05) for _ in range(600 * STEP))
    returns = [result for result, changed in enumerate(changes) if changed and degradation.pictures]
    pauses = [after - before for before, after in zip(returns, returns[1:], strict=False)]
    assert len(pauses) > 5
    assert pauses[0] > 2 * PATIENCE * WINDOW
    assert pauses == sorted(pauses)
    assert pauses[-1] <= (MAX_PATIENCE + 1) * WINDOW + 2 * SETTLING


def test_off_it_never_acts() -> None:
    degradation = policy(budget_s=0.0)
    assert run(degradation, lambda d: 99.0, 20 * STEP) == []
    assert str(degradation) == "off"


def test_results_without_an_age_are_not_judged() -> None:
    degradation = policy()
    assert run(degradation, lambda d: math.nan, 20 * STEP) == []


@pytest.mark.parametrize("budget", [0.0, 9.0])
def test_another_budget_begins_anew(budget: float) -> None:
    degradation = policy()
    run(degradation, lambda d: 1.0, 5 * STEP)
    assert degradation.degraded
    degradation.set_budget(budget)
    assert (degradation.stride, degradation.pictures) == (1, True)
    assert run(degradation, lambda d: 1.0, 5 * STEP) == []
