"""Both graphs through torch.export and, as ONNX, through onnxruntime."""

import dataclasses
import math
import threading
from collections import Counter

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model
from torch import Tensor, nn

from a2vis_model import ModelConfig, VideoNetwork, load_config
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
from a2vis_model.modeling.layers import FEW_KEYS, ScaledDotProduct, attention_bias, with_decomposed_attention

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
    # Fused attention differs in the last digits, and where a logit is nearly 0 they decide what the next layer sees.
    twin = with_decomposed_attention(model)
    for program, graph, arguments in zip(programs, (FrameGraph(twin), ClipGraph(twin)), inputs, strict=True):
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


@pytest.mark.parametrize("keys", [7, FEW_KEYS + 1])
@pytest.mark.parametrize("with_bias", [False, True])
def test_decomposed_attention_is_the_fused_one(keys: int, with_bias: bool) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 5, 8), torch.randn(2, 4, keys, 8), torch.randn(2, 4, keys, 8)
    bias = attention_bias(torch.rand(2, 1, 5, keys) > 0.5) if with_bias else None
    fused = ScaledDotProduct()
    decomposed = with_decomposed_attention(fused)
    assert (fused.decomposed, decomposed.decomposed) == (False, True)
    torch.testing.assert_close(decomposed(query, key, value, bias), fused(query, key, value, bias))


@pytest.mark.parametrize("fused", [True, False])
def test_an_export_changes_no_network_that_runs_meanwhile(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another network in another thread nor the exported one itself."""
    config = tiny_config()
    model, other = tiny_model(config), tiny_model(config)
    image = torch.zeros(1, 3, config.input_height, config.input_width)
    attention = torch.nn.functional.scaled_dot_product_attention
    calls: Counter[str] = Counter()
    exported: list[nn.Module] = []

    def counted(*given: Tensor, **options: Tensor) -> Tensor:
        calls[threading.current_thread().name] += 1
        return attention(*given, **options)

    def run(network: VideoNetwork) -> int:
        """How often a network uses the fused operation in a thread of its own."""
        thread = threading.Thread(target=FrameGraph(network), args=(image,), name=str(len(exported)))
        calls.clear()
        thread.start()
        thread.join()
        return calls[thread.name]

    def export(graph: nn.Module, inputs: tuple[Tensor, ...], **options: bool) -> None:
        exported.append(graph)
        assert run(other) == run(model) == before > 0
        calls.clear()
        graph(*inputs)
        assert (calls["MainThread"] > 0) == fused

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    monkeypatch.setattr(torch.export, "export", export)
    before = run(model)
    export_graphs(model, config, fused_attention=fused)
    assert [type(graph) for graph in exported] == [FrameGraph, ClipGraph]
    # No weight is held twice.
    kept = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    assert {id(tensor) for graph in exported for tensor in graph.state_dict(keep_vars=True).values()} == kept


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
