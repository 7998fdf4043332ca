"""Calibration: scores become the probability that a slot shows an object of its class."""

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import ConfigError, VideoNetwork
from a2vis_model.calibration import (
    ScoreScaling,
    SlotOutcomes,
    apply_scaling,
    calibration_error,
    fit_scaling,
    matching_threshold,
    reliability,
)

CLASSES = 3


def outcomes(true: ScoreScaling, slots: int, seed: int) -> SlotOutcomes:
    """Slots whose outcomes are drawn with the probabilities of scaled logits times the certainties of the masks."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (slots, CLASSES + 1)).astype(np.float32)
    certainty = random.uniform(0, 1, slots).astype(np.float32)
    nothing = SlotOutcomes(logits, certainty, np.full(slots, CLASSES))
    probability = torch.from_numpy(true.calibrated(nothing).logits).softmax(dim=-1).numpy()
    drawn = (probability.cumsum(axis=1) < random.random((slots, 1))).sum(axis=1).clip(max=CLASSES).astype(np.int64)
    return SlotOutcomes(logits, certainty, np.where(random.random(slots) < certainty, drawn, CLASSES))


def test_the_scaling_that_made_the_outcomes_is_found() -> None:
    true = ScoreScaling(0.5, (1.0, -1.0, 0.0, 2.0))
    found = fit_scaling([outcomes(true, 20_000, 0)])
    assert found.scale == pytest.approx(0.5, abs=0.03)
    # Only differences between shifts have an effect.
    assert np.subtract(found.shifts, found.shifts[0]) == pytest.approx([0.0, -2.0, -1.0, 1.0], abs=0.25)


def test_scores_that_were_too_high_are_right_afterwards() -> None:
    true = ScoreScaling(0.4, (0.0, 0.0, 0.0, 1.5))
    part, other = (outcomes(true, 10_000, seed) for seed in (1, 2))
    before = reliability(other)
    after = reliability(fit_scaling([part]).calibrated(other))
    assert calibration_error(before) > 0.1
    assert calibration_error(after) < 0.02
    assert sum(one.slots for one in after) == 10_000
    assert all(one.lowest <= one.score <= one.highest for one in after)


def test_each_data_set_counts_the_same() -> None:
    sure, unsure = ScoreScaling(1.0, (0.0,) * 4), ScoreScaling(0.25, (0.0,) * 4)
    small, large = outcomes(sure, 2_000, 3), outcomes(unsure, 20_000, 4)
    copies = SlotOutcomes.join([small] * 10, CLASSES)
    assert fit_scaling([small, large]).scale == pytest.approx(fit_scaling([copies, large]).scale, abs=1e-3)
    assert fit_scaling([small, large]).scale > fit_scaling([large]).scale + 0.1


def test_a_threshold_becomes_what_as_many_slots_reach_as_before() -> None:
    parts = [outcomes(ScoreScaling(0.4, (0.0, -1.0, 0.0, 1.5)), slots, seed) for slots, seed in ((4_000, 6), (500, 7))]
    scaling = fit_scaling(parts)

    def share(threshold: float, calibrated: bool) -> float:
        scores = [(scaling.calibrated(part) if calibrated else part).scores() for part in parts]
        return float(np.mean([(one >= threshold).mean() for one in scores]))

    for threshold in (0.3, 0.6, 0.9):
        matching = matching_threshold(parts, scaling, threshold)
        assert matching < threshold
        assert share(matching, True) == pytest.approx(share(threshold, False), abs=0.02)


def test_a_class_that_is_never_seen_keeps_a_finite_shift() -> None:
    part = outcomes(ScoreScaling(1.0, (0.0,) * 4), 2_000, 5)
    kept = part.shown != 1
    found = fit_scaling([SlotOutcomes(part.logits[kept], part.certainty[kept], part.shown[kept])])
    assert -30 < found.shifts[1] < min(found.shifts[0], found.shifts[2])


@pytest.mark.parametrize("shown", [CLASSES, 0])
def test_data_of_one_kind_are_refused(shown: int) -> None:
    part = SlotOutcomes(np.zeros((7, CLASSES + 1), np.float32), np.ones(7, np.float32), np.full(7, shown))
    with pytest.raises(ConfigError, match=r"of 7 slots with a mask [07] show an object; calibration needs both kinds"):
        fit_scaling([part])


def test_no_slots_at_all_are_refused() -> None:
    with pytest.raises(ConfigError, match="of 0 slots"):
        fit_scaling([SlotOutcomes.join([], CLASSES)])


def test_a_mask_that_is_not_certain_says_little_of_the_class() -> None:
    part = outcomes(ScoreScaling(1.0, (0.0,) * 4), 5_000, 8)
    blind = SlotOutcomes(part.logits, np.ones_like(part.certainty), part.shown)
    found, lowered = fit_scaling([part]), fit_scaling([blind])
    assert found.scale == pytest.approx(1.0, abs=0.1)
    assert lowered.scale < 0.8
    assert calibration_error(reliability(found.calibrated(part))) < 0.02


def test_the_network_gives_scaled_logits_and_the_same_masks(model: VideoNetwork) -> None:
    torch.manual_seed(0)
    clip = torch.randn(1, 3, 3, 64, 96)
    shifts = tuple(0.5 * index - 1 for index in range(len(tiny_config().classes) + 1))

    def answers() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode():
            prediction, _ = model.step(model.extract(clip), model.initial_state())
        assert prediction.amodal is not None
        return prediction.classes, prediction.amodal

    (classes, masks), _ = answers(), apply_scaling(model, ScoreScaling(0.5, shifts))
    scaled, same = answers()
    torch.testing.assert_close(scaled, 0.5 * classes + torch.tensor(shifts))
    torch.testing.assert_close(same, masks)


def test_other_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match="A2VIS alone"):
        apply_scaling(tiny_model(tiny_config("minvis")), ScoreScaling(1.0, (0.0,) * 9))
