"""The commands of docs/tutorials/published_weights.md, with a file of the published names and shapes."""

import ast
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from paths import ROOT, SHARED

from a2vis_model import load_config, load_weights
from a2vis_model.cli import main

TEXT = (ROOT / "docs" / "tutorials" / "published_weights.md").read_text("utf-8")
PRESETS = dict(zip(("coco_r50.yaml", "ytvis_r50.yaml"), re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL), strict=True))
KEYS = SHARED / "spec" / "keys" / "detectron2_vita_r50.txt"
"""Names and shapes of a published checkpoint of 40 classes, a line each."""


@pytest.mark.parametrize(
    ("name", "variant", "classes"), [("coco_r50.yaml", "minvis", 80), ("ytvis_r50.yaml", "genvis-online", 40)]
)
def test_the_presets_of_the_page_are_presets(name: str, variant: str, classes: int, tmp_path: Path) -> None:
    assert f"--preset {name} --variant {variant}" in TEXT
    (tmp_path / name).write_text(PRESETS[name], "utf-8")
    config = load_config(str(tmp_path / name), variant)
    assert len(config.classes) == classes
    assert config.backbone.name == "resnet50"


@pytest.mark.skipif(not KEYS.is_file(), reason="needs the names of a published checkpoint in ../shared/spec/keys")
def test_a_detector_of_coco_becomes_a_tracker_of_80_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("coco_r50.yaml").write_text(PRESETS["coco_r50.yaml"], "utf-8")
    shapes = dict(line.split("\t") for line in KEYS.read_text("utf-8").splitlines())
    arrays = {}
    for number, (name, shape) in enumerate(shapes.items()):
        if name.startswith(("backbone.", "sem_seg_head.")):
            size = [81 if side == 41 else side for side in ast.literal_eval(shape)]
            arrays[name] = np.full(size, number % 7 / 100, np.float32)
    arrays["criterion.empty_weight"] = np.ones(81, np.float32)
    with open("model_final_3c8ec9.pkl", "wb") as file:
        pickle.dump({"model": arrays, "__author__": "third party", "matching_heuristics": True}, file)
    (command,) = re.findall(r"^a2vis (import-weights model_final.*)$", TEXT, re.MULTILINE)
    assert main(command.split()) == 0
    said = capsys.readouterr().out.splitlines()
    model, config = load_weights("coco_r50.safetensors")
    assert said[1:] == [
        f"  loaded {len(model.state_dict())}",
        "  skipped 1: class weights of the loss (criterion.empty_weight)",
        "wrote coco_r50.safetensors",
    ]
    assert config.classes == tuple(yaml.safe_load(PRESETS["coco_r50.yaml"])["classes"])
    head = model.detector.frame_decoder.class_head.weight
    assert head.shape == (81, 256)
    assert head.unique().tolist() == [float(arrays["sem_seg_head.predictor.class_embed.weight"][0, 0])]
