"""Both graphs through torch.export and, as ONNX, through onnxruntime."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import ModelConfig, load_config
from a2vis_model.backbone_config import SwinConfig
from a2vis_model.export import (
    CLIP_OUTPUTS,
    FRAME_OUTPUTS,
    ClipGraph,
    FrameGraph,
    example_inputs,
    export_graphs,
    export_onnx,
)

FP16_MAX = 65504
# What would make a shape or a branch depend on data.
DATA_DEPENDENT = ("nonzero", "_local_scalar_dense", "index_put", "masked_select", "unique", "item")


def onboard_config() -> ModelConfig:
    """The onboard preset at a small size, its layers cut to one of a kind."""
    config = load_config("onboard", input_height=64, input_width=96)
    return dataclasses.replace(
        config,
        pixel_decoder=dataclasses.replace(config.pixel_decoder, layers=1, sampling="gather"),
        frame_decoder=dataclasses.replace(config.frame_decoder, layers=2),
        prototypes=dataclasses.replace(config.prototypes, encoder_layers=1, decoder_layers=1),
    )


def paper_config(preset: str) -> ModelConfig:
    """One of the paper's presets at a small size, its layers cut to a few of a kind."""
    config = load_config(preset, input_height=64, input_width=96)
    backbone = config.backbone
    if isinstance(backbone, SwinConfig):
        backbone = dataclasses.replace(backbone, depths=(2, 2, 2, 2))
    return dataclasses.replace(
        config,
        backbone=backbone,
        pixel_decoder=dataclasses.replace(config.pixel_decoder, layers=1),
        frame_decoder=dataclasses.replace(config.frame_decoder, layers=3),
        prototypes=dataclasses.replace(config.prototypes, encoder_layers=1, decoder_layers=1),
    )


def r50_config() -> ModelConfig:
    return paper_config("r50")


def swin_l_config() -> ModelConfig:
    return paper_config("swin_l")


@pytest.mark.parametrize("make_config", [tiny_config, onboard_config, r50_config, swin_l_config])
def test_exported_graphs_are_static_and_equal_to_eager(make_config):
    config = make_config()
    model = tiny_model(config)
    programs = export_graphs(model, config)
    inputs = example_inputs(model, config)
    for program, graph, arguments in zip(programs, (FrameGraph(model), ClipGraph(model)), inputs, strict=True):
        assert not program.range_constraints, "a symbolic shape"
        with torch.no_grad():
            expected, result = graph(*arguments), program.module()(*arguments)
        for a, b in zip(expected, result, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
        for node in program.graph.nodes:
            assert not any(name in str(node.target).split(".") for name in DATA_DEPENDENT), node.target
            for argument in node.args:
                if isinstance(argument, float):
                    assert math.isfinite(argument), f"{node.target} takes {argument}"
                    assert abs(argument) <= FP16_MAX, f"{node.target} takes {argument}"
        for name, constant in program.constants.items():
            if isinstance(constant, torch.Tensor) and constant.is_floating_point():
                assert constant.half().isfinite().all(), name


@pytest.mark.parametrize("make_config", [tiny_config, onboard_config])
def test_onnx_equals_eager(make_config, tmp_path):
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    config = make_config()
    model = tiny_model(config)
    paths = export_onnx(model, config, tmp_path)
    inputs = example_inputs(model, config)
    graphs = (FrameGraph(model), ClipGraph(model))
    found = set()
    for path, graph, arguments, names in zip(paths, graphs, inputs, (FRAME_OUTPUTS, CLIP_OUTPUTS), strict=True):
        exported = onnx.load(path)
        assert next(o.version for o in exported.opset_import if o.domain == "") <= 19
        for node in exported.graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "GridSample":
                assert attributes["mode"] == b"bilinear"
                assert attributes.get("padding_mode", b"zeros") == b"zeros"
                assert attributes.get("align_corners", 0) == 0
            elif node.op_type == "Resize":
                assert attributes["mode"] == b"linear"
                assert attributes["coordinate_transformation_mode"] in (b"half_pixel", b"pytorch_half_pixel")
            found.add(node.op_type)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert tuple(output.name for output in session.get_outputs()) == names
        feed = {i.name: a.numpy() for i, a in zip(session.get_inputs(), arguments, strict=True)}
        with torch.no_grad():
            expected = graph(*arguments)
        for name, a, b in zip(names, expected, session.run(None, feed), strict=True):
            scale = max(np.abs(a.numpy().astype(np.float64)).max(), 1e-6)
            assert np.abs(a.numpy().astype(np.float64) - b).max() / scale < 1e-4, name
    assert "Resize" in found
    assert ("GridSample" in found) == (config.pixel_decoder.sampling == "grid_sample")


def test_only_a2vis_with_samh_in_evaluation_mode_is_exported():
    with pytest.raises(ValueError, match="GenVIS"):
        FrameGraph(tiny_model(tiny_config("genvis-online")))
    with pytest.raises(ValueError, match="eval"):
        ClipGraph(tiny_model(tiny_config()).train())
