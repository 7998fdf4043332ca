"""Files of results: read, refused, written and reported."""

from __future__ import annotations

import json
import random
import reprlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_data import (
    HEIGHT,
    WIDTH,
    block,
    read_json,
    run_command,
    score,
    track,
    videos,
    write_files,
)
from evaluation_masks import AWAY, LENGTH, STILL, covered

from a2vis_model.commands import score as score_command
from a2vis_model.data.problems import DataError, ProblemLog, RecordError
from a2vis_model.evaluation import ScoreSettings, open_comparison, score_videos
from a2vis_model.evaluation.json_records import scan_records
from a2vis_model.evaluation.mot_text import write_mot, write_mots
from a2vis_model.evaluation.report import markdown
from a2vis_model.evaluation.youtube_vis import result_record, write_json
from a2vis_model.masks.coco import RleMask, encode, first_broken


def test_records_of_a_document_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2vis_model.evaluation.json_records._CHUNK", 3)
    document = {"a": [1234567, {"ü": '\\"]'}, []], "empty": [], "b": {"c": [1]}, "d": [None, -1.5e3]}
    path = tmp_path / "file.json"
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", "utf-8")
    found: dict[str, Any] = {}
    for key, span, value in scan_records(path):
        assert span.read(str(path)) == value
        found.setdefault(key, []).append(value)
    assert found == {"a": document["a"], "b": [document["b"]], "d": document["d"]}


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2", "[1 2]", '{"a" 1}', "3", "[1] 2", '{"a": [1,]}', "{1: 2}", "[" * 9999]
)
def test_broken_documents_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"file\.json: file: cannot be read as JSON"):
        list(scan_records(path))


def test_all_masks_of_a_track_are_checked_like_one() -> None:
    """With random damage, the check of many masks finds what the check of one finds."""
    rng, chance = np.random.default_rng(3), random.Random(3)
    good = [encode(rng.random((20, 30)) < share)["counts"] for share in rng.random(40)]
    assert first_broken(good, 600) is None
    found = 0
    for _ in range(400):
        broken = [*good]
        victim = chance.randrange(len(good))
        text = bytearray(broken[victim])
        for _ in range(chance.randint(0, 2)):
            place = chance.randrange(len(text) or 1)
            text[place : place + chance.randint(0, 2)] = bytes(
                [chance.choice([chance.randrange(48, 112), chance.randrange(256)])]
            )
        broken[victim] = bytes(text)
        expected = next((index for index, counts in enumerate(broken) if is_broken(counts)), None)
        assert first_broken(broken, 600) == expected
        found += expected is not None
    assert 200 < found < 400


def is_broken(counts: bytes) -> bool:
    try:
        RleMask(20, 30, counts).runs()
    except RecordError:
        return True
    return False


DAMAGE: dict[str, Any] = {
    "segmentations": [None, 7, [], [None] * 3, [[1]] * LENGTH, [{"size": [1, 1], "counts": "0"}] * LENGTH],
    "amodal_segmentations": [
        [{"size": [HEIGHT, WIDTH], "counts": "00000"}] * LENGTH,
        [{"size": [HEIGHT, WIDTH], "counts": [-5, 5]}] * LENGTH,
        [{"size": [HEIGHT, WIDTH], "counts": "\u00e4"}] * LENGTH,
    ],
    "score": ["high", True, float("nan"), float("-inf"), None, 10**400],
    "amodal_score": ["high", 10**400],
    "category_id": ["1", None, 2**70],
    "video_id": [None, "1", 99],
    "track_id": [1.5, True],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in DAMAGE.items() for value in values], ids=reprlib.repr
)
def test_a_broken_result_is_named_and_left_out(tmp_path: Path, key: str, value: Any, capsys: Any) -> None:
    truth, results = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL)]], [[track(5, 1, STILL)]])
    record = {**read_json(results)[0], "track_id": 6, key: value}
    write_json(results, [record, *read_json(results)])
    status = run_command(
        score_command, "--predictions", str(results), "--ground-truth", str(truth), "--quiet", "--jobs", "1"
    )
    output = capsys.readouterr().out
    harmless = value is None and key in ("segmentations",)
    assert status == (0 if harmless else 1)
    assert ("results.json: result 0" in output) is not harmless
    assert "| predictions | 100.00 |" in output.replace("| 50.00 |", "| broken |")


@pytest.mark.parametrize("key", ["id", "video_id", "category_id", "segmentations"])
@pytest.mark.parametrize("value", [None, "x", -1, [], {}])
def test_a_broken_annotation_is_named_and_left_out(tmp_path: Path, key: str, value: Any) -> None:
    objects = [track(1, 1, STILL), track(2, 1, AWAY)]
    truth, results = write_files(tmp_path, videos(1, LENGTH), [objects], [[track(1, 1, STILL)]])
    document = read_json(truth)
    document["annotations"][1][key] = value
    write_json(truth, document)
    problems = ProblemLog()
    comparison = open_comparison(truth, results, None, ScoreSettings(), problems)
    scores = score_videos(comparison, ScoreSettings(), problems, quiet=True)
    left = 2 if (key, value) == ("id", -1) else 1
    assert scores[0].objects["all"] == left
    assert len(problems) == 2 - left


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,1,0,0,5,5,1", "has 7 columns, not 8"),
        ("1,1,0,0,5,x,1,1,1", "not a number"),
        ("1,1,0,0,5,nan,1,1,1", "not finite"),
        ("9,1,0,0,5,5,1,1,1", "frame is 9, not 1 to 8"),
        ("1.5,1,0,0,5,5,1,1,1", "frame is 1.5, not a whole number"),
        ("1,1,0,0,5,5,1,99,1", "class is 99"),
        ("1,1e300,0,0,5,5,1,1,1", "id is 1e[+]300"),
        ("hello", "has 1 columns|not a number"),
    ],
)
def test_broken_lines_of_mot_text_are_named(tmp_path: Path, line: str, message: str) -> None:
    info = videos(1, LENGTH)[0]
    write_mot(tmp_path / "gt", info, [track(7, 1, STILL)], "amodal", ground_truth=True)
    write_mot(tmp_path / "us", info, [track(7, 1, STILL)], "amodal", ground_truth=False)
    file = tmp_path / "gt" / info.name / "gt" / "gt.txt"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"gt\.txt: line 9: .*({message})"):
        score(tmp_path / "gt", tmp_path / "us")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 9 2 48 64", "has 5 columns"),
        ("1 9 2 48 64 000", "broken RLE"),
        ("1 9 2 0 64 000", "64x0"),
        ("1 9 2 10 10 T3", "size"),
    ],
)
def test_broken_lines_of_mots_text_are_named(tmp_path: Path, line: str, message: str) -> None:
    info = videos(1, LENGTH)[0]
    for folder, truth in ((tmp_path / "gt", True), (tmp_path / "us", False)):
        write_mots(folder, info, [track(7, 2, STILL)], ground_truth=truth)
    file = tmp_path / "us" / f"{info.name}.txt"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"{info.name}\.txt: line 9: .*{message}"):
        score(tmp_path / "gt", tmp_path / "us", format="mots")


def test_mots_masks_do_not_overlap_when_written_and_may_not_when_read(tmp_path: Path) -> None:
    info = videos(1, LENGTH)[0]
    both = [track(1, 2, STILL, score=0.4), track(2, 2, [(15, 10, 20, 16)] * LENGTH, score=0.8)]
    write_mots(tmp_path / "gt", info, both, ground_truth=True)
    write_mots(tmp_path / "us", info, both, ground_truth=False)
    assert score(tmp_path / "gt", tmp_path / "us", format="mots")["masks.HOTA"] == 1
    file = tmp_path / "us" / f"{info.name}.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[0].replace("1 1 2", "1 3 2")]) + "\n")
    with pytest.raises(DataError, match=r"line 17: overlaps another mask of frame 1"):
        score(tmp_path / "gt", tmp_path / "us", format="mots")


def test_a_video_without_predictions_file_is_named_and_counts_as_missed(tmp_path: Path, capsys: Any) -> None:
    for info in videos(2, LENGTH):
        write_mot(tmp_path / "gt", info, [track(7, 1, STILL)], "amodal", ground_truth=True)
    write_mot(tmp_path / "us", videos(1, LENGTH)[0], [track(7, 1, STILL)], "amodal", ground_truth=False)
    arguments = (
        "--predictions",
        str(tmp_path / "us"),
        "--ground-truth",
        str(tmp_path / "gt"),
        "--quiet",
        "--jobs",
        "1",
    )
    output = tmp_path / "out"
    assert run_command(score_command, *arguments, "--output", str(output), "--no-plots") == 1
    assert "video clip002: has no file" in capsys.readouterr().out
    values = read_json(output / "results.json")
    assert (values["boxes.TP"], values["boxes.FN"]) == (LENGTH, LENGTH)


def test_results_of_the_package_and_masks_in_other_forms(tmp_path: Path) -> None:
    truth, results = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL)]], [[]])
    info = videos(1, LENGTH)[0]
    record = result_record(track(1, 1, STILL), info)
    plain = RleMask(HEIGHT, WIDTH, encode(block(10, 10, 20, 16))["counts"]).runs().tolist()
    record["segmentations"] = [{"size": [HEIGHT, WIDTH], "counts": plain}] * LENGTH
    record["amodal_segmentations"] = [[[10, 10, 30, 10, 30, 26, 10, 26]]] * LENGTH
    write_json(results, [record])
    values = score(truth, results)
    assert values["visible.AP"] == pytest.approx(1)
    assert values["amodal.AP50"] == pytest.approx(1)


def test_score_writes_results_tables_and_plots(tmp_path: Path, capsys: Any) -> None:
    truth = track(1, 1, STILL, occluder=covered(range(2, 6), (10, 10, 12, 16)))
    found = [track(1, 1, [*STILL[:4], *[None] * 4]), track(2, 1, [*[None] * 4, *STILL[4:]], score=0.5)]
    files = write_files(tmp_path, videos(1, LENGTH), [[truth, track(2, 2, AWAY)]], [found])
    output = tmp_path / "out"
    arguments = ("--predictions", str(files[1]), "--ground-truth", str(files[0]), "--output", str(output))
    assert run_command(score_command, *arguments, "--quiet", "--jobs", "1") == 0
    values = read_json(output / "results.json")
    stable = ("amodal.AP", "amodal.AP50", "amodal.AP75", "amodal.AR", "visible.AP", "boxes.HOTA", "boxes.DetA")
    stable += ("boxes.AssA", "boxes.IDF1", "boxes.IDs", "boxes.MOTA", "visible_boxes.IDs", "hidden.IoU")
    stable += ("occluded.low.amodal.AP", "occluded.high.boxes.IDF1", "survival.all.survived", "classes.cat.amodal.AP")
    assert all(key in values for key in stable)
    assert values["boxes.IDs"] == 1
    provenance = values["provenance"]
    assert len(provenance["hashes"]["data"]) == 64
    assert provenance["machine"]["cores"]
    assert provenance["command"].startswith("a2vis")
    text = (output / "results.md").read_text()
    assert "paper Table 1" in text
    assert "paper Table 9" in text
    assert text.strip() in capsys.readouterr().out
    pictures = {file.name for file in (output / "plots").glob("*.png")}
    expected = {"hota_boxes.png", "occlusion.png", "precision_recall_amodal.png", "timeline_00001_clip001.png"}
    assert expected | {"worst_01_00001_clip001.png"} <= pictures


def test_a_baseline_that_is_better_is_said_to_be() -> None:
    ours = {"name": "a2vis", "boxes.HOTA": 0.5, "boxes.IDs": 7, "amodal.AP": 0.4}
    other = {"name": "sort", "boxes.HOTA": 0.4, "boxes.IDs": 3, "amodal.AP": None}
    text = markdown([ours, other])
    assert "### Where another is better than a2vis\n\n- boxes.IDs: sort 3, a2vis 7" in text
    assert "| a2vis | **40.00** | **50.00** | 7 |" in text
    assert "| sort | – | 40.00 | **3** |" in text
    assert "No other row is better" in markdown([{**ours, "boxes.IDs": 1}, other])
