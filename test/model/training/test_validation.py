"""What validation measures, and of which videos."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model
from training_runs import MemoryVideo, moving_squares

from a2vis_model import (
    A2VISError,
)
from a2vis_model.training import (
    validate_frames,
    validate_videos,
)
from a2vis_model.training.validation import MaskTubes, PanopticQuality


def test_panoptic_quality_counts_hits_misses_and_wrong_classes() -> None:
    logits = torch.full((1, 4, 2, 4), -1.0)
    logits[0, 0, :, :2] = 1  # covers the first object exactly
    logits[0, 1, 0, 2:] = 1  # covers half of the second
    logits[0, 2, :, 2:] = 1  # all of it
    covered = torch.zeros(1, 2, 8)
    covered[0, 0].view(2, 4)[:, :2] = 1
    covered[0, 1].view(2, 4)[:, 2:] = 1

    def quality(*classes: int) -> float:
        tubes, result = MaskTubes(), PanopticQuality()
        tubes.add(logits, covered)
        result.add(tubes, np.array(classes), np.array([0, 1]))
        return result.value

    assert quality(0, -1, 1, 0) == 1.0  # the last slot has a class and no mask: nothing
    assert quality(0, 1, -1, -1) == pytest.approx(1 / 2)  # an IoU of one half is a miss
    assert quality(0, 1, 1, -1) == pytest.approx(2 / 2.5)  # a false positive
    assert quality(0, -1, 0, -1) == pytest.approx(1 / 2)  # a wrong class


@pytest.mark.parametrize("variant", ["a2vis", "vita", "minvis-amodal"])
def test_validation_measures_what_the_variant_predicts(variant: str) -> None:
    config = tiny_config(variant)
    model = tiny_model(config)
    scores = validate_videos(model, config, [moving_squares()], frames=6)
    kinds = {"a2vis": {"visible", "amodal"}, "vita": {"visible"}, "minvis-amodal": {"amodal"}}
    assert scores.keys() == kinds[variant]
    assert all(0 <= score <= 1 for score in scores.values())
    assert len(validate_frames(model, config, [moving_squares()], frames=3)) == 1


@pytest.mark.parametrize("variant", ["a2vis", "vita", "mask2former-vis"])
def test_validation_of_videos_shorter_than_asked_for(variant: str) -> None:
    config = tiny_config(variant)
    model = tiny_model(config)
    short = moving_squares(config.clip_length - 1)
    scores = validate_videos(model, config, [short], frames=36)
    if variant == "a2vis":  # the last frame again, until there is a clip
        indices = [*range(short.length), short.length - 1]
        longer = MemoryVideo(
            short.frames[indices], short.visible[:, indices], short.amodal[:, indices], short.class_ids
        )  # type: ignore[index]
        assert scores == validate_videos(model, config, [longer], frames=36)
        assert validate_videos(model, config, [moving_squares()], frames=1)
    else:
        assert scores == validate_videos(model, config, [short], frames=short.length)


@pytest.mark.parametrize("validate", [validate_frames, validate_videos])
def test_validation_leaves_broken_videos_out(
    validate: Callable[..., dict[str, float]], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config()
    model = tiny_model(config)
    sound, broken = moving_squares(), dataclasses.replace(moving_squares(), broken=True)
    scores = validate(model, config, [broken, sound], frames=6)
    assert "validation: a video is skipped: video.mp4: frame 0: cannot be decoded" in capsys.readouterr().err
    assert scores == validate(model, config, [sound], frames=6)
    with pytest.raises(A2VISError, match=r"no video of --validation can be used \(video.mp4: .*check-data"):
        validate(model, config, [broken], frames=6)
