"""Choosing a backend, building its engine and gating it, with engines that are made up."""

import dataclasses
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import zipfile

import numpy as np
import pytest
import torch
from fake_engines import FakeEngines
from networks import tiny_config, tiny_model
from torch.utils import cpp_extension

from a2vis_model import StreamingTracker, TrackSettings, freeze, load_config
from a2vis_model.backends import choice, prepare, prepare_backend
from a2vis_model.backends import engines as engines_module
from a2vis_model.backends.parity import CLIPS, CLIPS_AGAIN, GateResult
from a2vis_model.backends.progress import Progress, duration_text
from a2vis_model.errors import BackendError

CONFIG = tiny_config()
MODEL = freeze(tiny_model(CONFIG))
COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")


@pytest.fixture
def engines(monkeypatch):
    return FakeEngines(monkeypatch)


def test_eager_is_the_model_itself():
    backend = prepare_backend(MODEL, CONFIG, backend="eager")
    assert (backend.name, backend.precision, backend.reason, backend.gate) == ("eager", "fp32", "named", None)
    assert backend.network is MODEL
    assert backend.fingerprint == ""


def test_a_compiled_network_tracks_as_the_model_does(engines, tmp_path):
    backend = prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")
    assert backend.gate.passed
    assert len(backend.fingerprint) == 16
    expected = story(MODEL, CONFIG)
    assert story(backend.network, CONFIG) == expected
    assert any(expected)


def story(network, config):
    """What tracking says of noise, and of its first image again after a reset."""
    images = np.random.default_rng(0).integers(0, 256, (8, 50, 70, 3), np.uint8)
    # Thresholds that open tracks with random weights, and end some, so that slots are used again.
    settings = TrackSettings(start_score=0.0, keep_score=0.0, duplicate_iou=1.0, duplicate_part=1.0, max_lost_frames=1)
    tracker = StreamingTracker(network, config, settings=settings)
    results = [result for image in images for result in tracker.push(image, 0.0)]
    tracker.reset()
    results += tracker.push(images[0], 0.0)
    return [[(i.track_id, i.state, round(i.score, 3), i.amodal.area) for i in r.instances] for r in results]


def test_an_engine_is_built_once(engines, tmp_path):
    said = []
    first = prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines", progress=said.append)
    assert engines.built == ["frame", "clip"]
    assert [text.partition(" (")[0] for text in said] == [
        "exporting the graphs",
        "building the frame graph",
        "building the clip graph",
        "comparing with eager over 10 clips",
        "comparing with eager over 3 clips",
    ]
    second = prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines", progress=said.append)
    assert engines.built == ["frame", "clip"]
    assert "loading the engine" in said[5]
    assert said[6:] == ["comparing with eager over 3 clips"]
    assert second.fingerprint == first.fingerprint
    assert second.gate.passed, "a stored engine is compared again"
    assert (first.gate.clips, second.gate.clips) == (CLIPS, CLIPS_AGAIN)


def test_an_engine_that_would_be_refused_when_it_is_loaded_is_not_kept(engines, tmp_path, monkeypatch):
    def outcome(*_, clips):
        return GateResult(clips, 1.0, 1.0, 0.0, 0.0, 0.0, () if clips == CLIPS else ("logits 1, limit 0.02",))

    monkeypatch.setattr(prepare, "compare", lambda *arguments: outcome(clips=arguments[-1]))
    with pytest.raises(BackendError, match="logits 1, limit"):
        prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")
    assert not list((tmp_path / "engines").iterdir())


def test_another_version_is_said_and_built_anew(engines, tmp_path):
    prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")
    engines.version = "2"
    said = []
    prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines", progress=said.append)
    assert "fake 1 instead of 2" in said[0]
    assert engines.built == ["frame", "clip"] * 2


def test_without_a_cache_nothing_is_kept(engines, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert prepare_backend(MODEL, CONFIG, backend="compile").gate.passed
    assert not list(tmp_path.iterdir())


def test_a_wrong_engine_is_refused_with_figures_and_not_kept(engines, tmp_path):
    engines.wrong = True
    with pytest.raises(BackendError, match=r"backend=compile.*failed: .*logits 0\.\d+, limit 0\.02"):
        prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")
    assert not list((tmp_path / "engines").iterdir())


def test_an_engine_that_has_become_wrong_is_refused_and_named(engines, tmp_path):
    prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")
    (directory,) = (tmp_path / "engines").iterdir()
    engines.wrong = True
    with pytest.raises(BackendError, match=f"{directory}.*limit"):
        prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")


def test_an_engine_that_does_not_load_is_named(engines, tmp_path, monkeypatch):
    prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")
    (directory,) = (tmp_path / "engines").iterdir()

    def load(path, inputs):
        raise RuntimeError("undefined symbol\nand a trace")

    monkeypatch.setattr(engines, "load", load)
    with pytest.raises(BackendError, match=f"engine {directory}: RuntimeError: undefined symbol; delete it"):
        prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")


def test_a_builder_that_fails_is_one_line(engines, tmp_path):
    engines.broken = True
    with pytest.raises(BackendError, match=r"^backend=compile: RuntimeError: ld: cannot find -lcuda; use another"):
        prepare_backend(MODEL, CONFIG, backend="compile", cache=tmp_path / "engines")
    assert not list((tmp_path / "engines").iterdir())


def test_auto_on_the_cpu_takes_an_engine_that_is_there_and_builds_none(engines, tmp_path):
    cache = tmp_path / "engines"
    backend = prepare_backend(MODEL, CONFIG, cache=cache)
    assert (backend.name, engines.built) == ("eager", [])
    assert backend.reason == "auto: no GPU and no engine in the cache"
    prepare_backend(MODEL, CONFIG, backend="compile", cache=cache)
    backend = prepare_backend(MODEL, CONFIG, cache=cache)
    assert (backend.name, backend.reason) == ("compile", "auto: its engine is in the cache")


def test_auto_says_what_it_refused(engines, tmp_path):
    cache = tmp_path / "engines"
    prepare_backend(MODEL, CONFIG, backend="compile", cache=cache)
    engines.wrong = True
    said = []
    backend = prepare_backend(MODEL, CONFIG, cache=cache, progress=said.append)
    assert backend.name == "eager"
    assert "compile is not used: engine" in backend.reason
    assert "limit" in backend.reason
    assert "compile is not used" in said[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "onnx"}, "backend='onnx'; choose one of auto, eager, compile, tensorrt"),
        ({"precision": "int4"}, "precision='int4'; choose one of fp32, fp16, bf16, int8"),
        ({"precision": "fp16"}, "precision=fp16: fp16 needs a GPU"),
        ({"backend": "tensorrt"}, "backend=tensorrt: TensorRT runs on NVIDIA GPUs only"),
    ],
)
def test_what_cannot_be_had_is_an_error(arguments, message):
    with pytest.raises(BackendError, match=message):
        prepare_backend(MODEL, CONFIG, **arguments)


@pytest.mark.parametrize("variant", ["genvis-online", "a2vis-no-samh"])
def test_what_cannot_be_exported_runs_in_eager_only(variant, tmp_path):
    config = tiny_config(variant)
    model = tiny_model(config)
    assert prepare_backend(model, config, cache=tmp_path / "engines").network is model
    for backend in ("compile", "tensorrt"):
        with pytest.raises(BackendError, match=f"backend={backend}: .* only A2VIS with SAMH is; use eager"):
            prepare_backend(model, config, backend=backend)
    with pytest.raises(BackendError, match="fp32 only"):
        prepare_backend(model, config, precision="fp16")


def test_missing_software_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BackendError, match=r"no C\+\+ compiler 'g\+\+' is found; .*apt install g\+\+"):
        prepare_backend(MODEL, CONFIG, backend="compile")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    gpu = torch.device("cuda")
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    obstacle = choice._tensorrt_obstacle(gpu)
    assert obstacle.startswith("torch_tensorrt cannot be imported (ModuleNotFoundError")
    assert "pip install torch-tensorrt" in obstacle
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++")
    assert "Triton" in choice._compile_obstacle(gpu)


def test_on_a_gpu_the_compiler_needs_the_toolkit(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    gpu = torch.device("cuda")
    for home in (None, str(tmp_path)):
        monkeypatch.setattr(cpp_extension, "CUDA_HOME", home)
        assert f"no CUDA toolkit is found (CUDA_HOME: {home})" in choice._compile_obstacle(gpu)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda.h").touch()
    assert choice._compile_obstacle(gpu) is None


def test_a_compiled_network_takes_one_frame_at_a_time(engines):
    network = prepare_backend(MODEL, CONFIG, backend="compile").network
    with pytest.raises(ValueError, match=r"images are \[1, 2, 3"):
        network.extract(torch.zeros(1, 2, 3, CONFIG.input_height, CONFIG.input_width))


def test_progress_says_how_long_it_takes():
    now = [0.0]
    progress = Progress(lambda text: None, {"first": 1, "second": 3}, lambda: now[0])
    assert progress.text("first", 0.0) == "first (step 1 of 2)"
    now[0] = 60.0
    assert progress.text("first", 0.0) == "first (step 1 of 2), 60 seconds so far"
    assert progress.text("second", 60.0) == "second (step 2 of 2), about 3 minutes left"
    now[0] = 120.0
    assert progress.text("second", 60.0) == "second (step 2 of 2), 60 seconds so far, about 2 minutes left"
    now[0] = 300.0
    assert progress.text("second", 60.0) == "second (step 2 of 2), 4 minutes so far, longer than expected"
    assert [duration_text(s) for s in (0.2, 1, 89, 90, 5399, 7200)] == [
        "1 second",
        "1 second",
        "89 seconds",
        "2 minutes",
        "90 minutes",
        "2 hours",
    ]


@COMPILER
def test_inductor_tracks_as_eager_does(tmp_path, monkeypatch):
    """The whole of a small network, through the compiler itself; which keeps nothing in the shared temporary folder."""
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    # Settled when the module is imported.
    codecache = importlib.import_module("torch._inductor.codecache")
    for name in ("_HEADER_DIR", "_HEADER_LOCK_DIR"):
        monkeypatch.setattr(codecache, name, str(shared / f"inductor{name}"))
    config = load_config("onboard", input_height=64, input_width=96)
    config = dataclasses.replace(
        config,
        pixel_decoder=dataclasses.replace(config.pixel_decoder, layers=1),
        frame_decoder=dataclasses.replace(config.frame_decoder, layers=1),
        prototypes=dataclasses.replace(config.prototypes, encoder_layers=1, decoder_layers=1),
    )
    model = freeze(tiny_model(config))
    backend = prepare_backend(model, config, backend="compile", cache=tmp_path / "engines")
    assert not list(shared.glob("*inductor*")), "who makes such a folder first decides what is compiled into the engine"
    assert backend.gate.logits < 1e-4
    expected = story(model, config)
    assert any(expected)
    assert story(backend.network, config) == expected


@COMPILER
def test_inductor_loads_keeps_its_outputs_and_reads_inputs_of_any_layout(tmp_path):
    engines = engines_module.ENGINES["compile"]

    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x, state):
            return self.layer(x).relu(), state + x.sum()

    graph = Small().eval()
    inputs = (torch.randn(1, 3, 6, 5), torch.zeros(1))
    with torch.no_grad():
        engines.build(torch.export.export(graph, inputs), inputs, tmp_path / "frame.pt2")
    run = engines.load(tmp_path / "frame.pt2", inputs)
    (tmp_path / "frame.pt2").unlink()
    with torch.inference_mode():
        first = run(*inputs)
        kept = [tensor.clone() for tensor in first]
        channels_last = torch.randn(1, 6, 5, 3).permute(0, 3, 1, 2)
        second = run(channels_last, first[1])
        for result, before, expected in zip(first, kept, graph(*inputs), strict=True):
            torch.testing.assert_close(result, before, atol=0, rtol=0)
            torch.testing.assert_close(result, expected)
        for result, expected in zip(second, graph(channels_last, first[1]), strict=True):
            torch.testing.assert_close(result, expected)
        for wrong in (torch.randn(1, 3, 5, 6), inputs[0].double()):
            with pytest.raises(ValueError, match=r"an input is torch.*, the engine was built for torch.float32 \[1, 3"):
                run(wrong, inputs[1])


@COMPILER
def test_inductor_compiles_the_number_of_threads_in(tmp_path):
    """Without it, code overruns its memory where it is run with more threads than there were processors."""
    engines = engines_module.ENGINES["compile"]
    graph = torch.nn.GroupNorm(1, 8).eval()
    inputs = (torch.randn(1, 8, 256, 256),)
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        engines.build(torch.export.export(graph, inputs), inputs, tmp_path / "frame.pt2")
        required = engines.requirements()["threads"]
    finally:
        torch.set_num_threads(threads)
    with zipfile.ZipFile(tmp_path / "frame.pt2") as package:
        code = "".join(package.read(name).decode() for name in package.namelist() if name.endswith(".cpp"))
    found = set(re.findall("#pragma omp parallel(.*)", code))
    assert found == ({f" num_threads({required})"} if required != "1" else set())


def test_the_gate_holds_for_eager_fp16_too(monkeypatch):
    # A CPU that is asked all the same: as a GPU would compute it.
    monkeypatch.setattr(prepare, "precision_obstacle", lambda *_: None)
    backend = prepare_backend(MODEL, CONFIG, backend="eager", precision="fp16")
    assert backend.gate.passed
    assert backend.gate.logits > 0
    broken = dataclasses.replace(prepare.TOLERANCES["fp16"], logits=1e-6)
    monkeypatch.setitem(prepare.TOLERANCES, "fp16", broken)
    with pytest.raises(BackendError, match="precision=fp16: refused"):
        prepare_backend(MODEL, CONFIG, backend="eager", precision="fp16")
