"""All numbers of a benchmark in a file that is small enough to be kept."""

import json
import runpy
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from a2vis_ros.space.evaluation import EstimatedObject, EvaluatedFrame, SpaceScorer, TrueObject, View, ViewScore
from a2vis_ros.space.rehearsal import METHODS
from a2vis_ros.space.report import compact, document

SEEN = [(1.0, 0.0, False, 0), (0.5, 0.0, False, 0), (0.5, 0.3, False, 0), (1.0, 0.0, True, 0)]
SEEN += [(0.0, 0.0, False, after) for after in (0.3, 0.7, 1.5, 9.0)]
"""Seen share, covered foot, cut off, and seconds since it was seen: one for each way of being seen."""


def scorer(rng: np.random.Generator) -> SpaceScorer:
    """Scores of two clips with awkward numbers in every way of being seen."""
    made = SpaceScorer()
    for _ in range(2):
        frames = []
        for number, (fraction, foot, cut_off, after) in enumerate(SEEN):
            for seconds, seen in ((20.0 * number, 1.0), (20.0 * number + after, fraction)):
                place, error = np.zeros(3), rng.normal(size=3)
                true = TrueObject(1, place, error, 2.0, 0.5, seen, foot, cut_off)
                said = EstimatedObject(1, error, place, np.eye(6) * rng.uniform(0.1, 3), 2.1234567, 0.61234567, True)
                frames.append(EvaluatedFrame(seconds, (true,), (said,)))
        made.add_clip(frames)
    return made


def test_what_is_kept_has_all_numbers_and_is_small() -> None:
    rng = np.random.default_rng(0)
    masks = [f"{kind}, {sensors} sensors" for kind in ("true", "predicted") for sensors in ("exact", "noisy")]
    whole = {"world": "composed", "size": (480, 320)} | document({m: {o: scorer(rng) for o in METHODS} for m in masks})
    text = compact(whole)
    assert len(text.encode()) < 50_000
    kept = json.loads(text)
    assert kept["columns"] == [field.name for field in fields(ViewScore)]
    assert (kept["world"], kept["size"]) == ("composed", [480, 320])
    assert len(kept["claim"]) == len(masks) * 2
    assert kept["claim"][0]["objects"] == whole["claim"][0]["objects"] > 0
    for group in masks:
        assert list(kept[group]) == [method.name for method in METHODS]
        for name, found in kept[group].items():
            assert set(found["views"]) == {view.value for view in View}
            for seen, numbers in found["views"].items():
                scores = whole[group][name]["views"][seen]
                assert dict(zip(kept["columns"], numbers, strict=True)) == pytest.approx(scores, rel=1e-3)


def test_the_benchmark_keeps_the_numbers_of_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "robot.json"
    options = ("--world", "robot", "--clips", "2", "--frames", "3", "--size", "96x64", "--output", str(output))
    monkeypatch.setattr(sys, "argv", ["space.py", *options])
    runpy.run_path(str(ROOT / "benchmark" / "space.py"), run_name="__main__")
    kept, tables = json.loads(output.read_text()), output.with_suffix(".md").read_text()
    assert (kept["clips"], kept["frames"]) == (2, 3)
    found = kept["true, exact sensors"]["ground, amodal"]
    assert found["frames"] == 6
    for seen, numbers in found["views"].items():
        scores = dict(zip(kept["columns"], numbers, strict=True))
        assert f"| ground, amodal | {seen} | {scores['objects']} | {scores['recall']:.2f} |" in tables
    assert [one["seen"] for one in kept["claim"]] == ["partly hidden", "partly hidden, foot covered"] * 2
