"""Results that are numbered otherwise than the truth, or are of other videos: mapped by name, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation_data import HEIGHT, WIDTH, Box, read_json, run_command, score, track, videos, write_files
from evaluation_data import write_json as write

from a2vis_model.commands import score as score_command
from a2vis_model.data import DataError, ProblemLog
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import ScoreSettings, open_comparison, score_videos

LENGTH = 8
STILL: list[Box | None] = [(4.0, 4.0, 12.0, 12.0)] * LENGTH
AWAY: list[Box | None] = [(30.0, 20.0, 12.0, 12.0)] * LENGTH


def perfect(folder: Path, count: int = 1) -> tuple[Path, Path]:
    """A cat and a dog a video, and results that are right."""
    tracks = [[track(1, 1, STILL), track(2, 2, AWAY)] for _ in range(count)]
    return write_files(folder, videos(count, LENGTH), tracks, tracks)


def renumbered(path: Path, key: str, step: int, names: dict[int, str] | None = None) -> None:
    """Add to an id of every result, and give its category a name."""
    results = read_json(path)
    for result in results:
        if names is not None:
            result["category_name"] = names[result["category_id"]]
        result[key] += step
    write(path, results)


@pytest.mark.parametrize("step", [-1, 1, 10])
def test_categories_are_matched_by_name(tmp_path: Path, step: int) -> None:
    truth, results = perfect(tmp_path)
    renumbered(results, "category_id", step, {1: "cat", 2: "dog"})
    values = score(truth, results)
    assert values["visible.AP"] == pytest.approx(1)
    assert values["boxes.HOTA"] == pytest.approx(1)


def test_categories_are_matched_by_the_names_in_a_results_file(tmp_path: Path) -> None:
    truth, results = perfect(tmp_path)
    renumbered(results, "category_id", 10)
    categories = [{"id": 11, "name": "cat"}, {"id": 12, "name": "dog"}]
    write(results, {"annotations": read_json(results), "categories": categories})
    assert score(truth, results)["visible.AP"] == pytest.approx(1)


@pytest.mark.parametrize("step", [-1, 10])
def test_categories_of_unknown_ids_are_refused(tmp_path: Path, step: int) -> None:
    truth, results = perfect(tmp_path)
    renumbered(results, "category_id", step)
    with pytest.raises(
        DataError, match=rf"category_id {1 + step} is not among the ground truth's, 1 \(cat\), 2 \(dog\)"
    ):
        score(truth, results)


def test_a_class_that_the_truth_does_not_have_is_named_and_left_out(tmp_path: Path) -> None:
    truth, results = perfect(tmp_path)
    extra = {**read_json(results)[0], "category_id": 9, "category_name": "shark", "track_id": 9}
    write(results, [*read_json(results), extra, {**extra, "track_id": 10}])
    problems = ProblemLog()
    comparison = open_comparison(truth, results, None, ScoreSettings(), problems)
    score_videos(comparison, ScoreSettings(), problems, quiet=True)
    assert [problem.message.partition(",")[0] for problem in problems] == [
        "category 'shark' is not among the ground truth's"
    ]


@pytest.mark.parametrize("step", [-1, 7])
def test_videos_of_unknown_ids_are_refused(tmp_path: Path, step: int) -> None:
    truth, results = perfect(tmp_path, 3)
    renumbered(results, "video_id", step)
    with pytest.raises(DataError, match=rf"video_ids: are {1 + step}, .* and 1, 2, 3, .* in the ground truth"):
        score(truth, results)


@pytest.mark.parametrize(
    ("first", "step", "empty"),
    [
        (1, -1, 2),
        (1, -1, 3),
        (1, -1, None),
        (0, 1, 0),
        (0, 1, 1),
        (0, 1, None),
        (5, -1, None),
        (5, 1, None),
    ],
)
def test_videos_numbered_by_one_less_or_more_are_refused(
    tmp_path: Path, first: int, step: int, empty: int | None
) -> None:
    """Also where a video other than the one whose ID tells has no result."""
    truth, results = perfect(tmp_path, 3)
    document = read_json(truth)
    for record in (*document["videos"], *document["annotations"]):
        key = "video_id" if "video_id" in record else "id"
        record[key] += first - 1
    write(truth, document)
    renumbered(results, "video_id", first - 1)
    write(results, [result for result in read_json(results) if result["video_id"] != empty])
    renumbered(results, "video_id", step)
    with pytest.raises(DataError, match=r"video_ids: are .* in the ground truth"):
        score(truth, results)


def test_results_without_the_first_video_or_with_another_are_not_shifted(tmp_path: Path) -> None:
    truth, results = perfect(tmp_path, 3)
    whole = read_json(results)
    write(results, [result for result in whole if result["video_id"] != 1])
    assert score(truth, results)["visible.AP"] == pytest.approx(2 / 3, abs=0.01)
    write(results, [*whole, {**whole[0], "video_id": 4}])
    with pytest.raises(DataError, match="result 6: video_id 4 is not in the ground truth"):
        score(truth, results)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"length": LENGTH + 1}, f"have {LENGTH} frames"),
        ({"height": HEIGHT + 1}, f"frames of {WIDTH}x{HEIGHT} in video 1"),
    ],
)
def test_results_of_other_videos_are_refused(tmp_path: Path, change: dict[str, int], words: str) -> None:
    truth, results = perfect(tmp_path)
    document = read_json(truth)
    for video in document["videos"]:
        del video["file_names"]
        video.update(change)
    document["annotations"] = []
    write(truth, document)
    with pytest.raises(DataError, match=words):
        score(truth, results)


def test_problems_are_named_before_an_error(tmp_path: Path, capsys: Any) -> None:
    truth, results = perfect(tmp_path)
    document = read_json(truth)
    document["annotations"][0]["video_id"] = "one"
    write(truth, document)
    renumbered(results, "category_id", 10)
    with pytest.raises(A2VISError, match="category_id 11"):
        run_command(
            score_command, "--predictions", str(results), "--ground-truth", str(truth), "--quiet", "--jobs", "1"
        )
    assert "problem: " in (printed := capsys.readouterr().out)
    assert "annotation 101: video_id is 'one', not int" in printed


def test_files_that_begin_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    for path in perfect(tmp_path):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert score(tmp_path / "truth.json", tmp_path / "results.json")["visible.AP"] == pytest.approx(1)
    for folder in ("gt", "found"):
        (tmp_path / folder).mkdir()
        text = "\ufeff1,1,4,4,12,12,1,1,1\n2,1,4,4,12,12,1,1,1\n"
        (tmp_path / folder / "clip.txt").write_text(text, "utf-8")
        (tmp_path / folder / "._clip.txt").write_bytes(b"of macOS")
    assert score(tmp_path / "gt", tmp_path / "found")["boxes.HOTA"] == pytest.approx(1)


@pytest.mark.parametrize("box", ["4,4,-12,12", "4,4,12,0"])
def test_a_box_without_an_inside_is_named(tmp_path: Path, box: str) -> None:
    for folder, line in (("gt", "1,1,4,4,12,12,1,1,1"), ("found", f"1,1,{box},1,1,1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clip.txt").write_text(line + "\n")
    with pytest.raises(DataError, match=r"clip\.txt: line 1: a box of .* both sides are more than 0"):
        score(tmp_path / "gt", tmp_path / "found")


def test_null_stands_for_no_annotations(tmp_path: Path) -> None:
    truth, results = perfect(tmp_path)
    write(truth, {**read_json(truth), "annotations": None})
    with pytest.raises(DataError, match="annotations: have no mask in any frame"):
        score(truth, results)


@pytest.mark.parametrize("polygons", [[], [[]], [[4, 4, 16, 4, 16, 16], []]])
def test_an_empty_ring_costs_one_frames_mask(tmp_path: Path, polygons: list[Any]) -> None:
    truth, results = perfect(tmp_path)
    found = read_json(results)
    found[0]["segmentations"][3] = polygons
    write(results, found)
    problems = ProblemLog()
    comparison = open_comparison(truth, results, None, ScoreSettings(), problems)
    comparison.ranked.problems = problems
    first = comparison.ranked.read(comparison.videos[0]).tracks[0]
    assert [mask is None for mask in first.visible or ()] == [t == 3 for t in range(LENGTH)]
    assert [problem.message.partition(":")[0] for problem in problems] == ["visible mask of frame 3"]
