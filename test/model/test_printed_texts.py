"""What commands print of texts from outside: names of files, classes and tensors."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hostile_text import HOSTILE, is_harmless

from a2vis_model import ModelConfig, VideoNetwork, save_weights
from a2vis_model.cli import main
from a2vis_model.commands.evaluate_images import markdown as precision_tables
from a2vis_model.evaluation.image_precision import ImagePrecision
from a2vis_model.evaluation.report import markdown
from a2vis_model.files.video_io import DamageLog
from a2vis_model.importers.report import ImportReport


def are_harmless(text: str) -> bool:
    """Whether no line steers the terminal, and none is another than the program's."""
    lines = text.splitlines()
    return bool(lines) and all(map(is_harmless, lines)) and not any(line.startswith("[ERROR]") for line in lines)


def test_a_summary_of_damage_is_one_line_whatever_the_files_are_called() -> None:
    damage = DamageLog(HOSTILE)
    for frame in range(20):
        damage.add(frame, f"{HOSTILE}.jpg is cut short")
        damage.lose(f"{HOSTILE}.png, cannot be decoded")
    said = damage.summary()
    assert said.isprintable()
    assert said.endswith("--strict stops at the first")
    damage.lost[0] = damage.frames[0] = "x" * 2_000_000
    assert len(damage.summary()) < 8000


def test_predict_names_a_broken_picture_in_one_line(
    tmp_path: Path, model: VideoNetwork, config: ModelConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(tmp_path / "tiny.safetensors", model, config)
    folder = tmp_path / "in"
    folder.mkdir()
    picture = cv2.imencode(".png", np.zeros((64, 96, 3), np.uint8))[1].tobytes()
    (folder / "1.png").write_bytes(picture)
    (folder / "2\n\x1b[31ma2vis predict: all frames are whole.png").write_bytes(picture[:60])
    arguments = [
        "predict",
        str(folder),
        "--weights",
        str(tmp_path / "tiny.safetensors"),
        "--output",
        str(tmp_path / "out"),
        "--quiet",
    ]
    assert main([*arguments, "--no-overlay"]) == 0
    said = capsys.readouterr().err
    assert "left out: 2\\n\\x1b[31ma2vis predict: all frames are whole.png" in said
    assert said.count("\n") == 1
    assert "\x1b" not in said


def test_check_data_writes_out_the_names_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 8, "labelled": [HOSTILE[:-1]]}],
        "annotations": [],
        "categories": [{"id": 1, "name": HOSTILE[:-1]}, {"id": 2, "name": "y" * 1_000_000}],
    }
    file = tmp_path / f"{HOSTILE[:-1].replace('/', '')}.json"
    file.write_text(json.dumps(document))
    assert main(["check-data", str(file), "--images", str(tmp_path)]) in (0, 1)
    assert are_harmless(capsys.readouterr().out)


def test_tables_write_out_the_names_of_systems_and_classes() -> None:
    row = {"name": HOSTILE, "visible.AP": 0.5, f"classes.{HOSTILE.replace('.', '')}.visible.AP": 0.5}
    assert are_harmless(markdown([row]))
    assert are_harmless(precision_tables(ImagePrecision(1, 1, {"AP": 0.5}, {HOSTILE: 0.5})))


def test_an_import_names_tensors_in_lines_of_its_own() -> None:
    report = ImportReport(path=Path(HOSTILE), format="x", notes=[HOSTILE], skipped=[(HOSTILE, "for nothing")])
    assert are_harmless(report.summary())
