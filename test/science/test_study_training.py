"""Networks that learn side by side, and the memory of what their common detector saw."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model
from safetensors.torch import load_file
from training_runs import batch_of, moving_squares

from a2vis_model.evaluation.runner import ModelSource
from a2vis_model.modeling import ClipState, FrameFeatures, VideoNetwork
from a2vis_model.render import render_clip, write_clip
from a2vis_model.training.losses import HiddenParts, PointSampling
from a2vis_model.training.objectives import VideoObjective
from a2vis_model.weights import save_weights
from science import claims, side_by_side
from science.context import Context, OutOfTime
from science.detections import DetectionMemory, RememberingSource
from science.evaluating import detector_hash
from science.side_by_side import SEQUENCE_FRAMES, Learner, Lesson, Scene, train_side_by_side
from science.training import detector_of

FISH = ("SmallFishA", "MediumFishA", "MediumFishB", "BigFishA", "BigFishB")
LESSON = Lesson(FISH, ("input_height=64", "input_width=96"), steps=2, seed=0)


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path)


def network_of(source: ModelSource) -> VideoNetwork:
    return source.load()[0].eval()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A data set of one small video: each step draws other frames of it."""
    folder = tmp_path_factory.mktemp("data")
    write_clip(render_clip(world="aquarium", seed=8, frames=12, height=64, width=96), folder / "00000")
    return str(folder)


@pytest.fixture(scope="module")
def starts(scratch: Path) -> dict[str, Path]:
    """Starts of a network with a video part, and of one whose detector learns amodal masks."""
    context = Context({}, scratch)
    return {
        "a2vis-no-samh": detector_of(context, "onboard-fishbowl", amodal=False),
        "minvis-amodal": detector_of(context, "onboard-fishbowl", amodal=True),
    }


@pytest.fixture(scope="module")
def trained(scratch: Path, data: str, starts: dict[str, Path]) -> dict[str, Path]:
    """Weights of two networks that learned side by side without a pause."""
    return train_side_by_side(Context({}, scratch), "whole", data, LESSON, starts)


def test_each_network_trains_its_own_part(starts: dict[str, Path], trained: dict[str, Path]) -> None:
    start = weights_of(starts["minvis-amodal"])
    video, frame = weights_of(trained["a2vis-no-samh"]), weights_of(trained["minvis-amodal"])
    detector = [name for name in start if name.startswith("detector.")]
    assert all(torch.equal(video[name], start[name]) for name in detector)
    assert not any(torch.equal(frame[name], start[name]) for name in detector if name.endswith("mask_conv.weight"))
    copied = start["detector.pixel_decoder.mask_conv.weight"]
    assert not torch.equal(video["mask_conv.weight"], copied)  # where it began
    assert torch.allclose(video["mask_conv.weight"], copied, atol=2e-3)


def test_a_network_learns_the_same_whatever_learns_beside_it(
    scratch: Path, data: str, starts: dict[str, Path], trained: dict[str, Path]
) -> None:
    only = {"a2vis-no-samh": starts["a2vis-no-samh"]}
    alone = weights_of(train_side_by_side(Context({}, scratch), "alone", data, LESSON, only)["a2vis-no-samh"])
    beside = weights_of(trained["a2vis-no-samh"])
    assert all(torch.equal(alone[name], beside[name]) for name in beside)


def test_training_continues_as_if_it_had_never_stopped(
    scratch: Path, data: str, starts: dict[str, Path], trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = iter((1.0, 0.0))
    monkeypatch.setattr(Context, "minutes_left", lambda _self: next(minutes))
    with pytest.raises(OutOfTime):
        train_side_by_side(Context({}, scratch), "pieces", data, LESSON, starts)
    monkeypatch.undo()
    (folder,) = (scratch / "runs").glob("pieces-*")
    assert [path.name for path in folder.iterdir()] == ["checkpoint.pt"]
    results = train_side_by_side(Context({}, scratch), "pieces", data, LESSON, starts)
    for variant, path in results.items():
        whole, pieces = weights_of(trained[variant]), weights_of(path)
        assert all(torch.equal(whole[name], pieces[name]) for name in whole)
    assert not (folder / "checkpoint.pt").exists()


def test_nothing_is_trained_after_the_deadline(scratch: Path, data: str, starts: dict[str, Path]) -> None:
    with pytest.raises(OutOfTime):
        train_side_by_side(Context({}, scratch, deadline=time.monotonic() - 1), "late", data, LESSON, starts)
    (folder,) = (scratch / "runs").glob("late-*")
    assert not list(folder.glob("*.safetensors"))


def test_results_that_are_there_are_not_trained_again(
    scratch: Path, data: str, starts: dict[str, Path], trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_by_side, "Learner", None)
    assert train_side_by_side(Context({}, scratch), "whole", data, LESSON, starts) == trained
    # Another lesson is another run: what is there is not taken for it.
    with pytest.raises(TypeError, match="NoneType"):
        train_side_by_side(Context({}, scratch), "whole", data, replace(LESSON, steps=3), starts)


def test_a_lesson_says_all_that_decides_what_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    before = LESSON.key()
    assert before["dwell"] == 8
    for field, value in (
        ("dwell", 0),
        ("steps", 3),
        ("seed", 1),
        ("size", ("input_height=96",)),
        ("classes", ("Fish",)),
    ):
        assert replace(LESSON, **{field: value}).key() != before, field
    changed = replace(side_by_side.LOSSES, sampling=replace(side_by_side.LOSSES.sampling, hidden=0.0))
    monkeypatch.setattr(side_by_side, "LOSSES", changed)
    assert LESSON.key() != before


def test_networks_learn_from_old_states_and_from_points_around_hidden_parts(
    starts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Learner("a2vis", LESSON, starts["a2vis-no-samh"])
    batch = batch_of([moving_squares(hidden=slice(3, 6))], range(SEQUENCE_FRAMES))
    assert isinstance(learner.objective, VideoObjective)
    with torch.no_grad():
        detected = learner.objective.detector(batch.normalised().flatten(0, 1))
    again: list[int] = []
    around: list[int] = []
    run_again, replace_points = learner.model.run_again, HiddenParts.replace

    def counted(features: FrameFeatures, state: ClipState, times: int) -> ClipState:
        again.append(times)
        return run_again(features, state, times)

    def drawn(parts: HiddenParts, points: torch.Tensor, item: torch.Tensor, of: torch.Tensor, n: int) -> torch.Tensor:
        around.append(n)
        return replace_points(parts, points, item, of, n)

    monkeypatch.setattr(learner.model, "run_again", counted)
    monkeypatch.setattr(HiddenParts, "replace", drawn)
    torch.manual_seed(0)
    learner.losses(Scene(batch, detected))
    assert len(again) == 3
    assert 0 < max(again) <= LESSON.dwell
    assert again[-1] == 0  # nothing follows the last clip
    default = PointSampling()
    assert around == [round(side_by_side.LOSSES.sampling.points * default.hidden)]


@pytest.mark.parametrize("variant", ["a2vis", "a2vis-clip-5", "vita-amodal"])
def test_a_network_takes_from_the_common_detector_what_its_own_would_find(
    starts: dict[str, Path], variant: str
) -> None:
    start = starts["minvis-amodal" if variant.endswith("-amodal") else "a2vis-no-samh"]
    learner = Learner(variant, LESSON, start)
    rng = np.random.default_rng(0)
    batch = batch_of([moving_squares(), moving_squares(hidden=slice(3, 6))], range(SEQUENCE_FRAMES))
    # No two frames look alike, so that a mistaken one would be noticed.
    batch = replace(batch, images=torch.from_numpy(rng.integers(0, 255, batch.images.shape, np.uint8)))
    objective = learner.objective
    assert isinstance(objective, VideoObjective)
    with torch.no_grad():
        detected = objective.detector(batch.normalised().flatten(0, 1))
    torch.manual_seed(0)
    common = learner.losses(Scene(batch, detected))
    torch.manual_seed(0)
    own = objective(batch.cut(learner.frames))
    assert common.keys() == own.keys()
    for name, loss in common.items():
        torch.testing.assert_close(loss, own[name], rtol=1e-3, atol=1e-4)


def test_what_networks_need_alike_is_computed_once_and_is_what_each_would_compute(
    starts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, amodal = starts["a2vis-no-samh"], starts["minvis-amodal"]
    learners = [Learner(variant, LESSON, plain) for variant in ("a2vis", "a2vis-no-samh", "a2vis-clip-5")]
    learners.append(Learner("genvis-semi-online-amodal", LESSON, amodal))
    batch = batch_of([moving_squares(hidden=slice(3, 6))], range(SEQUENCE_FRAMES))
    with torch.no_grad():
        detected = side_by_side._shared_detector(learners)(batch.normalised().flatten(0, 1))
    seen, see = [], VideoObjective.see

    def counted(objective: VideoObjective, *arguments: Any) -> Any:
        seen.append(objective.kind)
        return see(objective, *arguments)

    monkeypatch.setattr(VideoObjective, "see", counted)
    scene = Scene(batch, detected)
    for learner in learners:
        found = []
        for shown in (scene, Scene(replace(batch), detected)):
            torch.manual_seed(0)
            found.append(learner.losses(shown))
        assert found[0].keys() == found[1].keys()
        assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
        assert found[0]["similarity"] > 0
    # Nine frames of the first two, ten of the third, and nine with amodal masks; and once more without sharing.
    assert len(seen) == 3 + len(learners)


def test_every_unit_of_the_claims_has_a_name_and_what_ships_depends_on_no_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = claims.units()
    assert len({unit.name for unit in work}) == len(work)
    shipped = [unit for unit in work if unit.row == "A2VIS, as it ships"]
    assert len(shipped) == len(claims.DETECTORS) * claims.SETS  # no seeds
    before = [unit.key() for unit in work]
    monkeypatch.setattr(claims, "STEPS", claims.STEPS + 1)
    changed = [unit for unit, key in zip(work, before, strict=True) if unit.key() != key]
    assert len(changed) == len(work) - len(shipped)


def test_claims_grow_old_with_their_detector_and_not_with_the_video_part_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config()
    model, other = tiny_model(config), tiny_model(config, seed=1)

    def keys_of(name: str, **parts: VideoNetwork) -> dict[str, Mapping[str, Any]]:
        """Keys of all units of a world with weights that are joined of the parts of networks."""
        tensors = {
            key: parts["detector" if key.startswith("detector.") else "video"].state_dict()[key]
            for key in model.state_dict()
        }
        network = tiny_model(config)
        network.load_state_dict(tensors)
        path = tmp_path / f"{name}.safetensors"
        save_weights(path, network, config)
        monkeypatch.setitem(claims.DETECTORS, "aquarium", str(path))
        return {unit.name: unit.key() for unit in claims.units() if unit.clips.world == "aquarium"}

    first = keys_of("first", detector=model, video=model)
    video = keys_of("video", detector=model, video=other)
    shipped = {name for name in first if "-shipped-" in name}
    assert {name for name in first if first[name] != video[name]} == shipped
    detector = keys_of("detector", detector=other, video=model)
    assert all(first[name] != detector[name] for name in first)


def test_a_detector_is_the_same_in_any_precision_and_another_with_another_configuration(tmp_path: Path) -> None:
    config = tiny_config()
    model = tiny_model(config)
    model.load_state_dict({name: x.half().to(x.dtype) for name, x in model.state_dict().items()})
    hashes = []
    for name, half, changed in (
        ("a", False, config),
        ("b", True, config),
        ("c", False, replace(config, heads=config.heads // 2)),
    ):
        save_weights(tmp_path / f"{name}.safetensors", model, changed, half=half)
        hashes.append(detector_hash(str(tmp_path / f"{name}.safetensors")))
    assert hashes[0] == hashes[1] != hashes[2]


@torch.inference_mode()
def test_a_detector_that_was_seen_before_is_not_run_again(tmp_path: Path) -> None:
    config, memory = tiny_config(), DetectionMemory()
    file, other_file = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    model = tiny_model(config)
    save_weights(file, model, config)
    images = torch.rand(1, 3, config.input_height, config.input_width)
    expected = model.detector(images)
    for _ in range(2):
        network = network_of(RememberingSource(str(file), memory=memory))
        found = network.detector(images)
        assert torch.equal(found.pixels, expected.pixels)
        assert all(torch.equal(a, b) for a, b in zip(found.queries, expected.queries, strict=True))
        assert len(memory) == 1
    network.detector(images + 1)
    assert len(memory) == 2
    # Another detector sees something else in the same image.
    save_weights(other_file, tiny_model(config, seed=1), config)
    network = network_of(RememberingSource(str(other_file), memory=memory))
    plain = network_of(ModelSource(str(other_file)))
    assert torch.equal(network.detector(images).pixels, plain.detector(images).pixels)
    assert len(memory) == 3


def test_the_memory_forgets_the_oldest_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("science.detections.REMEMBERED", 2)
    config, memory = tiny_config(), DetectionMemory()
    detector = tiny_model(config).detector
    memory.attach(detector)
    images = [torch.full((1, 3, config.input_height, config.input_width), float(value)) for value in range(3)]
    first = detector(images[0])
    for image in images:
        detector(image)
    assert len(memory) == 2
    assert detector(images[0]) is not first
