"""Our numbers are TrackEval's, computed by its own data sets from the same files."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trackeval
from evaluation_data import CATEGORIES, random_video, read_json, score, track, videos, write_files

from a2vis_model.data.problems import DataError
from a2vis_model.evaluation import TrackRecord, VideoInfo
from a2vis_model.evaluation.mot_text import write_mot, write_mots
from a2vis_model.evaluation.youtube_vis import write_json
from a2vis_model.masks.coco import RleMask

TOLERANCE = 1e-6
QUIET = {
    "PRINT_RESULTS": False,
    "PRINT_CONFIG": False,
    "TIME_PROGRESS": False,
    "OUTPUT_SUMMARY": False,
    "OUTPUT_DETAILED": False,
    "PLOT_CURVES": False,
    "LOG_ON_ERROR": None,
}


def _evaluate(dataset: Any, metrics: list[Any]) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        results, messages = trackeval.Evaluator(QUIET).evaluate([dataset], metrics)
    name = dataset.get_name()
    assert messages[name]["us"] == "Success"
    combined: dict[str, Any] = results[name]["us"]["COMBINED_SEQ"]
    return combined


def trackeval_youtube_vis(folder: Path, truth: Path, results: Path, key: str, max_tracks: int) -> dict[str, Any]:
    """TrackEval's values for the masks under `key`, laid out in the folders that it asks for."""
    document, predictions = read_json(truth), read_json(results)
    for record in [*document["annotations"], *predictions]:
        record["segmentations"] = record[key]
    for record in document["annotations"]:
        record["areas"] = record["areas" if key == "segmentations" else "amodal_areas"]
        for mask in filter(None, record["segmentations"]):
            # TrackEval reads plain run lengths in the ground truth, and compressed ones in results.
            mask["counts"] = RleMask(*mask["size"], mask["counts"].encode()).runs().tolist()
    write_json(folder / "gt" / "youtube_vis_all" / "truth.json", document)
    write_json(folder / "trackers" / "youtube_vis_all" / "us" / "data" / "results.json", predictions)
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.YouTubeVIS(
            {
                "GT_FOLDER": f"{folder}/gt/",
                "TRACKERS_FOLDER": f"{folder}/trackers/",
                "SPLIT_TO_EVAL": "all",
                "PRINT_CONFIG": False,
            }
        )
        # It numbers predictions from 0, and takes an object matched by number 0 for a free one.
        dataset.global_tid_counter = 1
        config = {"USE_AREA_RANGES": False, "USE_TIME_RANGES": False, "PRINT_CONFIG": False}
        metric = trackeval.metrics.TrackMAP({**config, "MAX_DETECTIONS": max_tracks})
    return _evaluate(dataset, [metric])


def trackeval_mot(folder: Path, infos: list[VideoInfo], benchmark: str, *, masks: bool = False) -> dict[str, float]:
    kind = trackeval.datasets.MOTSChallenge if masks else trackeval.datasets.MotChallenge2DBox
    config = {
        "GT_FOLDER": str(folder / "gt"),
        "TRACKERS_FOLDER": str(folder),
        "TRACKERS_TO_EVAL": ["us"],
        "TRACKER_SUB_FOLDER": "",
        "SKIP_SPLIT_FOL": True,
        "SEQ_INFO": {info.name: info.length for info in infos},
        "PRINT_CONFIG": False,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = kind(config if masks else {**config, "BENCHMARK": benchmark})
        metrics = [
            trackeval.metrics.HOTA(),
            trackeval.metrics.CLEAR({"PRINT_CONFIG": False}),
            trackeval.metrics.Identity({"PRINT_CONFIG": False}),
        ]
    values = _evaluate(dataset, metrics)["pedestrian"]
    hota, clear = values["HOTA"], values["CLEAR"]
    return {
        **{name: float(hota[name].mean()) for name in ("HOTA", "DetA", "AssA", "LocA")},
        "IDF1": values["Identity"]["IDF1"],
        "IDs": clear["IDSW"],
        "MOTA": clear["MOTA"],
        "sMOTA": clear["sMOTA"],
        "TP": clear["CLR_TP"],
        "FP": clear["CLR_FP"],
        "FN": clear["CLR_FN"],
        "fragments": clear["Frag"],
    }


def hand_made() -> dict[str, tuple[list[VideoInfo], list[list[TrackRecord]], list[list[TrackRecord]]]]:
    length = 6
    still = [(10.0, 10.0, 20.0, 15.0)] * length
    moved = [(14.0, 10.0, 20.0, 15.0)] * length
    one = [None, None, (10.0, 10.0, 20.0, 15.0), None, None, None]
    halves = [[*still[:3], None, None, None], [None, None, None, *still[3:]]]
    thing, other = track(1, 1, still), track(2, 1, moved)
    infos = videos(2, length)
    return {
        "empty video": (infos, [[thing], []], [[thing], []]),
        "no prediction": (infos, [[thing], [other]], [[], []]),
        "nothing to find": (infos, [[thing], []], [[], [other]]),
        "perfect": (infos, [[thing], [other]], [[thing], [other]]),
        "one-frame tracks": (infos, [[track(1, 1, one)], [thing]], [[track(1, 1, one)], [track(1, 1, one)]]),
        "switch": (infos, [[thing], []], [[track(1, 1, halves[0]), track(2, 1, halves[1])], []]),
        "doubled": (infos, [[thing], []], [[track(1, 1, still, score=0.5), track(2, 1, moved, score=0.9)], []]),
        "tied scores": (infos, [[thing], [other]], [[track(1, 1, moved), track(2, 1, still)], [other]]),
        "crowd": (infos, [[track(1, 1, still, crowd=True), track(2, 2, moved)], []], [[thing], []]),
        "wrong class": (infos, [[thing], []], [[track(1, 2, still)], []]),
    }


def random_case(
    seed: int, *, crowds: bool = False
) -> tuple[list[VideoInfo], list[list[TrackRecord]], list[list[TrackRecord]]]:
    rng = np.random.default_rng(seed)
    infos = videos(4)
    sides = [random_video(rng, info.length, crowds=crowds) for info in infos]
    return infos, [objects for objects, _ in sides], [found for _, found in sides]


def cases() -> list[Any]:
    made = [pytest.param(case, id=name) for name, case in hand_made().items()]
    return made + [pytest.param(random_case(seed, crowds=seed % 2 == 0), id=f"random {seed}") for seed in range(6)]


@pytest.mark.parametrize(("kind", "key"), [("visible", "segmentations"), ("amodal", "amodal_segmentations")])
@pytest.mark.parametrize("case", cases())
def test_average_precision_is_trackevals(tmp_path: Path, case: Any, kind: str, key: str) -> None:
    truth, results = write_files(tmp_path, *case)
    ours = score(truth, results, amodal_truth="full", recall_tracks=2, max_tracks=0)
    theirs = trackeval_youtube_vis(tmp_path / "all", truth, results, key, 0)
    limited = trackeval_youtube_vis(tmp_path / "two", truth, results, key, 2)
    names = {"cls_comb_cls_av": "", **{name: f"classes.{name}." for name in CATEGORIES.values()}}
    for name, prefix in names.items():
        expected = {
            "AP": theirs[name]["TrackMAP"]["AP_all"].mean(),
            "AP50": theirs[name]["TrackMAP"]["AP_all"][0],
            "AP75": theirs[name]["TrackMAP"]["AP_all"][5],
            "AR": limited[name]["TrackMAP"]["AR_all"].mean(),
        }
        for value, number in expected.items():
            own = ours[f"{prefix}{kind}.{value}"]
            assert (-1 if own is None else own) == pytest.approx(number, abs=TOLERANCE), (name, value)


def _write_text(folder: Path, case: Any, *, masks: bool) -> None:
    for info, objects, found in zip(*case, strict=True):
        if masks:
            for tracks, place, truth in ((objects, folder / "gt", True), (found, folder / "us", False)):
                write_mots(place, info, [_pedestrian(t) for t in tracks], ground_truth=truth)
        else:
            write_mot(folder / "gt", info, objects, "amodal", ground_truth=True)
            write_mot(folder / "us", info, found, "amodal", ground_truth=False)


def _pedestrian(made: TrackRecord) -> TrackRecord:
    return TrackRecord(**{**vars(made), "class_id": 2})


@pytest.mark.parametrize("case", cases())
def test_box_tracking_is_trackevals_mot_challenge(tmp_path: Path, case: Any) -> None:
    _write_text(tmp_path, case, masks=False)
    ours = score(tmp_path / "gt", tmp_path / "us")
    theirs = trackeval_mot(tmp_path, case[0], "MOT17")
    for name, number in theirs.items():
        assert ours[f"boxes.{name}"] == pytest.approx(number, abs=TOLERANCE), name


@pytest.mark.parametrize("benchmark", ["MOT15", "MOT16", "MOT17", "MOT20"])
@pytest.mark.parametrize("seed", [0, 1])
def test_ignored_objects_are_treated_as_mot_challenge_does(tmp_path: Path, benchmark: str, seed: int) -> None:
    case = random_case(seed)
    _write_text(tmp_path, case, masks=False)
    rng = np.random.default_rng(seed)
    for file in (tmp_path / "gt").glob("*/gt/gt.txt"):
        lines = []
        for line in file.read_text().splitlines():
            fields = line.split(",")
            fields[6], fields[7] = str(rng.integers(0, 2)), str(rng.choice([1, 1, 1, 2, 3, 6, 7, 8, 9, 12, 13]))
            lines.append(",".join(fields))
        file.write_text("\n".join(lines) + "\n")
    ours = score(tmp_path / "gt", tmp_path / "us", benchmark=benchmark)
    theirs = trackeval_mot(tmp_path, case[0], benchmark)
    for name, number in theirs.items():
        assert ours[f"boxes.{name}"] == pytest.approx(number, abs=TOLERANCE), name


@pytest.mark.parametrize("seed", range(3))
def test_mask_tracking_is_trackevals_mots_challenge_with_ignore_regions(tmp_path: Path, seed: int) -> None:
    case = random_case(seed)
    _write_text(tmp_path, case, masks=True)
    regions = 0
    for file in (tmp_path / "gt").glob("*/gt/gt.txt"):
        lines = file.read_text().splitlines()
        fields = [line.split(" ") for line in lines]
        ignored = [
            [t, "10000", "10", *rest] if number == "1" else [t, number, c, *rest] for t, number, c, *rest in fields
        ]
        regions += sum(row[2] == "10" for row in ignored)
        file.write_text("".join(" ".join(row) + "\n" for row in ignored))
    assert regions
    ours = score(tmp_path / "gt", tmp_path / "us", format="mots")
    theirs = trackeval_mot(tmp_path, case[0], "", masks=True)
    for name, number in theirs.items():
        assert ours[f"masks.{name}"] == pytest.approx(number, abs=TOLERANCE), name


def test_a_frame_may_hold_an_id_once_as_in_trackeval(tmp_path: Path) -> None:
    case = random_case(3)
    _write_text(tmp_path, case, masks=False)
    file = next(file for file in sorted((tmp_path / "us").glob("*.txt")) if file.read_text())
    line = file.read_text().splitlines()[0]
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"{file.name}: line \d+: id \d+ is in frame \d+ already"):
        score(tmp_path / "gt", tmp_path / "us")
    with pytest.raises(trackeval.utils.TrackEvalException, match="same ID more than once"):
        trackeval_mot(tmp_path, case[0], "MOT17")


def test_boxes_of_youtube_vis_masks_score_like_mot_text(tmp_path: Path) -> None:
    case = random_case(5)
    truth, results = write_files(tmp_path, *case)
    _write_text(tmp_path, case, masks=False)
    ours = score(truth, results, amodal_truth="full")
    theirs = trackeval_mot(tmp_path, case[0], "MOT17")
    for name, number in theirs.items():
        assert ours[f"boxes.{name}"] == pytest.approx(number, abs=TOLERANCE), name
