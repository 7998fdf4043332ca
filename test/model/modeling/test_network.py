"""The network as a whole and its parts: sizes, priors, state, variants."""

import dataclasses

import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import freeze, load_config, variant_names
from a2vis_model.modeling import A2VIS, SAMH, AmodalFeatureExtraction, PrototypeUpdate, build_blank, concatenate
from a2vis_model.modeling.baselines import _follow
from a2vis_model.modeling.layers import BLOCKED, attention_bias


@pytest.mark.parametrize(("preset", "count"), [("r50", 61_034_955), ("swin_l", 232_612_287)])
def test_paper_presets_have_the_expected_parameters(preset, count):
    printed = build_blank(load_config(preset, "a2vis-as-printed"))
    model = build_blank(load_config(preset))
    assert len(load_config(preset).classes) == 24
    assert sum(p.numel() for p in printed.parameters()) == count
    # p^G starts as the learned queries of Θ instead of others; nothing has a key and a score.
    assert sum(p.numel() for p in model.parameters()) == count - 100 * 256 + 256 + 1


def test_genvis_and_vita_have_the_expected_parameters():
    genvis = build_blank(load_config("r50", "genvis-semi-online"))
    vita = build_blank(load_config("r50", "vita"))
    frame = build_blank(load_config("r50", "mask2former"))
    assert sum(p.numel() for p in genvis.parameters()) == 57_390_002
    assert sum(p.numel() for p in vita.parameters()) == 57_126_834
    assert sum(p.numel() for p in frame.parameters()) == 43_955_865


@torch.no_grad()
@pytest.mark.parametrize("variant", variant_names())
def test_every_variant_runs_forward(variant):
    config = tiny_config(variant)
    model = tiny_model(config)
    frames = config.clip_length if config.association != "offline" else 8
    features = model.extract(torch.randn(2, frames, 3, 64, 96))
    prediction, state = model.step(features, model.initial_state(2))
    again, _ = model.step(features, state)
    for result in (prediction, again):
        assert result.classes.shape == (2, model.slots, len(config.classes) + 1)
        assert (result.visible is not None) == (config.supervision in ("visible", "both"))
        assert (result.amodal is not None) == (config.supervision in ("amodal", "both"))
        for masks in (result.visible, result.amodal):
            assert masks is None or masks.shape == (2, frames, model.slots, 16, 24)
            assert masks is None or masks.isfinite().all()
    assert [None if t is None else t.shape for t in state] == [
        None if t is None else t.shape for t in model.initial_state(2)
    ]


@torch.no_grad()
def test_frames_one_by_one_give_the_features_of_all_at_once(model):
    images = torch.randn(1, 3, 3, 64, 96)
    together = model.extract(images)
    one_by_one = concatenate([model.extract(images[:, t : t + 1]) for t in range(3)])
    for a, b in zip(together, one_by_one, strict=True):
        if isinstance(a, torch.Tensor):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_videos_of_a_batch_do_not_mix(model):
    images = torch.randn(2, 3, 3, 64, 96)
    together, _ = model.step(model.extract(images), model.initial_state(2))
    alone, _ = model.step(model.extract(images[1:]), model.initial_state(1))
    torch.testing.assert_close(together.amodal[1:], alone.amodal, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(together.classes[1:], alone.classes, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_prototypes_keep_their_norm_over_100_clips(model):
    state, norms = model.initial_state(), []
    for _ in range(100):
        features = model.extract(torch.randn(1, 3, 3, 64, 96))
        _, state = model.step(features, state)
        norms.append(state.prototypes.norm(dim=-1).mean().item())
    assert state.prototypes.isfinite().all()
    # The gate lets the start go slowly; from then on the norm stays.
    assert max(norms) / min(norms) < 1.5
    assert max(norms[30:]) / min(norms[30:]) < 1.05


@torch.no_grad()
def test_the_state_matters_and_recycling_resets_only_the_given_slots(model):
    features = model.extract(torch.randn(1, 3, 3, 64, 96))
    start = model.initial_state()
    _, state = model.step(features, start)
    assert not torch.allclose(state.prototypes, start.prototypes)
    slots = torch.zeros(1, model.slots, dtype=torch.bool)
    slots[0, 3] = True
    recycled = model.recycle(state, slots)
    torch.testing.assert_close(recycled.prototypes[0, 3], start.prototypes[0, 3])
    torch.testing.assert_close(recycled.prototypes[~slots], state.prototypes[~slots])


@torch.no_grad()
def test_genvis_memory_forgets_a_recycled_slot_and_has_a_fixed_size():
    model = tiny_model(tiny_config("genvis-semi-online"))
    features = model.extract(torch.randn(1, 3, 3, 64, 96))
    state = model.initial_state()
    for clip in range(6):
        _, state = model.step(features, state)
        assert state.memory_used[0, 0].sum() == min(clip + 1, 4)
    slots = torch.zeros(1, model.slots, dtype=torch.bool)
    slots[0, 2] = True
    recycled = model.recycle(state, slots)
    assert recycled.memory_used[0, 2].sum() == 0
    assert recycled.memory_used[0, 1].sum() == 4


@torch.no_grad()
def test_genvis_reads_its_memory():
    model = tiny_model(tiny_config("genvis-semi-online"))
    features = model.extract(torch.randn(1, 3, 3, 64, 96))
    _, state = model.step(features, model.initial_state())
    with_memory, _ = model.step(features, state)
    without, _ = model.step(features, state._replace(memory_used=torch.zeros_like(state.memory_used)))
    assert not torch.allclose(with_memory.classes, without.classes, atol=1e-4)


@torch.no_grad()
def test_a_wrong_input_size_is_named(model):
    with pytest.raises(ValueError, match=r"\(96, 96\).*\(64, 96\)"):
        model.extract(torch.randn(1, 1, 3, 96, 96))
    with pytest.raises(ValueError, match="height=65"):
        model.prepare(65, 96, 3)
    features = model.extract(torch.randn(1, 2, 3, 64, 96))
    with pytest.raises(ValueError, match="prepare"):
        model.step(features, model.initial_state())


@torch.no_grad()
def test_another_size_works_after_prepare(model):
    model.prepare(96, 64, 2)
    prediction, _ = model.step(model.extract(torch.randn(1, 2, 3, 96, 64)), model.initial_state())
    assert prediction.amodal.shape == (1, 2, model.slots, 24, 16)


@torch.no_grad()
def test_freezing_keeps_the_answer():
    config = dataclasses.replace(
        tiny_config(), backbone=load_config("onboard").backbone, input_height=64, input_width=96
    )
    model = tiny_model(config)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
    images = torch.randn(1, 3, 3, 64, 96)
    before, _ = model.step(model.extract(images), model.initial_state())
    frozen = freeze(model)
    after, _ = frozen.step(frozen.extract(images), frozen.initial_state())
    torch.testing.assert_close(before.visible, after.visible, atol=1e-3, rtol=1e-3)
    assert not any(p.requires_grad for p in frozen.parameters())


# --- attention masks and priors -----------------------------------------------------------------------------


def test_an_empty_row_attends_everywhere_and_the_bias_fits_fp16():
    allowed = torch.tensor([[True, False, False], [False, False, False]])
    bias = attention_bias(allowed)
    assert bias.tolist() == [[0, BLOCKED, BLOCKED], [0, 0, 0]]
    assert bias.half().isfinite().all()


def make_samh(**changes):
    options = {
        "dim": 16,
        "mask_dim": 16,
        "heads": 4,
        "layers": 2,
        "conv_layers": 4,
        "vspm": True,
        "aspm": True,
        "feature_stride": 4,
        "key_stride": 4,
        "residual": False,
        "position": False,
    }
    torch.manual_seed(0)
    samh = SAMH(**{**options, **changes}).eval()
    samh.prepare(16, 16, 2)
    return samh


def test_a_cell_visible_in_one_frame_opens_the_same_cell_of_every_frame():
    samh = make_samh(aspm=False)
    visible = torch.full((1, 2, 3, 4, 4), -1.0)
    visible[0, 1, 0, 2, 3] = 1.0
    bias = samh.prior_bias(visible, None)
    assert bias.shape == (1, 3, 16)
    assert (bias[0, 0] == 0).nonzero().flatten().tolist() == [2 * 4 + 3]
    # Slots visible nowhere look everywhere.
    assert (bias[0, 1:] == 0).all()


def test_the_prior_is_the_union_of_both_masks():
    visible, amodal = torch.full((2, 1, 2, 1, 4, 4), -1.0)
    visible[0, 0, 0, 0, 0] = 1.0
    amodal[0, 1, 0, 3, 3] = 1.0
    cells = {
        (True, True): [0, 15],
        (True, False): [0],
        (False, True): [15],
    }
    for (vspm, aspm), expected in cells.items():
        bias = make_samh(vspm=vspm, aspm=aspm).prior_bias(visible, amodal)
        assert (bias[0, 0] == 0).nonzero().flatten().tolist() == expected
    assert make_samh(vspm=False, aspm=False).prior_bias(visible, amodal) is None


def test_coarse_keys_keep_a_single_visible_cell():
    samh = make_samh(feature_stride=8, key_stride=8, aspm=False)
    visible = torch.full((1, 2, 1, 4, 4), -1.0)
    visible[0, 0, 0, 3, 0] = 1.0
    assert (samh.prior_bias(visible, None)[0, 0] == 0).nonzero().flatten().tolist() == [2]


@torch.no_grad()
@pytest.mark.parametrize(("feature_stride", "key_stride"), [(4, 8), (4, 12), (8, 16), (8, 24), (12, 24), (24, 24)])
def test_keys_may_have_any_stride_that_divides_the_image(feature_stride, key_stride):
    samh = make_samh(feature_stride=feature_stride, key_stride=key_stride, aspm=False)
    samh.prepare(48, 96, 2)
    visible = torch.randn(1, 2, 5, 12, 24) - 2
    expected = torch.nn.functional.max_pool2d((visible.amax(dim=1) > 0).float(), key_stride // 4).flatten(2)
    opened = expected.amax(dim=-1, keepdim=True) == 0
    assert torch.equal(samh.prior_bias(visible, None) == 0, (expected > 0) | opened)
    features = samh.extract(torch.randn(2, 16, 12, 24))
    assert features.attention.shape[-2:] == (48 // key_stride, 96 // key_stride)
    amodal, _ = samh(torch.randn(1, 5, 16), torch.randn(5, 16), visible, *(x.unsqueeze(0) for x in features))
    assert amodal[-1].shape == visible.shape


@torch.no_grad()
def test_samh_reads_a_frame_only_where_the_prior_allows():
    samh = make_samh(aspm=False, layers=1)
    prototypes, slot = torch.randn(1, 3, 16), torch.randn(3, 16)
    attention, mask = torch.randn(1, 2, 16, 4, 4), torch.randn(1, 2, 16, 4, 4)
    # The slot is visible in frame 1 at cell (2, 3) alone; frame 0 is read there too, and nowhere else.
    visible = torch.full((1, 2, 1, 4, 4), -1.0)
    visible[0, 1, 0, 2, 3] = 1.0
    first = (prototypes[:, :1], slot[:1])

    def prototype(features):
        return samh(*first, visible, features, mask).prototypes

    before = prototype(attention)
    changed = attention.clone()
    changed[0, 0, :, 2, 3] += 1
    assert not torch.allclose(before, prototype(changed))
    changed = attention + torch.randn_like(attention)
    changed[0, :, :, 2, 3] = attention[0, :, :, 2, 3]
    torch.testing.assert_close(before, prototype(changed))


@torch.no_grad()
def test_samh_equals_a_plain_reading_of_algorithm_1():
    """With nn.MultiheadAttention and a boolean mask, written out clip by clip."""
    samh = make_samh()
    prototypes, slot = torch.randn(1, 3, 16), torch.randn(3, 16)
    visible = torch.randn(1, 2, 3, 4, 4) - 1
    attention, mask = torch.randn(1, 2, 16, 4, 4), torch.randn(1, 2, 16, 4, 4)
    result = samh(prototypes, slot, visible, attention, mask)

    def reference_attention(module, query, key, value, blocked=None):
        attention = torch.nn.MultiheadAttention(16, 4, batch_first=True)
        attention.in_proj_weight.copy_(torch.cat([module.q.weight, module.k.weight, module.v.weight]))
        attention.in_proj_bias.copy_(torch.cat([module.q.bias, module.k.bias, module.v.bias]))
        attention.out_proj.load_state_dict(module.out.state_dict())
        return attention(query[None], key[None], value[None], attn_mask=blocked)[0][0]

    p = prototypes[0]
    keys = attention[0].permute(0, 2, 3, 1).reshape(-1, 16)
    for layer in samh.layers:
        amodal = torch.einsum("qc,tchw->tqhw", samh.mask_embed(p), mask[0])
        prior = (visible[0] > 0).any(0) | (amodal > 0).any(0)
        prior[~prior.flatten(1).any(1)] = True
        blocked = ~prior.flatten(1).repeat(1, 2)
        cross = layer.cross
        p = cross.norm(p + reference_attention(cross.attention, p + slot, keys + samh.position, keys, blocked))
        self_attention = layer.self_attention
        p = self_attention.norm(p + reference_attention(self_attention.attention, p + slot, p + slot, p))
    torch.testing.assert_close(result.prototypes[0], p, atol=1e-5, rtol=1e-4)
    final = torch.einsum("qc,tchw->tqhw", samh.mask_embed(p), mask[0])
    torch.testing.assert_close(result.amodal[-1][0], final, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_amodal_features_split_in_the_middle():
    for layers, split in ((2, 1), (4, 2), (6, 3)):
        torch.manual_seed(0)
        module = AmodalFeatureExtraction(channels=8, layers=layers, stride=4, residual=False, position=False)
        x = torch.randn(1, 8, 5, 6)
        outputs = []
        y = x
        for i, conv in enumerate(module.convs):
            y = conv(y.relu() if i else y)
            outputs.append(y)
        result = module(x)
        torch.testing.assert_close(result.attention, outputs[split - 1])
        torch.testing.assert_close(result.mask, outputs[-1])


@torch.no_grad()
def test_residual_amodal_masks_start_as_the_visible_ones():
    model = tiny_model(load_config("onboard", input_height=64, input_width=96))
    assert isinstance(model, A2VIS)
    features = model.extract(torch.randn(1, 3, 3, 64, 96))
    # The last convolution is zero at the start up to the noise the fixture puts on its bias.
    model.samh.features.convs[-1].bias.zero_()
    fresh = model.extract(torch.randn(1, 3, 3, 64, 96))
    torch.testing.assert_close(fresh.amodal_features, fresh.mask_features)
    assert features.amodal_features.shape == features.mask_features.shape


# --- update, gating, matching -------------------------------------------------------------------------------


@torch.no_grad()
def test_update_starts_aligned_with_the_slots():
    torch.manual_seed(0)
    update = PrototypeUpdate(dim=256, null_key=False)
    slot, prototypes = torch.randn(100, 256), torch.randn(1, 100, 256)
    weights = (update.q(prototypes + slot) @ update.k(prototypes + slot).mT * update.scale).softmax(-1)
    assert weights[0].diagonal().mean() > 0.5
    result = update(prototypes, prototypes, slot)
    torch.testing.assert_close(result.mean(-1), torch.zeros(1, 100), atol=1e-5, rtol=0)


def test_minvis_follows_a_permutation():
    torch.manual_seed(0)
    last = torch.randn(6, 8)
    order = torch.randperm(6)
    torch.testing.assert_close(_follow(last, last[order]), last)
    torch.testing.assert_close(_follow(torch.zeros(6, 8), last), last)
