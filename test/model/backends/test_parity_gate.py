"""The parity gate lets right engines pass and refuses wrong ones, with figures."""

import copy

import pytest
import torch
import torch.nn.functional as F
from networks import tiny_config, tiny_model

from a2vis_model import freeze
from a2vis_model.backends.network import GraphNetwork
from a2vis_model.backends.parity import CLIPS, CLIPS_AGAIN, TOLERANCES, compare
from a2vis_model.backends.precision import half_precision
from a2vis_model.export import CLIP_INPUTS, ClipGraph, FrameGraph
from a2vis_model.modeling import deformable_attention

CONFIG = tiny_config()
MODEL = freeze(tiny_model(CONFIG))
# At its initial value every offset is whole: sampling points differ from cell centres only after training.
OFFSETS = copy.deepcopy(MODEL)
for layer in OFFSETS.detector.pixel_decoder.layers:
    layer.attention.sampling_offsets.bias.add_(0.4)


def gate(frame, clip, model=MODEL, precision="fp32", clips=CLIPS):
    return compare(model, GraphNetwork(model, frame, clip), CONFIG, TOLERANCES[precision], clips)


def test_the_same_network_passes():
    result = gate(FrameGraph(MODEL), ClipGraph(MODEL))
    assert result.passed
    assert result.clips == CLIPS == 10
    assert (result.visible_iou, result.amodal_iou, result.logits, result.classes, result.state) == (1, 1, 0, 0, 0)
    assert str(result).startswith("passed (10 clips: visible mask IoU 1.0000")


def test_fp16_passes_within_its_limits():
    half = half_precision(MODEL)
    result = gate(FrameGraph(half), ClipGraph(half), precision="fp16")
    assert result.passed, result
    assert result.logits > 0


def test_perturbed_weights_are_refused():
    wrong = copy.deepcopy(MODEL)
    for parameter in wrong.parameters():
        parameter.data += 0.05 * parameter.abs().mean() * torch.randn_like(parameter)
    for clips in (CLIPS, CLIPS_AGAIN):
        result = gate(FrameGraph(wrong), ClipGraph(wrong), clips=clips)
        assert any(failure.startswith("logits ") and "limit 0.02" in failure for failure in result.failures), result


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_nearest_instead_of_bilinear_is_refused(mode, monkeypatch):
    frame = FrameGraph(copy.deepcopy(OFFSETS))
    for module in frame.modules():
        if isinstance(module, deformable_attention.DeformableAttention):
            module.sampling = "gather"  # eager inference on a CPU samples no maps otherwise

    def sample(value, locations, method):
        return F.grid_sample(value, 2 * locations - 1, mode=mode, padding_mode="zeros", align_corners=False)

    def engine(image):
        with monkeypatch.context() as patch:
            patch.setattr(deformable_attention, "sample_bilinear", sample)
            return frame(image)

    result = gate(engine, ClipGraph(OFFSETS), OFFSETS)
    assert result.passed == (mode == "bilinear"), result


def test_a_state_that_is_not_carried_is_refused():
    clip = ClipGraph(MODEL)
    start = MODEL.initial_state().prototypes

    def engine(*inputs):
        return clip(*inputs[:4], start)

    for clips in (CLIPS, CLIPS_AGAIN):
        assert any(failure.startswith("state ") for failure in gate(FrameGraph(MODEL), engine, clips=clips).failures)


@pytest.mark.parametrize("output", ["classes", "visible", "prototypes"])
def test_nan_is_refused(output):
    clip = ClipGraph(MODEL)
    index = {"classes": 0, "visible": 1, "prototypes": 3}[output]
    calls = []

    def engine(*inputs):
        outputs = list(clip(*inputs))
        calls.append(inputs[CLIP_INPUTS.index("prototypes")])
        # Once, in the middle: what follows may be finite again.
        if len(calls) == 5:
            outputs[index] = torch.full_like(outputs[index], torch.nan)
        return tuple(outputs)

    assert not gate(FrameGraph(MODEL), engine).passed
