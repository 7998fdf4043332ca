"""Evaluation apart from parity: the split, the hidden part, the lives of IDs, files, and settings."""

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
    random_video,
    read_json,
    run_command,
    score,
    track,
    videos,
    write_files,
)
from pycocotools import mask as coco_mask

from a2vis_model.commands import score as score_command
from a2vis_model.data.problems import DataError, ProblemLog, RecordError
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import ScoreSettings, TrackRecord, open_comparison, score_videos
from a2vis_model.evaluation.box_tracking import count_tracking, match_timeline, tracking_values
from a2vis_model.evaluation.id_survival import Episode, episodes, survival
from a2vis_model.evaluation.json_records import scan_records
from a2vis_model.evaluation.mot_text import write_mot, write_mots
from a2vis_model.evaluation.occlusion import occlusion_of, outside, start_when_seen
from a2vis_model.evaluation.overlaps import compare_boxes, compare_masks
from a2vis_model.evaluation.report import markdown
from a2vis_model.evaluation.youtube_vis import result_record, write_json
from a2vis_model.masks.coco import RleMask, decode, encode, first_broken

LENGTH = 8
STILL: list[Any] = [(10, 10, 20, 16)] * LENGTH
AWAY: list[Any] = [(40, 30, 10, 10)] * LENGTH


def covered(frames: range, box: Any = (10, 10, 20, 16)) -> list[Any]:
    return [box if t in frames else None for t in range(LENGTH)]


# --- overlaps ---------------------------------------------------------------------------------------------------


def test_tube_iou_is_common_over_either_in_all_frames() -> None:
    rng = np.random.default_rng(1)
    objects = [
        [encode(rng.random((HEIGHT, WIDTH)) < 0.3) if rng.random() < 0.7 else None for _ in range(5)] for _ in range(3)
    ]
    found = [
        [encode(rng.random((HEIGHT, WIDTH)) < 0.3) if rng.random() < 0.7 else None for _ in range(5)] for _ in range(4)
    ]

    def tube(masks: list[Any]) -> Any:
        return np.stack([np.zeros((HEIGHT, WIDTH), bool) if m is None else decode(m) for m in masks])

    overlap = compare_masks(objects, found, 5)
    for g, wanted in enumerate(map(tube, objects)):
        for p, guess in enumerate(map(tube, found)):
            assert overlap.tube_iou[p, g] == (wanted & guess).sum() / (wanted | guess).sum()


def test_empty_masks_have_no_overlap_and_no_box() -> None:
    empty = encode(np.zeros((HEIGHT, WIDTH), bool))
    overlap = compare_masks([[empty]], [[empty]], 1)
    assert overlap.tube_iou.tolist() == [[0]]
    assert overlap.frames[0].iou.tolist() == [[0]]


# --- the split by occlusion ----------------------------------------------------------------------------------------


def test_occlusion_begins_when_an_object_is_first_seen() -> None:
    hidden_first = track(1, 1, STILL, occluder=[(10, 10, 20, 16)] * 2 + [(10, 10, 5, 16)] * 2 + [None] * 4)
    expected = [np.nan, np.nan, 0.25, 0.25, 0, 0, 0, 0]
    np.testing.assert_allclose(occlusion_of(hidden_first), expected)
    started = start_when_seen(hidden_first)
    assert started.amodal is not None
    assert [mask is None for mask in started.amodal] == [True, True] + [False] * 6


@pytest.mark.parametrize(("by", "high"), [("peak", [False, True, True]), ("mean", [False, False, True])])
def test_split_by_greatest_or_mean_occlusion(by: Any, high: list[bool]) -> None:
    levels: list[Any] = [np.array([0.0, 0.5]), np.array([0.1, 0.6]), np.array([np.nan, 0.9]), None]
    assert outside("high", levels, 0.5, by).tolist() == [*(not h for h in high), True]
    assert outside("low", levels, 0.5, by).tolist() == [*high, True]
    assert not outside("all", levels, 0.5, by).any()


def test_split_ignores_the_other_objects_and_what_follows_them(tmp_path: Path) -> None:
    open_, hidden = track(1, 1, STILL), track(2, 1, AWAY, occluder=covered(range(3, 5), (40, 30, 9, 10)))
    split = track(3, 1, [*STILL[:4], *[None] * 4]), track(4, 1, [*[None] * 4, *STILL[4:]])
    truth, results = write_files(tmp_path, videos(1, LENGTH), [[open_, hidden]], [[*split, track(2, 1, AWAY)]])
    values = score(truth, results, recall_tracks=10)
    assert values["occluded.low.objects"] == values["occluded.high.objects"] == 1
    # The switch is on the object that is never hidden.
    assert (values["boxes.IDs"], values["occluded.low.boxes.IDs"], values["occluded.high.boxes.IDs"]) == (1, 1, 0)
    # Its predictions stay right ones where the other is scored: they count for nothing.
    assert values["occluded.high.boxes.MOTA"] == values["occluded.high.boxes.HOTA"] == 1
    assert values["occluded.high.boxes.FP"] == 0
    assert values["occluded.high.amodal.AR"] == 1


# --- the hidden part -------------------------------------------------------------------------------------------------


def hidden_values(tmp_path: Path, prediction: TrackRecord, **options: Any) -> dict[str, Any]:
    truth = track(1, 1, STILL, occluder=covered(range(2, 6), (10, 10, 10, 16)))
    files = write_files(tmp_path, videos(1, LENGTH), [[truth]], [[prediction]])
    values = score(*files, **options)
    return {key.removeprefix("hidden."): value for key, value in values.items() if key.startswith("hidden.")}


def test_hidden_part_of_a_perfect_prediction(tmp_path: Path) -> None:
    values = hidden_values(tmp_path, track(1, 1, STILL))
    assert values == {"IoU": 1, "pixel_IoU": 1, "found": 1, "object_frames": 4}


def test_visible_masks_passed_off_as_amodal_get_nothing(tmp_path: Path) -> None:
    seen = track(1, 1, STILL, occluder=covered(range(2, 6), (10, 10, 10, 16)))
    values = hidden_values(tmp_path, TrackRecord(1, 1, visible=seen.visible, amodal=seen.visible))
    assert values == {"IoU": 0, "pixel_IoU": 0, "found": 1, "object_frames": 4}


def test_hidden_part_is_scored_pixel_by_pixel(tmp_path: Path) -> None:
    # Hidden are columns 10 to 19; the guess reaches columns 15 to 34: 5 right, 5 missed, and 5 beyond the object.
    values = hidden_values(tmp_path, track(1, 1, [(15, 10, 20, 16)] * LENGTH))
    assert values["IoU"] == pytest.approx(5 / 15)
    assert values["pixel_IoU"] == pytest.approx(5 / 15)


def test_hidden_part_without_prediction_and_below_the_least_size(tmp_path: Path) -> None:
    assert hidden_values(tmp_path, track(1, 1, AWAY))["found"] == 0
    assert hidden_values(tmp_path, track(1, 1, STILL), hidden_pixels=161)["object_frames"] == 0
    assert hidden_values(tmp_path, track(1, 1, STILL), hidden_pixels=160)["object_frames"] == 4


# --- the lives of IDs -----------------------------------------------------------------------------------------------


def test_an_id_survives_or_not() -> None:
    occlusion = np.array([0, 0.9, 0.9, 0, 0, 0.9, 0, 0.6, 0.9, 0.9, np.nan, 0, 0.9])
    timeline = np.array([1, 1, -1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3])
    # The third ends with the object out of the frame and the fourth with the video: nobody can tell.
    assert episodes(occlusion, timeline, 0.5) == [Episode(2, 1, True), Episode(1, 1, False)]
    assert episodes(occlusion, np.full(13, -1), 0.5) == []


def test_an_object_that_nothing_follows_afterwards_lost_its_id() -> None:
    assert episodes(np.array([0, 0.9, 0, 0]), np.array([4, -1, -1, -1]), 0.5) == [Episode(1, 0, False)]


def test_survival_by_length() -> None:
    values = survival([Episode(2, 1, True), Episode(4, 0, False), Episode(7, 7, True), Episode(60, 0, False)])
    assert (values["1-4.episodes"], values["1-4.survived"], values["1-4.followed"]) == (2, 0.5, 1 / 6)
    assert (values["5-9.survived"], values["10-19.survived"], values["50+.survived"]) == (1, None, 0)
    assert (values["all.episodes"], values["longest"]) == (4, 7)


def test_switches_on_the_timeline_are_those_that_trackeval_counts() -> None:
    rng = np.random.default_rng(4)
    switches = 0
    for _ in range(20):
        objects, found = random_video(rng, 12)
        boxes = [[np.asarray(boxes_of(t)) for t in side] for side in (objects, found)]
        frames = compare_boxes(boxes[0], boxes[1], 12)
        line = match_timeline(frames, len(objects))
        own = sum(int((np.diff(ids[ids >= 0]) != 0).sum()) for ids in line)
        everything = np.ones(len(objects), bool), np.ones(len(found), bool)
        counts = count_tracking(frames, *everything, np.zeros((len(objects), 12), np.int8))
        assert own == tracking_values(counts)["IDs"]
        switches += own
    assert switches


def boxes_of(made: TrackRecord) -> list[Any]:
    empty = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    boxes = [coco_mask.toBbox(coco_mask.encode(empty) if m is None else m) for m in made.amodal or ()]
    return [box if box[2] else [np.nan] * 4 for box in boxes]


# --- classes, scores and output modes ----------------------------------------------------------------------------


def test_classes_together_averaged_or_pooled(tmp_path: Path) -> None:
    wrong = track(1, 2, STILL), track(2, 2, AWAY)
    files = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL), track(2, 2, AWAY)]], [[*wrong]])
    assert score(*files)["boxes.MOTA"] == 1
    assert score(*files, tracking_classes="pooled")["boxes.MOTA"] == 0  # of two objects one found, and one too many
    assert score(*files, tracking_classes="averaged")["boxes.HOTA"] < 0.51
    assert score(*files, classes=("cat",))["boxes.TP"] == 0
    with pytest.raises(DataError, match="have no bird; there are cat, dog"):
        score(*files, classes=("bird",))


def test_weak_tracks_count_for_average_precision_alone(tmp_path: Path) -> None:
    found = [track(1, 1, STILL, score=0.9), track(2, 1, AWAY, score=0.1)]
    files = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL), track(2, 1, AWAY)]], [found])
    values = score(*files, tracking_score=0.5, recall_tracks=2)
    assert (values["boxes.FN"], values["amodal.AR"], values["amodal.AR1"]) == (LENGTH, 1, 0.5)


def test_amodal_masks_are_ranked_by_their_own_score(tmp_path: Path) -> None:
    good, bad = track(1, 1, STILL, score=0.2), track(2, 1, AWAY, score=0.8)
    good.amodal_score, bad.amodal_score = 0.9, 0.1
    values = score(*write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL)]], [[good, bad]]))
    assert values["amodal.AP"] == pytest.approx(1)
    assert values["visible.AP"] == pytest.approx(0.5)


def test_other_tracks_for_box_tracking(tmp_path: Path) -> None:
    truth, ranked = write_files(tmp_path, videos(1, LENGTH), [[track(1, 1, STILL)]], [[track(1, 1, STILL)]])
    write_json(tmp_path / "tracks.json", [])
    values = score(truth, ranked, tmp_path / "tracks.json")
    assert (values["amodal.AP"], values["boxes.FN"]) == (pytest.approx(1), LENGTH)


def test_processes_do_not_change_the_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    sides = [random_video(rng, 10) for _ in range(3)]
    files = write_files(tmp_path, videos(3), [side[0] for side in sides], [side[1] for side in sides])
    assert score(*files) == score(*files, jobs=2)


@pytest.mark.parametrize(
    ("name", "value"), [("split_at", 1.5), ("tracking_score", -1), ("recall_tracks", 0), ("hidden_pixels", 0)]
)
def test_settings_out_of_range(name: str, value: float) -> None:
    with pytest.raises(A2VISError, match=f"{name}={value}"):
        ScoreSettings(**{name: value})


# --- files -----------------------------------------------------------------------------------------------------------


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


# --- reports --------------------------------------------------------------------------------------------------------


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
