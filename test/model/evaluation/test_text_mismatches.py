"""MOT and MOTS text of another numbering, size or length than the ground truth: refused or named, never a silent 0."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluation_data import HEIGHT, WIDTH, read_json, run_command, score, track, videos
from evaluation_masks import AWAY, LENGTH, STILL

from a2vis_model.commands import score as score_command
from a2vis_model.data import DataError
from a2vis_model.evaluation import TrackRecord
from a2vis_model.evaluation.mot_text import write_mot, write_mots
from a2vis_model.masks.coco import decode, encode

Change = Callable[[list[str]], list[str]]
INFO = videos(1, LENGTH)[0]


def perfect(folder: Path, *, masks: bool, change: Change = lambda row: row) -> tuple[Path, Path]:
    """Text of one object and of a perfect copy, each of whose rows is changed."""
    tracks = [track(7, 2, STILL)]
    for name, truth in (("gt", True), ("us", False)):
        if masks:
            write_mots(folder / name, INFO, tracks, ground_truth=truth)
        else:
            write_mot(folder / name, INFO, tracks, "amodal", ground_truth=truth)
    separator = " " if masks else ","
    file = folder / "us" / f"{INFO.name}.txt"
    rows = [separator.join(change(line.split(separator))) for line in file.read_text().splitlines()]
    file.write_text("".join(f"{row}\n" for row in rows))
    return folder / "gt", folder / "us"


def numbered(column: int, step: int) -> Change:
    return lambda row: [*row[:column], str(int(row[column]) + step), *row[column + 1 :]]


def printed(capsys: pytest.CaptureFixture[str], truth: Path, found: Path, kind: str, *more: str) -> tuple[int, str]:
    files = ("--predictions", str(found), "--ground-truth", str(truth))
    status = run_command(score_command, *files, "--format", kind, "--quiet", "--jobs", "1", *more)
    return status, capsys.readouterr().out


@pytest.mark.parametrize("class_id", [12, 0, 1, 10, -1])
def test_mots_classes_that_the_truth_does_not_have_are_refused(tmp_path: Path, class_id: int) -> None:
    truth, found = perfect(tmp_path, masks=True, change=numbered(2, class_id - 2))
    words = (
        "line 1: class 10 is the ground truth's for regions"
        if class_id == 10
        else rf"{INFO.name}\.txt: line 1: class {class_id} is not among the ground truth's, 2 \(pedestrian\); write"
    )
    with pytest.raises(DataError, match=words):
        score(truth, found, format="mots")


def test_a_class_of_one_line_is_refused_by_its_line(tmp_path: Path) -> None:
    truth, found = perfect(tmp_path, masks=True)
    file = found / f"{INFO.name}.txt"
    file.write_text(file.read_text() + file.read_text().splitlines()[0].replace(" 7 2 ", " 8 5 ") + "\n")
    with pytest.raises(DataError, match=r"line 9: class 5 is not among"):
        score(truth, found, format="mots")


def test_a_class_that_may_occur_is_scored(tmp_path: Path) -> None:
    """The truth's classes are all those of the data set, as `evaluate --export mots` states them."""
    truth, found = perfect(tmp_path, masks=True)
    write_mots(truth, INFO, [track(7, 2, STILL)], ground_truth=True, classes=(1, 2, 10))
    write_mots(found, INFO, [track(7, 2, STILL), track(8, 10, AWAY)], ground_truth=False)
    values = score(truth, found, format="mots", tracking_classes="pool")
    assert (values["masks.TP"], values["masks.FP"]) == (LENGTH, LENGTH)


def resized(tracks: list[TrackRecord], times: int) -> list[TrackRecord]:
    return [
        TrackRecord(
            t.track_id,
            t.class_id,
            visible=[encode(np.kron(decode(m), np.ones((times, times), np.bool_))) for m in t.visible or () if m],
        )
        for t in tracks
    ]


@pytest.mark.parametrize("stated", [True, False])
def test_masks_of_another_size_are_refused(tmp_path: Path, stated: bool) -> None:
    truth, found = perfect(tmp_path, masks=True)
    if not stated:
        (truth / INFO.name / "seqinfo.ini").unlink()
    write_mots(found, INFO, resized([track(7, 2, STILL)], 2), ground_truth=False)
    words = rf"{INFO.name}\.txt: line 1: a mask of {2 * WIDTH}x{2 * HEIGHT} pixels.*are of {WIDTH}x{HEIGHT}; write"
    with pytest.raises(DataError, match=words):
        score(truth, found, format="mots")


@pytest.mark.parametrize("side", ["gt", "us"])
def test_one_mask_of_another_size_is_named_and_left_out(
    tmp_path: Path, side: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, found = perfect(tmp_path, masks=True)
    file = truth / INFO.name / "gt" / "gt.txt" if side == "gt" else found / f"{INFO.name}.txt"
    other = encode(np.ones((5, 6), np.bool_))["counts"].decode()
    file.write_text(file.read_text().replace(f"8 7 2 {HEIGHT} {WIDTH} ", f"8 7 2 5 6 {other} "))
    status, text = printed(capsys, truth, found, "mots")
    assert status == 1
    whose = "the file's other masks" if side == "gt" else "the ground truth's masks"
    assert f"line 8: a mask of size 6x5; {whose} have {WIDTH}x{HEIGHT}" in text


@pytest.mark.parametrize("masks", [True, False])
def test_frames_numbered_from_0_are_refused(tmp_path: Path, masks: bool) -> None:
    truth, found = perfect(tmp_path, masks=masks, change=numbered(0, -1))
    with pytest.raises(DataError, match=r"line 1: frame is 0, and the ground truth's first is 1; add 1 to every"):
        score(truth, found, format="mots" if masks else "mot")


@pytest.mark.parametrize("masks", [True, False])
def test_results_that_go_on_behind_the_truth_are_named_where_its_length_is_not_known(
    tmp_path: Path, masks: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = "mots" if masks else "mot"
    truth, found = perfect(tmp_path, masks=masks, change=lambda row: numbered(0, int(row[0]) - 1)(row))
    status, text = printed(capsys, truth, found, kind)
    assert status == 1
    assert f"line 5: frame is 9, not 1 to {LENGTH}" in text
    (truth / INFO.name / "seqinfo.ini").unlink()
    status, text = printed(capsys, truth, found, kind)
    assert status == 1
    assert f"{INFO.name}.txt: line 8: frame is 15, and the ground truth's last object is in frame {LENGTH}" in text
    assert f"state seqLength in {INFO.name}/seqinfo.ini" in text


def test_results_that_end_before_the_truth_are_nothing_to_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, found = perfect(tmp_path, masks=False)
    (truth / INFO.name / "seqinfo.ini").unlink()
    file = found / f"{INFO.name}.txt"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:5]))
    status, text = printed(capsys, truth, found, "mot", "--output", str(tmp_path / "out"), "--no-plots")
    assert (status, "problem" in text) == (0, False)
    assert read_json(tmp_path / "out" / "results.json")["boxes.FN"] == LENGTH - 5


def test_results_of_other_videos_are_refused(tmp_path: Path) -> None:
    truth, found = perfect(tmp_path, masks=False)
    (found / f"{INFO.name}.txt").rename(found / "other.txt")
    with pytest.raises(DataError, match=rf"files: hold other, and the ground truth {INFO.name}; name each file after"):
        score(truth, found)
