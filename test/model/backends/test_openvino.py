"""OpenVINO's engines: converted, compared with eager, kept, refused."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import tiny_config, tiny_model

from a2vis_model import freeze
from a2vis_model.backends import choice, prepare_backend
from a2vis_model.backends.engine_cache import EngineCache, engine_key
from a2vis_model.backends.engines import engines_for
from a2vis_model.backends.openvino import OpenVINOEngines, convert
from a2vis_model.cli import main
from a2vis_model.errors import BackendError
from a2vis_model.weights import save_weights

CONFIG = tiny_config()
MODEL = freeze(tiny_model(CONFIG))
INSTALLED = importlib.util.find_spec("openvino") is not None
QUANTISER = importlib.util.find_spec("nncf") is not None
OPENVINO = pytest.mark.skipif(not INSTALLED, reason="openvino is not installed; pip install 'a2vis_ros[openvino]'")
NNCF = pytest.mark.skipif(not QUANTISER, reason="nncf is not installed; pip install 'a2vis_ros[openvino]'")


class Small(torch.nn.Module):
    """A convolution, a depthwise one, norms, a sum, a product and a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.group_norm = torch.nn.GroupNorm(2, 8)
        self.layer_norm = torch.nn.LayerNorm(8)
        self.linear = torch.nn.Linear(8, 8)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.conv(image)
        tokens = self.group_norm(maps + self.depthwise(maps)).flatten(2).transpose(1, 2)
        return self.linear(self.layer_norm(tokens)).softmax(dim=-1), tokens


def exported() -> tuple[Small, torch.export.ExportedProgram, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    graph, inputs = Small().eval(), (torch.randn(1, 3, 10, 12),)
    with torch.no_grad():
        return graph, torch.export.export(graph, inputs), inputs


def fed(nodes: list[Any]) -> set[str]:
    """Types of what computes with the outputs of OpenVINO's nodes, behind conversions and scales."""
    types: set[str] = set()
    for node in nodes:
        for reader in (target.get_node() for output in node.outputs() for target in output.get_target_inputs()):
            name = reader.get_type_name()
            types |= fed([reader]) if name in ("FakeQuantize", "Convert", "Multiply", "Subtract") else {name}
    return types


@OPENVINO
def test_both_graphs_convert_and_pass_the_gate_and_are_found_again(tmp_path: Path) -> None:
    said: list[str] = []
    cache = tmp_path / "engines"
    built = prepare_backend(MODEL, CONFIG, backend="openvino", cache=cache, progress=said.append)
    assert (built.name, built.precision, built.reason) == ("openvino", "fp32", "named")
    assert built.gate is not None
    assert built.gate.passed
    assert built.gate.logits < 1e-3
    assert any("building the frame graph" in text for text in said)
    said.clear()
    found = prepare_backend(MODEL, CONFIG, cache=cache, progress=said.append)
    assert (found.name, found.fingerprint) == ("openvino", built.fingerprint)
    assert found.reason.startswith("auto: its engine is in the cache")
    assert not any("building" in text for text in said)


@OPENVINO
def test_engines_keep_their_outputs_and_read_inputs_of_any_layout(tmp_path: Path) -> None:
    graph, program, inputs = exported()
    engines = OpenVINOEngines()
    engines.build(program, inputs, tmp_path / "frame.blob")
    run = engines.load(tmp_path / "frame.blob", inputs)
    (tmp_path / "frame.blob").unlink()
    with torch.inference_mode():
        first = run(*inputs)
        kept = [tensor.clone() for tensor in first]
        other = torch.randn(1, 10, 12, 3).permute(0, 3, 1, 2)
        second = run(other)
        for result, before, expected in zip(first, kept, graph(*inputs), strict=True):
            torch.testing.assert_close(result, before, atol=0, rtol=0)
            torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(second, graph(other), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match=r"input 0 is \[1, 3, 9, 12\], the engine was built for \[1, 3, 10, 12\]"):
        run(torch.randn(1, 3, 9, 12))


@OPENVINO
def test_an_engine_depends_on_precision_and_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import openvino

    keys = [
        engine_key(MODEL, CONFIG, "openvino", precision, engines_for("openvino", precision).requirements())
        for precision in ("fp32", "int8")
    ]
    assert keys[0]["openvino device"].startswith("CPU, ")
    monkeypatch.setattr(openvino, "get_version", lambda: "1.2.3")
    keys.append(engine_key(MODEL, CONFIG, "openvino", "fp32", engines_for("openvino", "fp32").requirements()))
    assert len({str(EngineCache(tmp_path)._directory(key)) for key in keys}) == 3


@OPENVINO
@NNCF
def test_convolutions_that_are_not_depthwise_are_quantised_alone(tmp_path: Path) -> None:
    from a2vis_model.backends.quantisation import quantise

    graph, program, inputs = exported()
    samples = [np.random.default_rng(i).normal(size=(1, 3, 10, 12)).astype(np.float32) for i in range(4)]
    model = quantise(convert(program, inputs), ([sample] for sample in samples))
    rounded = [node for node in model.get_ops() if node.get_type_name() == "FakeQuantize"]
    weights = [node for node in model.get_ops() if node.get_element_type().get_type_name() in ("i8", "u8")]
    assert fed(rounded) == fed(weights) == {"Convolution"}
    # Pairs of products must fit 16 bits where there is no VNNI: 2 * 255 * 64.
    assert 32 < max(np.abs(node.data.astype(int)).max() for node in weights) <= 64
    engines = OpenVINOEngines("int8", calibration=lambda: (torch.from_numpy(sample) for sample in samples))
    engines.build(program, inputs, tmp_path / "frame.blob")
    with torch.no_grad():
        results, expected = engines.load(tmp_path / "frame.blob", inputs)(*inputs), graph(*inputs)
    assert 0 < (results[1] - expected[1]).abs().max() < 0.1 * expected[1].abs().max()


@OPENVINO
def test_int8_without_frames_says_how_to_give_them() -> None:
    _, program, inputs = exported()
    with pytest.raises(BackendError, match=r"no engine of int8 is in the cache.*--calibrate VIDEO"):
        OpenVINOEngines("int8").build(program, inputs, Path("unused"))


@OPENVINO
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "openvino", "device": "intel:npu"}, "OpenVINO finds no intel:npu here, only CPU.*--device cpu"),
        ({"backend": "compile", "device": "intel:gpu"}, "intel:gpu is for the backend openvino"),
        ({"backend": "eager", "precision": "bf16"}, "bf16 is for the backend openvino"),
        ({"backend": "openvino", "device": "cuda"}, "device='cuda'; choose one of cpu, intel:gpu, intel:npu"),
    ],
)
def test_what_cannot_be_had_is_an_error(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        prepare_backend(MODEL, CONFIG, **arguments)


@OPENVINO
def test_a_precision_that_the_device_lacks_is_refused_with_those_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    class Core:
        available_devices = ("CPU",)

        def get_property(self, _device: str, _name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", Core)
    with pytest.raises(BackendError, match=r"precision=bf16: this cpu does not compute in bf16.*use one of fp32, int8"):
        prepare_backend(MODEL, CONFIG, backend="openvino", precision="bf16")


def test_without_openvino_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def missing(name: str, package: str | None = None) -> object:
        if name == "openvino":
            raise ModuleNotFoundError("No module named 'openvino'")
        return real(name, package)

    monkeypatch.setattr(choice.importlib, "import_module", missing)
    with pytest.raises(BackendError, match=r"pip install 'a2vis_ros\[openvino\]'"):
        prepare_backend(MODEL, CONFIG, backend="openvino")
    assert prepare_backend(MODEL, CONFIG).name == "eager"


@OPENVINO
def test_without_nncf_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from a2vis_model.backends import quantisation

    real = importlib.import_module

    def missing(name: str, package: str | None = None) -> object:
        if name == "nncf":
            raise ModuleNotFoundError("No module named 'nncf'")
        return real(name, package)

    monkeypatch.setattr(quantisation.importlib, "import_module", missing)
    with pytest.raises(BackendError, match=r"No module named 'nncf'; pip install 'a2vis_ros\[openvino\]'"):
        quantisation.quantise(None, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--calibrate", "video.mp4"], "--calibrate goes with --precision int8, not with fp32"),
        (["--precision", "int8", "--calibrate", "nowhere"], "nowhere: no such file or folder"),
        (["--precision", "int8", "--calibration-frames", "0"], "--calibration-frames 0: choose 1 or more"),
        (["--device", "tpu"], "--device tpu: choose auto, cpu, cuda, intel:gpu or intel:npu"),
    ],
)
def test_arguments_of_build_engine(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, tiny_model(CONFIG), CONFIG)
    arguments = ["build-engine", "--backend", "openvino", "--weights", str(weights), *options]
    assert main([*arguments, "--engine-cache", str(tmp_path / "engines")]) == 2
    assert message in capsys.readouterr().err
