"""What each stage trains, and with which rates."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model
from training_runs import CPU, Trainer, batch_of, moving_squares, training

from a2vis_model import (
    ConfigError,
)
from a2vis_model.modeling import split_clips
from a2vis_model.training import (
    OptimiserSettings,
    make_objective,
    objectives,
)
from a2vis_model.training.matching import NONE
from a2vis_model.training.optimisation import build_optimiser, select_trainable, set_mode


@pytest.mark.parametrize("dwell", [[], [2, 0]])
@pytest.mark.parametrize("variant", ["a2vis", "a2vis-no-samh"])
def test_unrolled_training_is_what_inference_does_clip_by_clip(variant: str, dwell: list[int]) -> None:
    model = tiny_model(tiny_config(variant))
    images = batch_of([moving_squares(), moving_squares(hidden=slice(3, 6))], range(6)).normalised()
    with torch.no_grad():
        features = model.extract(images)
        tracks = model.unroll(features, 2, dwell).tracks
        state = model.initial_state(2)
        assert tracks is not None
        for k in range(2):
            prediction, state = model.step(split_clips(features, 2)[k], state)
            assert prediction.visible is not None
            assert torch.allclose(tracks.classes[k::2], prediction.classes, atol=1e-4)
            assert torch.allclose(tracks.visible[k::2], prediction.visible, atol=1e-3)
            if prediction.amodal is not None:
                shown = prediction.amodal.amax(dim=(3, 4)) > -1e4  # the rest is not yet visible
                assert torch.allclose(tracks.amodal[-1][k::2][shown], prediction.amodal[shown], atol=1e-3)
            for _ in range(sum(dwell[k : k + 1])):
                _, state = model.step(split_clips(features, 2)[k], state)


@torch.no_grad()
def test_a_memory_holds_clips_that_were_run_again() -> None:
    model = tiny_model(tiny_config("genvis-semi-online"))
    features = model.extract(batch_of([moving_squares()], range(9)).normalised())
    own = model.unroll(features, 3, [2, 1, 0]).prototypes
    clips, state = split_clips(features, 3), model.initial_state()
    for clip in (clips[0], clips[0], clips[0], clips[1], clips[1]):
        _, state = model.step(clip, state)
    last = model.step(clips[2], state)[1]
    assert own is not None
    torch.testing.assert_close(own.raw[2:], last.prototypes, atol=1e-4, rtol=0)


@pytest.mark.parametrize("variant", ["a2vis", "genvis-semi-online"])
def test_clips_that_are_run_again_change_the_state_and_let_gradients_pass(variant: str) -> None:
    model = tiny_model(tiny_config(variant))
    with torch.no_grad():
        features = model.extract(batch_of([moving_squares()], range(3)).normalised())
        start = model.initial_state()
        once = model.step(features, start)[1]
        thrice = model.step(features, model.step(features, once)[1])[1]
    state = once._replace(prototypes=once.prototypes.requires_grad_())
    after = model.run_again(features, state, 2)
    for value, expected in zip(after, thrice, strict=True):
        torch.testing.assert_close(value, expected, atol=1e-4, rtol=0)
    assert not torch.allclose(after.prototypes, once.prototypes, atol=1e-2)
    after.prototypes.square().sum().backward()
    torch.testing.assert_close(state.prototypes.grad, 2 * thrice.prototypes, atol=1e-3, rtol=0)


@pytest.mark.parametrize("variant", ["a2vis", "genvis-semi-online"])
def test_a_step_draws_how_often_its_clips_are_run_again(variant: str) -> None:
    model_config = tiny_config(variant)
    model = tiny_model(model_config)
    batch = batch_of([moving_squares()], range(6))
    torch.manual_seed(0)
    drawn = []
    run_again = model.run_again
    model.run_again = lambda features, state, times: drawn.append(times) or run_again(features, state, times)  # type: ignore[method-assign]
    for dwell in (0, 5):
        objective = make_objective(model, model_config, training("video", dwell=dwell, clips=2), CPU)
        for _ in range(10):
            objective(batch)
    first, last = drawn[::2], drawn[1::2]
    assert first[:10] == [0] * 10
    assert max(first) <= 5
    assert len(set(first[10:])) > 2
    assert last == [0] * 20, "nothing comes after the last clip"


CASES = [
    ("a2vis", "frame"),
    ("a2vis", "video"),
    ("a2vis", "joint"),
    ("a2vis-no-samh-amodal", "video"),
    ("genvis-semi-online", "video"),
    ("genvis-semi-online-amodal", "joint"),
    ("vita", "video"),
    ("mask2former-vis", "joint"),
    ("minvis-amodal", "frame"),
]


@pytest.mark.parametrize(("variant", "stage"), CASES)
def test_sequence_without_objects_is_no_error(variant: str, stage: str) -> None:
    model_config = tiny_config(variant)
    model = tiny_model(model_config)
    config = training(stage)
    video = moving_squares()
    empty = dataclasses.replace(video, visible=np.zeros_like(video.visible))
    losses = make_objective(model, model_config, config, CPU)(batch_of([empty], range(config.frames_of(model_config))))
    sum(losses.values()).backward()  # type: ignore[union-attr]
    classes = {name for name, loss in losses.items() if loss > 0}
    assert classes <= {"class", "clip_class", "frame_class"}
    assert classes


@pytest.mark.parametrize(("variant", "stage"), CASES)
def test_gradients_reach_all_that_trains_and_nothing_frozen(variant: str, stage: str) -> None:
    model_config = tiny_config(variant)
    # Without random depth, which leaves out parts at random, and without zeros, which keep gradients from passing.
    model_config = dataclasses.replace(
        model_config, backbone=dataclasses.replace(model_config.backbone, drop_path_rate=0.0)
    )
    model = tiny_model(model_config)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    config = training(stage, clips=3)
    select_trainable(model, config.stage)
    set_mode(model)
    assert model.detector.training == (stage != "video")
    frames = config.frames_of(model_config)
    batch = batch_of([moving_squares(), moving_squares(hidden=slice(3, 6))], range(frames))
    torch.manual_seed(0)
    losses = make_objective(model, model_config, config, CPU)(batch)
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()  # type: ignore[union-attr]
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    # Adding the same to all scores of a softmax changes nothing: biases of keys have a gradient of zero.
    keys = {n for n, _ in model.named_parameters() if n.endswith((".k.bias", "memory_key.bias"))}
    assert without | keys == frozen | keys
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert ("detector" in trained) == (stage != "video")
    assert (trained == {"detector"}) == (stage == "frame" or variant == "mask2former-vis")


def test_hidden_objects_are_supervised_in_a2vis_and_silent_in_genvis(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_model.training import objectives

    seen: dict[str, np.ndarray] = {}
    monkeypatch.setattr(objectives, "set_losses", lambda name, _p, _t, slots, *_: seen.update({name: slots}) or {})
    monkeypatch.setattr(objectives, "track_losses", lambda _p, _t, _a, slots, *_: seen.update(tracks=slots) or {})
    batch = batch_of([moving_squares(hidden=slice(3, 6))], range(9))  # the first object is hidden in the second clip
    for variant in ("a2vis", "genvis-semi-online"):
        model_config = tiny_config(variant)
        make_objective(tiny_model(model_config), model_config, training("video", clips=3), CPU)(batch)
        slots = seen["tracks"][0] if variant == "a2vis" else seen["clip"][-1]
        first, second = slots[:, 0], slots[:, 1]
        assert first[0] == first[2] != NONE
        assert first[1] == (first[0] if variant == "a2vis" else NONE)
        assert len(set(second)) == 1
        assert second[0] not in (NONE, first[0])


def test_bf16_gives_nearly_the_same_loss() -> None:
    model_config = tiny_config()
    model = tiny_model(model_config)
    batch = batch_of([moving_squares()], range(6))
    totals = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        losses = make_objective(model, model_config, training("joint", precision=precision), CPU)(batch)
        totals.append(torch.stack(list(losses.values())).sum().item())
    assert totals[1] == pytest.approx(totals[0], rel=0.05)


def test_fp16_scales_its_gradients_and_goes_on(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, precision="fp16")
    assert not trainer.run(max_minutes=0.0)
    assert trainer.run(resume=True)
    assert trainer.checkpoint.scaler["scale"] > 0
    start, end = tiny_model(trainer.model_config).state_dict(), trainer.checkpoint.model
    assert all(torch.isfinite(value).all() for value in end.values())
    assert any(not torch.equal(value, end[name]) for name, value in start.items())


def test_stages_without_anything_to_train_are_refused() -> None:
    with pytest.raises(ConfigError, match="use stage=frame or joint"):
        select_trainable(tiny_model(tiny_config("mask2former-vis")), "video")
    with pytest.raises(ConfigError, match="use stage=frame"):
        select_trainable(tiny_model(tiny_config("minvis")), "joint")


def test_parameter_groups_follow_the_papers_code() -> None:
    model = tiny_model(tiny_config())
    select_trainable(model, "joint")
    optimiser = build_optimiser(model, OptimiserSettings())
    names = {id(p): n for n, p in model.named_parameters()}
    groups = {
        names[id(p)]: (group["scale"], group["weight_decay"])
        for group in optimiser.param_groups
        for p in group["params"]
    }
    assert len(groups) == len(names)
    assert groups["detector.backbone.patch_embed.proj.weight"] == (0.1, 0.05)
    assert groups["detector.frame_decoder.class_head.weight"] == (1.0, 0.05)
    assert groups["detector.frame_decoder.class_head.bias"] == (1.0, 0.0)
    assert groups["prototypes.norm.weight"] == (1.0, 0.0)
    assert groups["prototypes.query_content"] == groups["update.null_key"] == (1.0, 0.0)
    assert all(decay == 0 for name, (_, decay) in groups.items() if "bias_table" in name)


def test_learning_rate_over_time() -> None:
    step = OptimiserSettings(warmup=4)
    assert [step.factor(i, 100) for i in (0, 3, 4, 69, 70, 99)] == pytest.approx([0.2, 0.8, 1, 1, 0.1, 0.1])
    cosine = OptimiserSettings(schedule="cosine")
    assert [cosine.factor(i, 100) for i in (0, 50, 99)] == pytest.approx([1, 0.5, 0.000247], abs=1e-5)


@pytest.mark.parametrize(("variant", "costs"), [("a2vis", 1), ("genvis-semi-online", 2)])
def test_costs_of_clips_are_computed_only_where_clips_are_matched(
    variant: str, costs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_config = tiny_config(variant)
    model = tiny_model(model_config)
    select_trainable(model, "video")
    objective = make_objective(model, model_config, training("video", clips=2), CPU)
    batch = batch_of([moving_squares(hidden=slice(3, 6))], range(6))
    computed, cost = [], objectives.set_cost

    def counted(*arguments: Any) -> torch.Tensor:
        computed.append(arguments)
        return cost(*arguments)

    monkeypatch.setattr(objectives, "set_cost", counted)
    losses = objective(batch)
    # One is of single frames. Prototypes that go on from tracks are their owners', and need none of their own.
    assert len(computed) == costs
    assert losses["clip_mask"] > 0


def test_a_batch_keeps_its_targets_and_a_cut_of_it_has_its_own() -> None:
    batch = batch_of([moving_squares(hidden=slice(3, 6))], range(6))
    whole = batch.targets("amodal")
    assert batch.targets("amodal") is whole
    assert batch.targets("visible") is not whole
    part = batch.cut(slice(2, 5)).targets("amodal")
    assert torch.equal(part.pixels, whole.pixels[:, 2:5])
    assert torch.equal(part.cells, whole.cells[:, 2:5])
