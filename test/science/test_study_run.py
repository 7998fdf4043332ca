"""The command: work is done once, continued, done again when it has changed, and reported."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_data import random_video, videos, write_files

from a2vis_model.data.problems import ProblemLog
from a2vis_model.errors import A2VISError
from a2vis_model.evaluation import ScoreSettings, open_comparison, score_videos
from science import collected, report
from science.__main__ import main, parse_roots
from science.claims import ROWS
from science.collected import System, difference
from science.context import Context, OutOfTime, Result, is_done, read_result, result_path, write_result
from science.counts import ClipCounts
from science.oracles import RANKED, STREAM
from science.run import run_units
from science.statistics import samples_of

MADE = {"version": "0", "code": "c0de", "processor": "P", "cores": 1, "torch": "t", "python": "3", "minutes": 6.0}


@dataclass
class Counting:
    """A unit that counts how often it was run, and may run out of time."""

    name: str
    of: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0
    late: bool = False
    study: str = "tested"

    def key(self) -> Mapping[str, Any]:
        return self.of

    def run(self, context: Context) -> Result:
        self.runs += 1
        if self.late:
            raise OutOfTime
        return {"value": self.runs, "provenance": MADE}


def test_work_is_done_once_and_again_when_what_it_is_of_has_changed(tmp_path: Path) -> None:
    context = Context({}, tmp_path, tmp_path / "results")
    units = [Counting("a", {"weights": "1", "lengths": (1, 2)}), Counting("b")]
    assert run_units(context, units) == 0
    assert run_units(context, units) == 0
    assert [unit.runs for unit in units] == [1, 1]
    units[0].of = {"weights": "2", "lengths": (1, 2)}
    assert not is_done(context, units[0])
    assert run_units(context, units) == 0
    assert [unit.runs for unit in units] == [2, 1]


def test_an_interrupted_unit_stops_the_run_and_is_done_by_the_next(tmp_path: Path) -> None:
    context = Context({}, tmp_path, tmp_path / "results")
    units = [Counting("a"), Counting("b", late=True), Counting("c")]
    assert run_units(context, units) == 2
    assert [unit.runs for unit in units] == [1, 1, 0]
    units[1].late = False
    assert run_units(context, units) == 0
    assert [unit.runs for unit in units] == [1, 2, 1]


def test_nothing_begins_after_the_deadline(tmp_path: Path) -> None:
    units = [Counting("a")]
    assert run_units(Context({}, tmp_path, tmp_path / "results", deadline=time.monotonic() - 1), units) == 1
    assert units[0].runs == 0


def test_a_result_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")
    with pytest.raises(A2VISError, match=r"x\.json: no result"):
        read_result(path)


def test_roots_are_checked(tmp_path: Path) -> None:
    assert parse_roots([f"robot={tmp_path}"]) == {"robot": tmp_path}
    for wrong in ("robot", f"cat={tmp_path}", f"robot={tmp_path / 'nowhere'}"):
        with pytest.raises(A2VISError, match="--root"):
            parse_roots([wrong])
    with pytest.raises(A2VISError, match="--root robot=DIR is missing"):
        Context({}, tmp_path).root("robot")


# --- The report -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Counts of four clips, as results hold them."""
    rng, infos = np.random.default_rng(3), videos(4)
    pairs = [random_video(rng, 10) for _ in infos]
    files = write_files(tmp_path_factory.mktemp("files"), infos, [p[0] for p in pairs], [p[1] for p in pairs])
    problems = ProblemLog(strict=True)
    comparison = open_comparison(*files, None, ScoreSettings(), problems)
    return [ClipCounts.of(score).as_json() for score in score_videos(comparison, ScoreSettings(), problems, quiet=True)]


def fill(folder: Path, counts: list[dict[str, Any]]) -> None:
    """A small folder of results, some of every study but one."""
    context = Context({}, folder, folder)
    clips = {"world": "aquarium", "set": 0, "frames": 10, "seed": 1}
    weights = {"clips": clips, "weights": "ab" * 32}

    def put(study: str, name: str, key: dict[str, Any], **content: Any) -> None:
        write_result(context, Counting(name, key, study=study), {**content, "provenance": MADE})

    put(
        "limits",
        "oracles",
        weights,
        weights="onboard-fishbowl",
        stream=dict.fromkeys(STREAM, counts),
        ranked=dict.fromkeys(RANKED, counts),
    )
    put("limits", "rule", weights, rule="the paper's clips", weights="onboard-fishbowl", clips=counts[::-1])
    episodes = [
        {"frames": 3, "survived": 1, "iou": {name: [0.8, 0.6, 0.4] for name in report.occlusion.GUESSES}},
        {"frames": 4, "survived": 0, "iou": {name: [0.0] * 4 for name in report.occlusion.GUESSES}},
    ]
    for scene in range(2):
        put(
            "occlusion",
            f"n{scene}",
            {"weights": "ab" * 32},
            weights="onboard-fishbowl",
            system="A2VIS",
            scene=scene,
            motion="still",
            episodes=episodes,
        )
    for row in ("A2VIS", "without SAMH"):
        for seed in range(2):
            put(
                "claims",
                f"{ROWS[row].variant}-{seed}",
                {"clips": clips, "detector": "d", "lesson": {"steps": 5, "seed": seed}},
                row=row,
                seed=seed,
                world="aquarium",
                parameters=5_000_000,
                fps=12.5,
                clips=counts,
            )


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals from 20 bootstrap samples, of which a page takes a twentieth of the time."""
    for module in (collected, report):
        monkeypatch.setattr(module, "samples_of", partial(samples_of, samples=20))


@pytest.mark.usefixtures("few_samples")
def test_the_page_holds_what_is_there_and_says_what_is_not(tmp_path: Path, counts: list[dict[str, Any]]) -> None:
    fill(tmp_path / "results", counts)
    page = tmp_path / "docs" / "science.md"
    assert main(["report", "--results", str(tmp_path / "results"), "--output", str(page)]) == 0
    text = page.read_text("utf-8")
    for figure in ("limits_aquarium.png", "occlusion.png"):
        assert f"(science/{figure})" in text
        assert (page.parent / "science" / figure).stat().st_size > 1000
    system = System({0: {"aquarium-0": [ClipCounts.from_json(c) for c in counts]}})
    hota = system.estimate("boxes.HOTA")
    row = next(line for line in text.splitlines() if line.startswith("| as it is |"))
    assert f"{100 * hota.value:.1f} [{100 * hota.low:.1f}, {100 * hota.high:.1f}]" in row
    # Equal counts differ by nothing, and nothing is bold.
    assert "(+0.0 [+0.0, +0.0])" in next(line for line in text.splitlines() if line.startswith("| everything |"))
    assert "| A2VIS | 50.0 [50.0, 50.0] of 4 |" in text  # two scenes of two occlusions each
    assert "| 50.0 [50.0, 50.0] of 4 | 2 |" in text
    assert "| GenVIS-Amodal | not run |" in text
    assert text.count("obtained with other weights or settings") == 1
    tables = text.split("**Table 8")[1].split("**Table 9")[0]
    assert "| with SAMH |" in tables
    assert "| 2 x 4 |" in tables
    assert "| `claims` | 0.4 | c0de |" in text  # four results of 6 minutes


@pytest.mark.usefixtures("few_samples")
def test_results_of_other_weights_are_counted_as_such(tmp_path: Path, counts: list[dict[str, Any]]) -> None:
    unit = report.limits.units()[0]
    context = Context({}, tmp_path, tmp_path / "results")
    every = {"stream": dict.fromkeys(STREAM, counts), "ranked": dict.fromkeys(RANKED, counts)}
    write_result(context, unit, {"weights": "onboard-fishbowl", **every, "provenance": MADE})
    assert is_done(context, unit)
    path = result_path(context, unit)
    other = json.loads(path.read_text("utf-8"))
    other["key"]["weights"] = "0" * 64
    path.write_text(json.dumps(other), "utf-8")
    assert not is_done(context, unit)
    page = tmp_path / "science.md"
    report.write(tmp_path / "results", page)
    work = len(report.limits.units())
    assert f"| `limits` | {work} | 0 | 1 |" in page.read_text("utf-8")


def claimed(unit: str, row: str, key: dict[str, Any]) -> Result:
    clips = {"world": "aquarium", "set": 0}
    return {"unit": unit, "row": row, "world": "aquarium", "key": {"clips": clips, **key}}


def test_claims_of_other_settings_are_never_shown_beside_present_ones() -> None:
    now = claimed("a", "A2VIS", {"detector": "d", "lesson": {"steps": 5, "seed": 0}})
    shipped = claimed("s", "A2VIS, as it ships", {"detector": "d", "weights": "w"})
    keys = {result["unit"]: result["key"] for result in (now, shipped)}
    old = [
        claimed(unit, "L = 1", {"detector": "d", "lesson": {"steps": 4, "seed": seed}})
        for unit, seed in (("b", 0), ("c", 1))
    ]
    other = claimed("e", "L = 3", {"detector": "e", "lesson": {"steps": 4, "seed": 0}})
    assert report.shown_claims([*old, now, other, shipped], keys) == [now, shipped]
    # Where nothing was trained since: what has most results, all of one detector and lesson.
    assert report.shown_claims([other, *old, shipped], keys) == [*old, shipped]
    assert report.shown_claims([other], keys) == [other]
    assert not report.shown_claims([], keys)


def test_a_difference_is_taken_on_the_clips_that_both_have(counts: list[dict[str, Any]]) -> None:
    clips = [ClipCounts.from_json(c) for c in counts]
    both = System({0: {"a": clips[:2], "b": clips[2:]}})
    one = System({0: {"b": clips[2:]}})
    assert difference(both, one, "boxes.HOTA").value == 0
    assert not difference(both, System({0: {"c": clips}}), "boxes.HOTA").known
