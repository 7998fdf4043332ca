"""`a2vis evaluate` and `a2vis ablate`: what is scored, of which variants, beside which baselines."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from evaluation_data import read_json, run_command
from evaluation_runs import EAGER, FRAMES, _weights, data, evaluate, oracle, weights
from networks import tiny_config, tiny_model
from pycocotools import mask as mask_tools

from a2vis_model import machine
from a2vis_model.commands import ablate as ablate_command
from a2vis_model.data import open_fishbowl
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import runner
from a2vis_model.evaluation.baselines import predict_with, stand_still
from a2vis_model.evaluation.prediction import PredictionSettings, RankedSlots, predict_video
from a2vis_model.masks.region import logits_to_mask
from a2vis_model.modeling import concatenate
from a2vis_model.preprocessing import FrameTransform
from a2vis_model.tracking.settings import TrackSettings

__all__ = ["data", "weights"]


def test_slots_are_ranked_as_the_paper_evaluates(data: Path) -> None:
    """Clips of three new frames, the last one filled up with frames before it; score = class times certainty."""
    config = tiny_config()
    model, video = tiny_model(config), open_fishbowl(data, config.classes)[0]
    settings = PredictionSettings(output_mode="video", top=5)
    found = predict_video(model, config, video, settings).ranked
    transform = FrameTransform(input_height=config.input_height, input_width=config.input_width)
    with torch.inference_mode():
        prepared = [transform(image) for image in video.frames(range(video.length))]
        features = [model.extract(pixels[None, None]) for pixels, _ in prepared]
        state, visible, amodal = model.initial_state(), [], []
        for start in range(0, FRAMES, 3):
            end = min(start + 3, FRAMES)
            prediction, state = model.step(concatenate(features[end - 3 : end]), state)
            assert prediction.visible is not None
            assert prediction.amodal is not None
            visible.append(prediction.visible[0, start - end :])
            amodal.append(torch.maximum(prediction.amodal, prediction.visible)[0, start - end :])
        classes = prediction.classes[0].softmax(-1)[:, :-1]
    logits = {"visible": torch.cat(visible), "amodal": torch.cat(amodal)}
    # No object has an amodal mask before it is first seen.
    for slot in range(model.slots):
        shown = [logits_to_mask(logits["visible"][t, slot].numpy(), prepared[t][1]).area > 0 for t in range(FRAMES)]
        for masks in logits.values():
            masks[: shown.index(True) if True in shown else FRAMES, slot] = -100
    best = classes.flatten().topk(5)
    expected = []
    for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        slot, class_id = divmod(index, len(config.classes))
        scores = {}
        for kind, masks in logits.items():
            chosen = masks[:, slot]
            scores[kind] = value * int((chosen > 0).sum()) / max(int((chosen.sigmoid() > 0.1).sum()), 1)
        shapes = [logits_to_mask(logits["amodal"][t, slot].numpy(), prepared[t][1]) for t in range(FRAMES)]
        areas = [shape.area for shape in shapes]
        if any(areas):
            expected.append((scores["visible"], scores["amodal"], class_id + 1, [area > 0 for area in areas]))
    expected.sort(key=lambda entry: -entry[0])
    assert [r["category_id"] for r in found] == [entry[2] for entry in expected]
    np.testing.assert_allclose([r["score"] for r in found], [entry[0] for entry in expected], rtol=1e-4)
    np.testing.assert_allclose([r["amodal_score"] for r in found], [entry[1] for entry in expected], rtol=1e-4)
    assert [[m is not None for m in r["amodal_segmentations"]] for r in found] == [entry[3] for entry in expected]


def test_class_scores_of_the_last_clip_or_over_all(data: Path) -> None:
    config = tiny_config()
    model, video = tiny_model(config), open_fishbowl(data, config.classes)[0]
    best = {}
    for choice in ("final", "max", "mean"):
        settings = PredictionSettings(output_mode="video", class_score=choice, top=1000)  # type: ignore[arg-type]
        records = predict_video(model, config, video, settings).ranked
        best[choice] = max(record["score"] for record in records)
    assert best["max"] >= max(best["final"], best["mean"])
    assert len({round(value, 6) for value in best.values()}) > 1


def test_output_modes_choose_what_is_scored(data: Path) -> None:
    config = tiny_config()
    model, video = tiny_model(config), open_fishbowl(data, config.classes)[0]
    eager = TrackSettings(start_score=0, keep_score=0)
    found = {
        mode: predict_video(model, config, video, PredictionSettings(output_mode=mode, tracks=eager))  # type: ignore[arg-type]
        for mode in ("both", "video", "stream")
    }
    assert found["both"].ranked == found["video"].ranked == found["video"].tracked
    assert found["both"].tracked == found["stream"].tracked == found["stream"].ranked
    assert found["both"].ranked != found["both"].tracked
    assert RankedSlots(model, config, PredictionSettings()).flush() == []


@pytest.mark.parametrize("variant", ["vita", "genvis-semi-online-amodal"])
def test_variants_are_evaluated_by_the_masks_they_have(data: Path, tmp_path: Path, variant: str) -> None:
    weights = _weights(tmp_path / "variant.safetensors", tiny_config(variant))
    assert evaluate(data, tmp_path / "out", "--weights", str(weights), "--no-plots", *EAGER) == 0
    values = read_json(tmp_path / "out" / "results.json")
    kind, other = ("amodal", "visible") if variant.endswith("amodal") else ("visible", "amodal")
    assert f"{kind}.AP" in values
    assert f"{other}.AP" not in values


@pytest.mark.parametrize("system", ["sort", "bytetrack"])
def test_box_trackers_join_detections(system: Any, monkeypatch: Any, data: Path) -> None:
    pytest.importorskip("trackers", reason="the box trackers come from the package 'trackers'")
    config = tiny_config("mask2former-amodal")
    model, video = tiny_model(config), open_fishbowl(data, config.classes)[0]
    frame = 0

    def detections(_: Any) -> Any:
        """Two objects, one of each class, that move right, and one that nobody believes in."""
        nonlocal frame
        classes = torch.full((1, 3, len(config.classes) + 1), -9.0)
        classes[0, 2, -1] = 9
        masks = torch.full((1, 3, 16, 24), -5.0)
        order = (0, 1) if frame % 2 else (1, 0)  # queries say nothing about identity
        for query, top in zip(order, (1, 9), strict=True):
            masks[0, query, top : top + 5, 2 + frame : 10 + frame] = 5
            classes[0, query] = -9
            classes[0, query, int(top > 4)] = 9
        frame += 1
        return type("Detections", (), {"classes": classes, "masks": masks})

    monkeypatch.setattr(model.detector, "detections", detections)
    found = predict_with(system, model, config, video, PredictionSettings()).tracked
    assert sorted(record["category_id"] for record in found) == [1, 2]
    for record in found:
        present = [mask is not None for mask in record["amodal_segmentations"]]
        assert sum(present) >= FRAMES - 3
        assert not any(record["segmentations"])


@pytest.mark.parametrize(
    ("system", "variant", "kind"), [("a2vis", "a2vis", ""), ("sort", "mask2former-amodal", "amodal_")]
)
def test_no_system_is_judged_with_specks(system: Any, variant: str, kind: str, data: Path) -> None:
    """Random networks leave specks on every object."""
    if system == "sort":
        pytest.importorskip("trackers", reason="the box trackers come from the package 'trackers'")
    config = tiny_config(variant)
    model, video = tiny_model(config), open_fishbowl(data, config.classes)[0]

    def smallest_share(least_part: float) -> tuple[float, float]:
        """The smallest part of any mask, as a share of the mask's largest: of ranked slots, and of tracks."""
        eager = TrackSettings(
            start_score=0, keep_score=0, min_area=1, duplicate_iou=1, duplicate_part=1, least_part=least_part
        )
        found = predict_with(system, model, config, video, PredictionSettings(top=1000, tracks=eager))
        shares = []
        for records in (found.ranked, found.tracked):
            masks = [mask for record in records for mask in record[f"{kind}segmentations"] if mask is not None]
            assert len(masks) > 5
            shares.append(min(_smallest_part(mask_tools.decode(mask)) for mask in masks))
        return shares[0], shares[1]

    assert max(smallest_share(0.0)) < 0.05
    assert min(smallest_share(0.3)) >= 0.3


def _smallest_part(mask: Any) -> float:
    areas = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return float(areas.min() / areas.max())


def test_what_is_hidden_stands_still() -> None:
    a, b = {"counts": "a"}, {"counts": "b"}
    record = {"segmentations": [None, a, None, b, *[None] * 40], "amodal_segmentations": [], "amodal_score": 0.1}
    guess = stand_still(record)["amodal_segmentations"]
    assert guess == [None, a, a, b, *[b] * 30, *[None] * 10]
    assert "amodal_score" not in stand_still(record)


def test_amodal_masks_can_be_left_unseen(data: Path) -> None:
    config = tiny_config()
    model, video = tiny_model(config), open_fishbowl(data, config.classes)[0]
    settings = PredictionSettings(tracks=TrackSettings(start_score=0, keep_score=0, min_area=1))
    whole, seen = (predict_with(system, model, config, video, settings) for system in ("network", "visible"))
    assert any(any(record["amodal_segmentations"]) for record in whole.tracked)
    assert seen.tracked
    assert not any(any(record["amodal_segmentations"]) for record in (*seen.tracked, *seen.ranked))
    assert [r["segmentations"] for r in seen.ranked] == [r["segmentations"] for r in whole.ranked]
    amodal = tiny_config("minvis-amodal")
    with pytest.raises(A2VISError, match="system visible: this network predicts no visible masks"):
        predict_with("visible", tiny_model(amodal), amodal, video, settings)


def test_ablate_makes_one_table(data: Path, weights: Path, tmp_path: Path, capsys: Any) -> None:
    plain = _weights(tmp_path / "plain.safetensors", tiny_config("minvis"))
    runs = [f"ours={weights}", f"minvis={plain}", f"still={weights}:still"]
    arguments = ("--data", str(data), "--output", str(tmp_path / "out"), "--quiet", "--jobs", "1", "--no-plots")
    # With the paper's clips nothing is hidden in them.
    assert run_command(ablate_command, *runs, *arguments, *EAGER, "--stride", "1") == 0
    rows = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row["name"] for row in rows] == ["ours", "minvis", "still"]
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.strip() in capsys.readouterr().out
    assert all(f"| {name} |" in table for name in ("ours", "minvis", "still"))
    assert rows[0]["visible.AP"] == rows[2]["visible.AP"]
    ours, still = (read_json(tmp_path / "out" / name / "tracks.json") for name in ("ours", "still"))
    assert [track["segmentations"] for track in ours] == [track["segmentations"] for track in still]
    assert [track["amodal_segmentations"] for track in ours] != [track["amodal_segmentations"] for track in still]


@pytest.mark.parametrize("text", ["nothing", "=w", "a=", "a/b=w", "..=w", "a=w:magic"])
def test_rows_that_cannot_be_understood(text: str) -> None:
    with pytest.raises(A2VISError, match="run "):
        ablate_command.parse_entry(text)


def test_rows_of_shipped_and_of_untrained_networks() -> None:
    entry = ablate_command.parse_entry("a=onboard/vita?:sort")
    assert (entry.system, entry.source.preset, entry.source.variant) == ("sort", "onboard", "vita")
    assert entry.source.weights is None
    assert ablate_command.parse_entry("a=onboard").source.weights == "onboard"


def test_a_run_begins_anew_when_the_code_or_a_frame_changed(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    asked = []

    def count(*arguments: Any) -> Any:
        asked.append(arguments)
        return oracle(*arguments)

    monkeypatch.setattr(runner, "predict_with", count)
    shutil.copytree(data, tmp_path / "data")
    common = (tmp_path / "data", tmp_path / "out", "--weights", str(weights), "--no-plots")
    assert evaluate(*common) == 0
    first = len(asked)
    assert evaluate(*common) == 0
    assert len(asked) == first, "nothing has changed"
    monkeypatch.setattr(runner, "code_hash", lambda: "another")
    assert evaluate(*common) == 0
    assert len(asked) == 2 * first
    video = next((tmp_path / "data").rglob("*.mp4"))
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 1
    before = video.stat().st_mtime_ns
    video.write_bytes(content)
    os.utime(video, ns=(before + 1, before + 1))
    assert evaluate(*common, "--jobs", "1") in (0, 1)
    assert len(asked) > 2 * first


def test_the_hash_of_the_code_covers_all_of_it(monkeypatch: Any) -> None:
    seen = []
    original = machine.file_hash
    monkeypatch.setattr(machine, "file_hash", lambda path: seen.append(Path(path).name) or original(path))
    assert machine.code_hash() == machine.code_hash()
    assert {"streaming.py", "tracks.py", "samh.py", "onboard.yaml", "variants.yaml"} <= set(seen)
