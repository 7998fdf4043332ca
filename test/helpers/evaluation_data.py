"""Made-up tracks for the tests of the evaluation."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import ScoreSettings, TrackRecord, VideoInfo, open_comparison, results_of, score_videos
from a2vis_model.evaluation.scoring import Results
from a2vis_model.evaluation.youtube_vis import ground_truth_document, ground_truth_record, result_record, write_json
from a2vis_model.masks.coco import encode

HEIGHT, WIDTH = 48, 64
CATEGORIES = {1: "cat", 2: "dog", 3: "never there"}

Box = tuple[float, float, float, float]


def block(x: float, y: float, width: float, height: float) -> NDArray[np.bool_]:
    """A rectangle of pixels, bool [HEIGHT, WIDTH]."""
    image = np.zeros((HEIGHT, WIDTH), np.bool_)
    image[max(round(y), 0) : max(round(y + height), 0), max(round(x), 0) : max(round(x + width), 0)] = True
    return image


def track(
    number: int,
    class_id: int,
    boxes: list[Box | None],
    *,
    occluder: list[Box | None] | None = None,
    score: float = 1.0,
    crowd: bool = False,
) -> TrackRecord:
    """A rectangle that moves, what `occluder` covers of it being hidden."""
    amodal, visible = [], []
    for t, box in enumerate(boxes):
        full = None if box is None else block(*box)
        cover = None if occluder is None else occluder[t]
        seen = full if full is None or cover is None else full & ~block(*cover)
        amodal.append(None if full is None else encode(full))
        visible.append(None if seen is None or not seen.any() else encode(seen))
    return TrackRecord(number, class_id, score, visible=visible, amodal=amodal, crowd=crowd)


def random_video(
    rng: np.random.Generator, length: int, *, crowds: bool = False
) -> tuple[list[TrackRecord], list[TrackRecord]]:
    """Objects that wander, and predictions near them: jittered, cut short, swapped, doubled, and made up."""
    objects, predictions = [], []
    for g in range(int(rng.integers(1, 6))):
        boxes = _wander(rng, length)
        class_id = int(rng.integers(1, 3))
        crowd = crowds and bool(rng.random() < 0.25)
        objects.append(track(g + 1, class_id, boxes, occluder=_wander(rng, length), crowd=crowd))
        for _ in range(int(rng.integers(0, 3))):
            noisy = [None if b is None or rng.random() < 0.1 else _jitter(rng, b) for b in boxes]
            wrong = class_id if rng.random() < 0.8 else 3 - class_id
            cut = int(rng.integers(1, length + 1))
            parts = [[*noisy[:cut], *[None] * (length - cut)], [*[None] * cut, *noisy[cut:]]]
            predictions += [(wrong, part) for part in (parts if rng.random() < 0.4 else [noisy])]
    predictions += [(int(rng.integers(1, 3)), _wander(rng, length)) for _ in range(int(rng.integers(0, 3)))]
    found = [
        track(n + 1, class_id, boxes, occluder=_wander(rng, length), score=round(float(rng.random()), 2))
        for n, (class_id, boxes) in enumerate(predictions)
    ]
    return objects, found


def _wander(rng: np.random.Generator, length: int) -> list[Box | None]:
    x, y = rng.uniform(0, WIDTH - 16), rng.uniform(0, HEIGHT - 16)
    width, height = rng.uniform(6, 24, 2)
    step = rng.uniform(-2, 2, 2)
    start, stop = sorted(rng.integers(0, length + 1, 2).tolist())
    if rng.random() < 0.5:
        start, stop = 0, length
    path: list[Box | None] = [(x + t * step[0], y + t * step[1], width, height) for t in range(length)]
    inside = [b if b is not None and block(*b).any() else None for b in path]
    return [b if start <= t < stop else None for t, b in enumerate(inside)]


def _jitter(rng: np.random.Generator, box: Box) -> Box | None:
    moved = tuple(value + rng.normal(0, 1.2) for value in box)
    return moved if block(*moved).any() else None  # type: ignore[arg-type, return-value]


def videos(count: int, length: int = 10) -> list[VideoInfo]:
    return [VideoInfo(n, f"clip{n:03d}", length, HEIGHT, WIDTH) for n in range(1, count + 1)]


def write_files(
    folder: Path, infos: list[VideoInfo], truth: list[list[TrackRecord]], predictions: list[list[TrackRecord]]
) -> tuple[Path, Path]:
    """Write both sides as YouTube-VIS JSON."""
    annotations, results = [], []
    for info, objects, found in zip(infos, truth, predictions, strict=True):
        annotations += [ground_truth_record(t, info, 100 * info.video_id + t.track_id) for t in objects]
        results += [result_record(t, info) for t in found]
    write_json(folder / "truth.json", ground_truth_document(infos, CATEGORIES, annotations))
    write_json(folder / "results.json", results)
    return folder / "truth.json", folder / "results.json"


def score(truth: Path, results: Path, tracks: Path | None = None, jobs: int = 1, **options: Any) -> Results:
    """Score files with settings; fails on any problem."""
    files = {key: options.pop(key) for key in ("format", "benchmark") if key in options}
    settings = ScoreSettings(**options)
    problems = ProblemLog(strict=True)
    comparison = open_comparison(truth, results, tracks, settings, problems, **files)
    scores = score_videos(comparison, settings, problems, jobs=jobs, quiet=True)
    return results_of(scores, comparison.scope, settings, comparison.categories)


def run_command(module: Any, *arguments: str) -> int:
    """Run a command as the command line does."""
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(list(arguments)))
    return status


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
