"""What is computed once for several rows of the claims equals what each of them would compute."""

from pathlib import Path

import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import runner
from a2vis_model.evaluation.prediction import PredictionSettings
from a2vis_model.evaluation.runner import RANKED, TRACKED, Evaluation, ModelSource, run_evaluation
from a2vis_model.modeling import ClipState, FrameFeatures
from a2vis_model.render import render_clip, write_clip
from a2vis_model.tracking.settings import TrackSettings
from a2vis_model.weights import save_weights
from a2vis_model.workers import LocalWorkers
from science.context import Context
from science.detections import remember_step
from science.evaluating import answers

SURE = PredictionSettings(tracks=TrackSettings(start_score=0.0, keep_score=0.0, confirm_frames=1))
"""Thresholds with which a network that never learned has tracks."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small clip."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(render_clip(world="aquarium", seed=8, frames=7, height=64, width=96), folder / "000")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a network that never learned."""
    config = tiny_config()
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(path, tiny_model(config), config)
    return str(path)


def test_answers_in_which_hidden_objects_stand_still_are_made_of_those_of_the_network(
    tmp_path: Path, clips: Path, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context({}, tmp_path)
    own = Evaluation(
        data=str(clips),
        format="fishbowl",
        images=None,
        source=ModelSource(weights),
        system="still",
        prediction=SURE,
        device="cpu",
        output=str(tmp_path / "own"),
    )
    run_evaluation(own, LocalWorkers(1), ProblemLog(strict=True), quiet=True)
    network = answers(context, clips, weights, "network", SURE, "common")
    monkeypatch.setattr(runner, "predict_with", None)  # nothing is predicted again
    still = answers(context, clips, weights, "still", SURE, "common")
    for file in (RANKED, TRACKED):
        made = tmp_path / "answers" / "common" / "still" / file
        assert made.read_bytes() == (tmp_path / "own" / file).read_bytes().replace(b",\n", b", ")
    ((_, _, plain, _),), ((_, _, changed, _),) = network, still
    assert [str(track.visible) for track in changed.tracks] == [str(track.visible) for track in plain.tracks]
    assert [str(track.amodal) for track in changed.tracks] != [str(track.amodal) for track in plain.tracks]


@torch.inference_mode()
def test_a_step_is_remembered_until_another_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config()
    model = tiny_model(config)
    model.prepare(config.input_height, config.input_width, config.clip_length)
    images = torch.rand(1, config.clip_length, 3, config.input_height, config.input_width)
    features, other = model.extract(images), model.extract(images.flip(-1))
    start, runs, step = model.initial_state(), [], model.step

    def counted(features: FrameFeatures, state: ClipState) -> object:
        runs.append(state)
        return step(features, state)

    monkeypatch.setattr(model, "step", counted)
    remember_step(model)
    prediction, state = model.step(features, start)
    # Equal values are enough: the stream and the ranking hold copies of their own.
    copied = features._replace(mask_features=features.mask_features.clone())
    again, after = model.step(copied, ClipState(start.prototypes.clone()))
    assert len(runs) == 1
    assert torch.equal(again.classes, prediction.classes)
    assert torch.equal(after.prototypes, state.prototypes)
    for number, (asked, of) in enumerate(
        [
            (features, state),
            (other, state),
            (other._replace(amodal_features=features.amodal_features), state),
            (other, start),
        ],
        2,
    ):
        found, _ = model.step(asked, of)
        assert len(runs) == number
        expected, _ = step(asked, of)
        assert torch.equal(found.classes, expected.classes)
        assert found.amodal is not None
        assert expected.amodal is not None
        assert torch.equal(found.amodal, expected.amodal)
