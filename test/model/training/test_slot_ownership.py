"""Slots that keep their objects: seeded clips, reading nothing, the gate, and training where things are hidden."""

import dataclasses

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model
from paths import ROOT
from torch import Tensor
from training_runs import CPU, FEW_POINTS, batch_of, moving_squares, training

from a2vis_model import load_weights
from a2vis_model.config import UpdateConfig
from a2vis_model.modeling import A2VIS, AmodalFeatureExtraction, PrototypeGate, PrototypeUpdate, split_clips
from a2vis_model.training import make_objective, objectives, warm_start
from a2vis_model.training.losses import HiddenParts, PointSampling, mask_losses
from a2vis_model.training.matching import NONE
from a2vis_model.training.sequences import draw_reference

ONBOARD = ROOT / "a2vis_model" / "checkpoints" / "onboard-fishbowl.safetensors"


def a2vis(seed: int = 0, **changes: object) -> A2VIS:
    model = tiny_model(tiny_config(**changes), seed)
    assert isinstance(model, A2VIS)
    return model


# ---------------------------------------------------------------------------------------------------- the network


@torch.no_grad()
@pytest.mark.parametrize("variant", ["a2vis", "a2vis-as-printed"])
def test_training_unrolls_exactly_what_a_stream_does(variant: str) -> None:
    model = a2vis(variant=variant)
    features = model.extract(torch.randn(1, 9, 3, 64, 96))
    unrolled = model.unroll(features, 3)
    state = model.initial_state()
    assert unrolled.tracks is not None
    assert unrolled.prototypes is not None
    seeds = []
    for k in range(3):
        seeds.append(state.prototypes)
        prediction, state = model.step(split_clips(features, 3)[k], state)
        torch.testing.assert_close(unrolled.tracks.classes[k : k + 1], prediction.classes)
        torch.testing.assert_close(unrolled.tracks.visible[k : k + 1], prediction.visible)
    own = model.prototypes(split_clips(features, 3)[2].queries, seeds[2]).layers[-1]
    assert torch.allclose(unrolled.prototypes.layers[-1][2:], own, atol=1e-5) == (variant == "a2vis")


@torch.no_grad()
def test_the_first_clip_starts_from_learned_queries() -> None:
    model = a2vis()
    assert model.start is model.prototypes.query_content
    features = model.extract(torch.randn(1, 3, 3, 64, 96))
    first = model.advance(features, model.initial_state().prototypes).clip_prototypes
    torch.testing.assert_close(first.layers[-1], model.prototypes(features.queries).layers[-1])


@torch.no_grad()
def test_a_slot_that_finds_nothing_alike_keeps_its_content() -> None:
    """Slot 0's object is gone from the clip; slot 1's is there."""
    torch.manual_seed(0)
    update = PrototypeUpdate(dim=64, null_key=True)
    slots = torch.zeros(2, 64)
    before = torch.nn.functional.layer_norm(torch.randn(1, 2, 64), (64,))
    clip = torch.stack((torch.randn(64), before[0, 1]))[None]
    nothing = update.null_score
    alike = (update.q(before) @ update.k(before).mT * update.scale)[0].diagonal()
    nothing.fill_(alike.min() / 2)
    for weight in (update.q.weight, update.k.weight):
        weight *= 4  # a trained, sharper choice
    nothing *= 16
    change = (update(before, clip, slots) - before).norm(dim=-1)[0] / before.norm(dim=-1)[0]
    assert change[0] < 0.02
    forced = PrototypeUpdate(dim=64, null_key=False)
    forced.load_state_dict({n: t for n, t in update.state_dict().items() if not n.startswith("null")})
    assert (forced(before, clip, slots) - before).norm(dim=-1)[0, 0] / before.norm(dim=-1)[0, 0] > 0.5


@torch.no_grad()
def test_gate_opens_for_fresh_slots_and_holds_the_others() -> None:
    gate, start = PrototypeGate(dim=64), torch.nn.Parameter(torch.randn(6, 64))
    gate.mark(start)
    content = torch.nn.functional.layer_norm(torch.randn(6, 64), (64,))
    after = torch.randn(6, 64)

    def share(before: Tensor) -> Tensor:
        return (gate(before, after) - before).norm(dim=-1) / (after - before).norm(dim=-1)

    assert (share(start) > 0.85).all()
    assert (share(content) < 0.25).all()
    gate.open.bias.fill_(-1e4)
    assert torch.equal(gate(start, after), start)


@torch.no_grad()
def test_amodal_features_know_where_they_are() -> None:
    torch.manual_seed(0)
    options = {"channels": 8, "layers": 2, "stride": 8, "residual": False}
    module = AmodalFeatureExtraction(**options, position=True)
    module.prepare(64, 96)
    empty = module(torch.zeros(1, 8, 16, 24)).mask[0]
    left, right = empty[:, 8, 4], empty[:, 8, 19]
    assert not torch.allclose(left, right, atol=1e-2)
    blind = AmodalFeatureExtraction(**options, position=False)
    blind.prepare(64, 96)
    empty = blind(torch.zeros(1, 8, 16, 24)).mask[0]
    torch.testing.assert_close(empty[:, 8, 4], empty[:, 8, 19])


@torch.no_grad()
def test_weights_from_before_compute_what_they_did() -> None:
    model, config = load_weights(ONBOARD)
    assert config.update == UpdateConfig()
    torch.manual_seed(0)
    images = torch.randn(1, 3, 3, config.input_height, config.input_width)
    features, state = model.eval().extract(images), model.initial_state()
    for _ in range(2):
        prediction, state = model.step(features, state)
    found = [x.double().abs().mean().item() for x in (prediction.classes, prediction.visible, state.prototypes)]
    assert found == pytest.approx([1.979792376, 22.832680694, 0.803741277], rel=1e-4)


# ---------------------------------------------------------------------------------------------------- the start


@torch.no_grad()
def test_warm_start_lets_slots_follow_queries_from_the_first_clip_on() -> None:
    """The detector's queries are made up; from clip to clip they change a little."""
    model = a2vis(dim=128)
    warm_start(model)
    torch.manual_seed(1)
    contents, state = torch.randn(12, 128), model.initial_state()
    features = model.extract(torch.zeros(1, 3, 3, 64, 96))
    for _ in range(3):
        features = features._replace(queries=contents + 0.3 * torch.randn(1, 3, 12, 128))
        output = model.advance(features, state.prototypes)
        for found in (output.clip_prototypes.layers[-1], output.global_prototypes):
            similarity = torch.nn.functional.cosine_similarity(found[0, :, None], contents[None], dim=-1)
            own = (similarity.argmax(dim=1) == torch.arange(10))[2:]  # the first two have two tokens each
            assert own.float().mean() > 0.8
        state = state._replace(prototypes=output.global_prototypes)


# ---------------------------------------------------------------------------------------------------- training


def test_clip_loss_has_the_owners_and_is_silent_about_the_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, np.ndarray] = {}
    monkeypatch.setattr(objectives, "set_losses", lambda name, _p, _t, slots, *_: seen.update({name: slots}) or {})
    monkeypatch.setattr(objectives, "track_losses", lambda _p, _t, _a, slots, *_: seen.update(tracks=slots) or {})
    batch = batch_of([moving_squares(hidden=slice(3, 6))], range(9))  # the first object is hidden in the second clip
    config = tiny_config()
    make_objective(tiny_model(config), config, training("video", clips=3), CPU)(batch)
    owned = seen["tracks"][0]
    assert (owned[1:] != NONE).all()
    for layer in seen["clip"]:
        assert layer[1, 0] == NONE
        layer = layer.copy()
        layer[1, 0] = owned[1, 0]
        assert np.array_equal(layer, owned)


def test_auxiliary_losses_weigh_what_the_settings_say() -> None:
    config = tiny_config()
    model = tiny_model(config)
    batch = batch_of([moving_squares()], range(6))

    def losses(weight: float) -> dict[str, float]:
        torch.manual_seed(0)
        settings = dataclasses.replace(FEW_POINTS, auxiliary_weight=weight)
        found = make_objective(model, config, training("video", losses=settings), CPU)(batch)
        return {name: loss.item() for name, loss in found.items()}

    none, some, all_of_it = losses(0.0), losses(0.3), losses(1.0)
    for name in ("clip_class", "clip_mask", "clip_dice"):
        assert none[name] == 0
        assert some[name] == pytest.approx(0.3 * all_of_it[name], rel=1e-4)
    for name in ("amodal_mask", "amodal_dice"):
        share = (some[name] - none[name]) / (all_of_it[name] - none[name])
        assert none[name] > 0
        assert share == pytest.approx(0.3, abs=1e-3)
    assert none["class"] == all_of_it["class"]


def test_a_share_of_the_points_lies_in_and_around_the_hidden_part() -> None:
    torch.manual_seed(0)
    amodal = torch.zeros(1, 2, 2, 32, 48, dtype=torch.bool)
    amodal[:, :, 1, 8:24, 10:40] = True
    visible = amodal.clone()
    visible[0, 1, 1, 20:24, 38:40] = False  # eight pixels, in the second frame alone
    hidden = HiddenParts(visible, amodal)
    points = torch.zeros(3, 2, 40, 2)
    item, instance = torch.tensor([0, 0, 0]), torch.tensor([1, 0, 1])
    placed = hidden.replace(points, item, instance, 10)
    assert (placed[:, 0] == 0).all()  # nothing is hidden in the first frame,
    assert (placed[1] == 0).all()  # nor ever of the first object
    assert (placed[[0, 2], 1, 10:] == 0).all()


@pytest.mark.parametrize(
    ("hidden", "box"),
    [
        ((20, 24, 38, 40), (12, 32, 30, 48)),  # a few pixels: eight more on each side,
        ((8, 24, 4, 44), (0, 32, 0, 48)),  # many: a quarter more on each side, within the picture
    ],
)
def test_points_are_spread_evenly_over_the_hidden_part_and_what_is_around(
    hidden: tuple[int, int, int, int], box: tuple[int, int, int, int]
) -> None:
    torch.manual_seed(0)
    amodal = torch.zeros(1, 1, 1, 32, 48, dtype=torch.bool)
    amodal[..., hidden[0] : hidden[1], hidden[2] : hidden[3]] = True
    none = torch.zeros(1, dtype=torch.int64)
    points = HiddenParts(torch.zeros_like(amodal), amodal).replace(torch.zeros(1, 1, 20000, 2), none, none, 20000)
    x, y = (points[0, 0] * torch.tensor([48, 32])).unbind(dim=-1)
    counts, *_ = np.histogram2d(y.numpy(), x.numpy(), bins=(range(33), range(49)))
    inside = counts[box[0] : box[1], box[2] : box[3]]
    assert inside.sum() == 20000
    # A Poisson distribution's variance is its mean: no place is drawn more often than another.
    assert inside.var() / inside.mean() < 1.3
    assert inside.mean() == pytest.approx(20000 / inside.size)


def test_hidden_parts_are_learned_from() -> None:
    """A prediction that is right but for a few hidden pixels costs much more than without points there."""
    torch.manual_seed(0)
    amodal = torch.zeros(1, 1, 1, 256, 256, dtype=torch.bool)
    amodal[..., 64:192, 64:192] = True
    visible = amodal.clone()
    visible[..., 64:80, 64:80] = False
    logits = (torch.nn.functional.avg_pool2d(visible[:, :, 0].float(), 4) * 16 - 8)[:, :, ::1]
    arguments = (logits, amodal, torch.tensor([0]), torch.tensor([0]), torch.ones(1), PointSampling(points=256))
    plain = mask_losses(*arguments)[0]
    aware = mask_losses(*arguments, hidden=HiddenParts(visible, amodal))[0]
    assert aware > 3 * plain


def test_sequences_are_drawn_where_much_is_hidden() -> None:
    video = moving_squares(frames=40)
    video.amodal = video.visible.copy()
    video.amodal[0, 10, :20] = True
    video.visible[0, 10] = False
    areas = [video.hidden_area(t) for t in range(40)]
    assert np.flatnonzero(areas).tolist() == [10]
    rng = np.random.default_rng(0)
    drawn = [draw_reference(video, np.arange(video.length), rng) for _ in range(400)]
    assert 0.12 < np.mean(np.equal(drawn, 10)) < 0.25  # as often as one of eight candidates is that frame
    assert len(set(drawn)) == 40
    video.amodal = None
    assert len({draw_reference(video, np.arange(video.length), rng) for _ in range(400)}) == 40
