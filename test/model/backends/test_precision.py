"""fp16 with fp32 islands, computed on the CPU."""

import dataclasses

import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import ModelConfig, freeze, load_config
from a2vis_model.backends.precision import half_precision
from a2vis_model.export import ClipGraph, FrameGraph, example_inputs, export_graphs
from a2vis_model.modeling.layers import ScaledDotProduct, with_decomposed_attention

MANY_KEYS = 70_000
"""More than fp16's greatest number, as SAMH has at 1280x720."""


def onboard_config() -> ModelConfig:
    return load_config("onboard", input_height=128, input_width=192)


@pytest.mark.parametrize("make_config", [tiny_config, onboard_config])
def test_masks_are_those_of_fp32(make_config):
    config = make_config()
    model = freeze(tiny_model(config))
    half = half_precision(model)
    # Something smooth: where masks are noise, the sign of a logit is noise too.
    small = torch.randn(1, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    image = torch.nn.functional.interpolate(small, size=(config.input_height, config.input_width), mode="bilinear")
    results = []
    with torch.inference_mode():
        for network in (model, half):
            features = FrameGraph(network)(image)
            assert {tensor.dtype for tensor in features} == {network.mask_conv.weight.dtype}
            clip = tuple(torch.cat([tensor] * config.clip_length, dim=1) for tensor in features)
            start = model.initial_state()
            results.append(ClipGraph(network)(*clip, start.prototypes))
    for name, full, coarse in zip(("classes", "visible", "amodal", "prototypes"), *results, strict=False):
        assert coarse.dtype is torch.float32, name
        assert coarse.isfinite().all(), name
        assert (full - coarse).square().mean() <= 0.03**2 * full.square().mean(), name
    for full, coarse in zip(results[0][1:3], results[1][1:3], strict=True):
        a, b = full > 0, coarse > 0
        assert (a & b).sum() >= 0.98 * (a | b).sum()


def test_islands_are_fp32():
    model = tiny_model(tiny_config())
    half = half_precision(model)
    types = {name: tensor.dtype for name, tensor in half.state_dict().items()}
    fp32 = {name for name, dtype in types.items() if dtype is torch.float32}
    assert types["samh.features.convs.0.weight"] is torch.float16
    assert types["detector.frame_decoder.query_content"] is torch.float16
    assert types["prototypes.query_content"] is torch.float16
    for part in ("norm.module.weight", "update.module.q.weight", "sampling_offsets.weight", "attention_weights.bias"):
        assert any(name.endswith(part) for name in fp32), part
    assert half.detector.pixel_decoder.reference.dtype is torch.float32
    assert all(tensor.dtype is not torch.float16 for tensor in model.state_dict().values()), "the original has changed"


def test_exported_attention_over_more_keys_than_fp16_can_count():
    torch.manual_seed(0)
    # Equal weights for all keys: 1.4e-5 each, and a sum of values beyond 65,504.
    query, key = torch.zeros(1, 4, 3, 8).half(), torch.randn(1, 4, MANY_KEYS, 8).half()
    value = 1 + 0.1 * torch.randn(1, 4, MANY_KEYS, 8).half()
    attend = with_decomposed_attention(ScaledDotProduct())
    result = torch.export.export(attend, (query, key, value, None)).module()(query, key, value, None)
    assert result.dtype is torch.float16
    torch.testing.assert_close(
        result.float(), value.float().mean(-2, keepdim=True).expand_as(result), atol=1e-3, rtol=0
    )


def test_half_precision_exports():
    config = dataclasses.replace(tiny_config(), clip_length=2)
    model = tiny_model(config)
    half = half_precision(model)
    inputs = example_inputs(half, config)
    for program, graph, arguments in zip(
        export_graphs(half, config), (FrameGraph(half), ClipGraph(half)), inputs, strict=True
    ):
        with torch.no_grad():
            for a, b in zip(graph(*arguments), program.module()(*arguments), strict=True):
                assert a.dtype is b.dtype
                # Single cells of an attention mask may flip: attention is fused in one and decomposed in the other.
                assert (a.float() - b.float()).square().mean() <= 0.05**2 * a.float().square().mean()
