"""`a2vis evaluate` and `a2vis ablate` on rendered clips, with random networks and with an oracle."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import tiny_config, tiny_model
from dataset_files import (
    LENGTH,
    two_objects,
    write_fishbowl,
    write_sailvos,
    write_sailvos_json,
    write_unmerged,
    write_ytvis,
)
from evaluation_data import read_json, run_command
from pycocotools import mask as mask_tools

from a2vis_model import machine
from a2vis_model.commands import ablate as ablate_command
from a2vis_model.commands import evaluate as evaluate_command
from a2vis_model.commands import score as score_command
from a2vis_model.config import ModelConfig
from a2vis_model.data import FISHBOWL_CLASSES, open_fishbowl
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import runner
from a2vis_model.evaluation.baselines import predict_with, stand_still
from a2vis_model.evaluation.prediction import PredictionSettings, RankedSlots, VideoPrediction, predict_video
from a2vis_model.evaluation.youtube_vis import result_record
from a2vis_model.masks.region import logits_to_mask
from a2vis_model.modeling import concatenate
from a2vis_model.preprocessing import FrameTransform
from a2vis_model.render import render_clip, write_clip
from a2vis_model.tracking.tracks import TrackSettings
from a2vis_model.weights import save_weights

FRAMES = 7
EAGER = ("--start-score", "0", "--keep-score", "0")  # random networks are sure of nothing


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fishbowl")
    for number, seed in enumerate((4, 8), 1):
        clip = render_clip(world="aquarium", seed=seed, frames=FRAMES, height=64, width=96)
        assert clip.objects
        write_clip(clip, folder / f"{number:05d}")
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _weights(tmp_path_factory.mktemp("weights") / "tiny.safetensors", tiny_config())


def _weights(path: Path, config: ModelConfig) -> Path:
    save_weights(path, tiny_model(config), config)
    return path


def evaluate(data: Path, output: Path, *arguments: str) -> int:
    common = ("--data", str(data), "--output", str(output), "--quiet", "--jobs", "1", "--device", "cpu")
    return run_command(evaluate_command, *common, *arguments)


def oracle(_system: Any, _model: Any, config: ModelConfig, video: Any, _settings: Any) -> VideoPrediction:
    """Says the truth."""
    info = runner.VideoInfo(1, video.name, video.length, video.height, video.width)
    records = [result_record(track, info) for track in runner.truth_tracks(video)]
    for record in records:
        del record["video_id"]
    return VideoPrediction(records, records, 0.5, video.length)


def test_the_truth_scores_full_marks(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(data, tmp_path / "out", "--weights", str(weights), "--export", "mot", "--export", "mots") == 0
    values = read_json(tmp_path / "out" / "results.json")
    for key in (
        "amodal.AP",
        "amodal.AP75",
        "visible.AP",
        "boxes.HOTA",
        "boxes.IDF1",
        "boxes.MOTA",
        "visible_boxes.HOTA",
    ):
        assert values[key] == pytest.approx(1), key
    assert values["boxes.IDs"] == values["boxes.FP"] == 0
    assert values["fps"] == pytest.approx(FRAMES / 0.5)
    assert values["parameters"] == sum(parameter.numel() for parameter in tiny_model(tiny_config()).parameters())
    assert set(values["provenance"]["hashes"]) == {"weights", "data"}
    assert values["provenance"]["backend"] == "eager fp32 on cpu (named)"
    assert "| 100.00 |" in capsys.readouterr().out
    for kind, key in (("mot", "boxes.HOTA"), ("mots", "masks.HOTA")):
        folder = tmp_path / "out" / kind
        arguments = ("--predictions", str(folder / "predictions"), "--ground-truth", str(folder / "gt"), "--quiet")
        assert run_command(score_command, *arguments, "--jobs", "1", "--output", str(folder / "scored")) == 0
        assert read_json(folder / "scored" / "results.json")[key] == pytest.approx(1)


@pytest.mark.parametrize(
    ("write", "format", "classes"),
    [
        (write_fishbowl, "fishbowl", ("SmallFishA", "BigFishB")),
        (write_sailvos, "sailvos", ("person", "truck")),
        (write_sailvos_json, "sailvos", ("SmallFishA", "BigFishB")),
        (write_ytvis, "ytvis", ("SmallFishA", "BigFishB")),
    ],
)
def test_every_format_is_evaluated(
    write: Callable[..., Path], format: str, classes: tuple[str, ...], tmp_path: Path, monkeypatch: Any
) -> None:
    data = write(tmp_path / "data", two_objects())
    weights = _weights(tmp_path / "tiny.safetensors", tiny_config(classes=classes))
    common = ("--format", format, "--weights", str(weights), "--amodal-truth", "full", "--no-plots")
    assert evaluate(data, tmp_path / "network", *common, *EAGER) == 0
    assert read_json(tmp_path / "network" / "results.json")["frames"] == LENGTH
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(data, tmp_path / "oracle", *common) == 0
    values = read_json(tmp_path / "oracle" / "results.json")
    assert values["objects"] == 2
    assert values["visible.AP"] == values["amodal.AP"] == pytest.approx(1)
    assert values["hidden.IoU"] == pytest.approx(1)


def test_a_network_is_evaluated_and_its_files_score_the_same(data: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert evaluate(data, output, "--weights", str(weights), *EAGER) == 0
    values = read_json(output / "results.json")
    assert values["videos"] == 2
    assert values["fps"] > 0
    assert read_json(output / "tracks.json")
    assert 0 < values["boxes.DetA"] < 1
    arguments = ["--predictions", str(output / "predictions.json"), "--tracks", str(output / "tracks.json")]
    arguments += ["--ground-truth", str(output / "ground_truth.json"), "--output", str(tmp_path / "again")]
    assert run_command(score_command, *arguments, "--quiet", "--jobs", "1", "--no-plots") == 0
    again = read_json(tmp_path / "again" / "results.json")
    own = {"name", "fps", "parameters", "provenance"}
    assert {k: v for k, v in again.items() if k not in own} == {k: v for k, v in values.items() if k not in own}


def test_an_interrupted_run_goes_on(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    asked: list[str] = []

    def watched(*arguments: Any) -> VideoPrediction:
        asked.append(arguments[3].name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return oracle(*arguments)

    monkeypatch.setattr(runner, "predict_with", watched)
    with pytest.raises(KeyboardInterrupt):
        evaluate(data, tmp_path, "--weights", str(weights), "--no-plots")
    assert not (tmp_path / "predictions.json").exists()
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots") == 0
    assert asked == ["00001", "00002", "00002"]
    # Nothing is left to do, and other settings make other predictions.
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots") == 0
    assert len(asked) == 3
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots", "--top", "3") == 0
    assert len(asked) == 5


def test_a_run_goes_on_with_the_same_data_alone(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "predict_with", oracle)
    clips, output = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(data, clips)
    hashes = []

    def evaluated() -> dict[str, Any]:
        assert evaluate(clips, output, "--weights", str(weights), "--no-plots") == 0
        hashes.append(read_json(output / "results.json")["provenance"]["hashes"]["data"])
        return read_json(output / "ground_truth.json")

    def names(truth: dict[str, Any]) -> list[str]:
        return [video["file_names"][0].split("/")[0] for video in truth["videos"]]

    before = evaluated()
    assert names(before) == ["00001", "00002"]
    # A clip that takes the number of another.
    shutil.copytree(data / "00002", clips / "00000")
    assert names(evaluated()) == ["00000", "00001", "00002"]
    # An annotation that changes.
    shutil.rmtree(clips / "00000")
    file = clips / "00001" / "objects.json"
    objects = read_json(file)
    changed = next(name for name in FISHBOWL_CLASSES if name != objects[0]["type_name"])
    file.write_text(json.dumps([{**objects[0], "type_name": changed}, *objects[1:]]))
    after = evaluated()
    assert names(after) == ["00001", "00002"]
    old, new = (truth["annotations"][0]["category_id"] for truth in (before, after))
    assert new == FISHBOWL_CLASSES.index(changed) + 1 != old
    assert len(set(hashes)) == 3


def test_masks_beside_the_split_and_images_elsewhere_are_data_too(
    weights: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    asked: list[str] = []

    def counted(*arguments: Any) -> VideoPrediction:
        asked.append(arguments[3].name)
        return oracle(*arguments)

    monkeypatch.setattr(runner, "predict_with", counted)
    common = ("--weights", str(weights), "--no-plots")
    clips = write_unmerged(tmp_path / "fish", two_objects())
    masks = next((clips / "train_objects").glob("*/objects.json"))
    for change, expected in (("", 1), ("", 1), ("\n", 2)):
        masks.write_text(masks.read_text() + change)
        assert evaluate(clips / "train", tmp_path / "beside", *common) == 0
        assert len(asked) == expected
    asked.clear()
    file = write_ytvis(tmp_path / "data", two_objects())
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "data" / "train" / "JPEGImages", other)
    for images, expected in ((), 1), (("--images", str(other)), 2), (("--images", str(other)), 2):
        assert evaluate(file, tmp_path / "elsewhere", *common, *images) == 0
        assert len(asked) == expected


def test_a_file_of_another_video_is_refused(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(data, tmp_path, "--weights", str(weights), "--no-plots") == 0
    (folder,) = tmp_path.glob("videos-*")
    shutil.copy(folder / "000001.json", folder / "000002.json")
    with pytest.raises(A2VISError, match=r"000002\.json: is of the video 00001, not 00002; delete it and run again"):
        evaluate(data, tmp_path, "--weights", str(weights), "--no-plots")


def test_speed_is_of_videos_timed_alike(data: Path, weights: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The oracle says that it took half a second a video."""
    monkeypatch.setattr(runner, "predict_with", oracle)
    common = ("--weights", str(weights), "--no-plots")
    assert evaluate(data, tmp_path, *common) == 0
    assert read_json(tmp_path / "results.json")["fps"] == 2 * FRAMES
    assert evaluate(data, tmp_path, *common, "--jobs", "2") == 0
    assert read_json(tmp_path / "results.json")["fps"] is None
    (folder,) = tmp_path.glob("videos-*")
    (folder / "000002.json").unlink()
    monkeypatch.setattr(runner, "predict_with", lambda *arguments: replace(oracle(*arguments), seconds=0.1))
    assert evaluate(data, tmp_path, *common, "--jobs", "2") == 0
    assert read_json(tmp_path / "results.json")["fps"] == pytest.approx(10 * FRAMES)


def test_a_broken_clip_is_named_and_left_out(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "00002" / "objects.json").write_text("[{]")
    monkeypatch.setattr(runner, "predict_with", oracle)
    assert evaluate(tmp_path / "data", tmp_path / "out", "--weights", str(weights), "--no-plots") == 1
    assert "00002/objects.json: file: cannot be read" in capsys.readouterr().out
    values = read_json(tmp_path / "out" / "results.json")
    assert values["videos"] == 1
    assert values["amodal.AP"] == pytest.approx(1)


def test_a_broken_object_is_named_also_when_nothing_is_left_to_do(
    data: Path, weights: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    shutil.copytree(data, tmp_path / "data")
    file = tmp_path / "data" / "00001" / "objects.json"
    objects = read_json(file)
    objects[0]["masks"][2]["counts"] = "000"
    file.write_text(json.dumps(objects))
    monkeypatch.setattr(runner, "predict_with", oracle)
    for _ in range(2):
        assert evaluate(tmp_path / "data", tmp_path / "out", "--weights", str(weights), "--no-plots") == 1
        assert "visible mask of frame 2: broken RLE" in capsys.readouterr().out


def test_data_of_other_classes_are_refused(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    weights = _weights(tmp_path / "other.safetensors", tiny_config(classes=("teapot",)))
    monkeypatch.setattr(runner, "predict_with", oracle)
    with pytest.raises(A2VISError, match="no object is of the network's classes, teapot"):
        evaluate(data, tmp_path / "out", "--weights", str(weights))


def test_what_cannot_be_used_is_one_error(data: Path, weights: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("--weights", str(weights), "--system", "sort", "--backend", "compile"), "sort takes the detector alone"),
        (("--weights", str(weights), "--backend", "tensorrt"), "NVIDIA GPUs only"),
        (("--weights", str(weights), "--stride", "9"), "--stride 9: choose 1 to 3"),
        (("--weights", str(weights), "--variant", "vita"), "holds the variant a2vis"),
        (("--weights", str(weights), "--top", "0"), "--top 0"),
        (("--weights", str(weights), "--start-score", "7"), "start_score=7"),
        (("--weights", str(tmp_path / "none.safetensors")), "no such file"),
        (
            ("--weights", "r50"),
            "r50: no such file; give a weight file or the name of weights that ship: onboard, ",
        ),
        (("--preset", "r50", "--variant", "vita"), "--preset r50: weights know their own; add --untrained"),
    ):
        with pytest.raises(A2VISError, match=message):
            evaluate(data, tmp_path / "out", *arguments)


def test_slots_are_ranked_as_the_paper_evaluates(data: Path) -> None:
    """Clips of three new frames, the last one filled up with its last frame; score = class times mask confidence."""
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
            clip = features[start : start + 3]
            prediction, state = model.step(concatenate(clip + [clip[-1]] * (3 - len(clip))), state)
            assert prediction.visible is not None
            assert prediction.amodal is not None
            visible.append(prediction.visible[0, : len(clip)])
            amodal.append(torch.maximum(prediction.amodal, prediction.visible)[0, : len(clip)])
        classes = prediction.classes[0].softmax(-1)[:, :-1]
    logits = {"visible": torch.cat(visible), "amodal": torch.cat(amodal)}
    # No object has an amodal mask before it is first seen.
    for slot in range(model.slots):
        shown = [logits_to_mask(logits["visible"][t, slot].numpy(), prepared[t][1]).area > 0 for t in range(FRAMES)]
        logits["amodal"][: shown.index(True) if True in shown else FRAMES, slot] = -1
    best = classes.flatten().topk(5)
    expected = []
    for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        slot, class_id = divmod(index, len(config.classes))
        scores = {}
        for kind, masks in logits.items():
            chosen = masks[:, slot]
            inside = chosen[chosen > 0]
            scores[kind] = value * float(inside.sigmoid().mean()) if len(inside) else 0.0
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
        eager = TrackSettings(start_score=0, keep_score=0, min_area=1, least_part=least_part)
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


def test_ablate_makes_one_table(data: Path, weights: Path, tmp_path: Path, capsys: Any) -> None:
    plain = _weights(tmp_path / "plain.safetensors", tiny_config("minvis"))
    runs = [f"ours={weights}", f"minvis={plain}", f"still={weights}:still"]
    arguments = ("--data", str(data), "--output", str(tmp_path / "out"), "--quiet", "--jobs", "1", "--no-plots")
    assert run_command(ablate_command, *runs, *arguments, *EAGER) == 0
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
