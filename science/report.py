"""The page docs/science.md: every number and figure on it is made from the results that are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2vis_model.files.atomic import write_text

from . import claims, limits, occlusion, side_by_side, synthetic
from .claims import ROWS
from .clips import CLIPS
from .collected import Clips, System, counts_of, difference, results_of, set_name
from .context import ROOT, Context, Result, Unit, is_done, result_path
from .figures import bars, lines
from .measures import Weights
from .oracles import RANKED, STREAM
from .side_by_side import Lesson
from .statistics import SAMPLES, Estimate, detectable, estimate, needed_clips, samples_of, share_interval
from .tables import NOT_RUN, PAPER, change, interval, paper_table, table

PAGE = ROOT / "docs" / "science.md"
_FIGURES = "science"
_WORLDS = {"aquarium": "Aquariums like FISHBOWL's", "composed": "Composed of photographs (`cutouts/val`)"}
_LIMIT_KEYS = {
    "visible AP": "visible.AP",
    "amodal AP": "amodal.AP",
    "HOTA": "boxes.HOTA",
    "DetA": "boxes.DetA",
    "AssA": "boxes.AssA",
    "IDF1": "boxes.IDF1",
    "hidden IoU": "hidden.IoU",
}
_DRAWN = {"amodal AP": "amodal.AP", "HOTA": "boxes.HOTA", "hidden IoU": "hidden.IoU"}
_BINS = ((1, 5), (6, 12), (13, 25), (26, 50), (51, 110), (111, 200))
"""Lengths of full occlusions in frames that are put together: around 0.1, 0.3, 0.6, 1.2, 2.5 and 5 s."""
_KNOWN = 0.5
"""IoU of a guess with the true amodal mask from which a planner knows where the hidden object is."""
_POINTS = 0.03
_WANTED_CLIPS = 60

STUDIES: dict[str, Callable[[], Sequence[Unit]]] = {
    limits.STUDY: limits.units,
    occlusion.STUDY: occlusion.units,
    claims.STUDY: claims.units,
    synthetic.STUDY: synthetic.units,
}
"""The studies in the order in which they are done."""


def write(results: Path, page: Path) -> None:
    """Write the page and, in a folder beside it, its figures."""
    figures = page.parent / _FIGURES
    parts = [
        _introduction(results),
        _limits(results, figures),
        _occlusion(results, figures),
        _claims(results),
        _synthetic(results),
        _origin(results),
    ]
    write_text(page, "\n\n".join(parts) + "\n")


def _introduction(results: Path) -> str:
    context = Context({}, Path(), results)
    rows = []
    for study, units in STUDIES.items():
        work = units()
        done = sum(is_done(context, unit) for unit in work)
        old = sum(result_path(context, unit).is_file() and not is_done(context, unit) for unit in work)
        rows.append([f"`{study}`", str(len(work)), str(done), str(old)])
    return f"""# The paper's claims in small, with error bars

This page is written by a command from the files in `docs/science/results`; negative results stand as they are.

```console
python -m science run --root robot=robot --root fishbowl=fishbowl    # continues where it stopped; --minutes, --study
python -m science report                                             # this page and its figures
```

Intervals are of 95 %, from {SAMPLES:,} bootstrap samples of clips, and of training seeds where there are several.
Differences are taken in pairs on the same clips, and are **bold** where their interval excludes zero. "{NOT_RUN}"
stands where a result is not there yet. HOTA, IDF1 and IDs are of amodal boxes if nothing else is said. The robot's
pictures are not part of the project; [onboard's model card](model_cards/onboard.md#data) says what they are.

{table(["study", "units of work", "done", "done with other weights or settings"], rows)}"""


# --- What limits us -------------------------------------------------------------------------------------


def _limits(results: Path, figures: Path) -> str:
    parts = [
        """## What limits us

The shipped weights on clips that nothing was trained or chosen on, the stream as the node runs it (stride 1). One part
of the answer at a time is replaced by the truth; the table says what the rest then reaches, and how much more that is.
In each frame objects and tracks are paired for the greatest total IoU; from an IoU of 0.1 on a track is *on* an object.

* *No false alarms*: what is on no object is removed. *No misses*: where an object is seen and no track is on it, its
  true masks are added to the track that was on it before. *True presence*: the same where it is wholly hidden.
* *True classes, visible masks, hidden parts, amodal masks*: where a track is on an object. Boxes are those of amodal
  masks, so that true amodal masks are true boxes.
* *True association*: what is on one object becomes one track.
* *All but X*: everything is true but X, which stays as it is."""
    ]
    found = [result for result in results_of(results, limits.STUDY) if "stream" in result]
    for world, title in _WORLDS.items():
        of_world = [result for result in found if result["key"]["clips"]["world"] == world]
        if not of_world:
            parts.append(f"### {title}\n\n{NOT_RUN}")
            continue
        stream = {name: _of_oracle(of_world, "stream", name) for name in STREAM}
        ranked = {name: _of_oracle(of_world, "ranked", name) for name in RANKED}
        base = stream["as it is"]
        parts.append(f"### {title}\n\n{_weights_note(of_world)} {base.clips(base.sets)} clips.")
        parts.append(_gain_table(stream, _LIMIT_KEYS))
        parts.append(_orderings(stream))
        gains = {
            title: {name: difference(system, base, key) for name, system in stream.items() if name != "as it is"}
            for title, key in _DRAWN.items()
        }
        name = f"limits_{world}.png"
        bars(figures / name, f"Gain by replacing a part by the truth, {world}", gains)
        parts.append(f"![What each part costs, {world}]({_FIGURES}/{name})")
        parts.append(
            "**Ranked slots**, as the paper's AP takes them: replacements with the best class of each slot, where "
            "several slots may be on one object, and a ranking by the true overlap of all slots and classes."
        )
        parts.append(_gain_table(ranked, {"visible AP": "visible.AP", "amodal AP": "amodal.AP"}))
        parts.append(_rules(results, world, base, ranked["as it is"]))
    return "\n\n".join(parts)


def _of_oracle(found: Sequence[Result], output: str, name: str) -> System:
    return System({0: {set_name(result): counts_of(result[output][name]) for result in found}})


def _gain_table(systems: Mapping[str, System], keys: Mapping[str, str]) -> str:
    base = systems["as it is"]
    rows = []
    for name, system in systems.items():
        cells = []
        for key in keys.values():
            if system is base:
                cells.append(interval(base.estimate(key), key))
            else:
                cells.append(f"{100 * system.estimate(key).value:.1f} ({change(difference(system, base, key), key)})")
        rows.append([name, *cells])
    return table(["", *keys], rows)


def _orderings(stream: Mapping[str, System]) -> str:
    """Say which single part, made right, gains most, and which, left as it is, costs most."""
    base, perfect = stream["as it is"], stream["everything"]
    lines_of = []
    for title, key in _DRAWN.items():
        single = {
            name: difference(system, base, key).value
            for name, system in stream.items()
            if name not in ("as it is", "everything") and not name.startswith("all but")
        }
        left = {
            name.removeprefix("all but "): difference(perfect, system, key).value
            for name, system in stream.items()
            if name.startswith("all but")
        }
        best = sorted(single, key=single.__getitem__, reverse=True)[:3]
        worst = sorted(left, key=left.__getitem__, reverse=True)
        gained = ", ".join(f"{name} ({100 * single[name]:+.1f})" for name in best)
        lost = ", ".join(f"{name} ({100 * left[name]:.1f})" for name in worst)
        lines_of.append(
            f"* {title}: made right alone, most is gained by {gained}; left alone as it is, {lost} are lost."
        )
    return "\n".join(lines_of)


def _rules(results: Path, world: str, base: System, ranked: System) -> str:
    """Compare the stream with the ranked slots, and with the stream under other rules."""
    rows = [
        ["ranked slots", *(change(difference(ranked, base, key), key) for key in ("visible.AP", "amodal.AP")), "–", "–"]
    ]
    keys = ("visible.AP", "amodal.AP", "boxes.HOTA", "boxes.IDF1")
    found = {r["rule"]: r for r in results_of(results, limits.STUDY) if "rule" in r and _world_of(r) == world}
    for rule in limits.RULES:
        if rule not in found:
            rows.append([rule, *[NOT_RUN] * len(keys)])
            continue
        result = found[rule]
        if result["key"]["weights"] != _weights_of(results, world):
            rows.append([rule, *["of other weights"] * len(keys)])
            continue
        system = System({0: {set_name(result): counts_of(result["clips"])}})
        rows.append([rule, *(change(difference(system, base, key), key) for key in keys)])
    text = (
        "**Where the stream loses against ranked masks**: the difference to the stream as the node runs it, of the "
        "ranked slots, and of the stream with one rule changed (on the first ten clips)."
    )
    return f"{text}\n\n{table(['', 'visible AP', 'amodal AP', 'HOTA', 'IDF1'], rows)}"


def _weights_of(results: Path, world: str) -> str:
    hashes = {r["key"]["weights"] for r in results_of(results, limits.STUDY) if "stream" in r and _world_of(r) == world}
    return hashes.pop() if len(hashes) == 1 else ""


def _world_of(result: Result) -> str:
    return str(result["key"]["clips"]["world"])


def _weights_note(found: Sequence[Result]) -> str:
    names = sorted({(result["weights"], result["key"]["weights"][:12]) for result in found})
    listed = ", ".join(f"`{name}` (SHA-256 {digest}…)" for name, digest in names)
    mixed = " **These are different weights; run the study again.**" if len(names) > 1 else ""
    return f"Weights {listed}.{mixed}"


# --- How long an ID survives ----------------------------------------------------------------------------


def _occlusion(results: Path, figures: Path) -> str:
    found = list(results_of(results, occlusion.STUDY))
    shortest, longest = (frames / occlusion.FPS for frames in (occlusion.LENGTHS[0], occlusion.LENGTHS[-1]))
    text = f"""## How long an ID survives full occlusion

A pillar comes from one side before one fish of an aquarium, moves along with it so that nothing of the fish is seen for
{shortest:.1f} to {longest:.0f} s, and leaves to the other side. The camera stands still, pans at 48 pixels a second, or
shakes; all else is equal. Every full occlusion counts, also of fish that pass behind the pillar or each other by
chance, if the object was followed before and is seen after it. An ID *survives* if the first track on the object
afterwards is the one before. Intervals are over scenes."""
    if not found:
        return f"{text}\n\n{NOT_RUN}"
    scenes = len({result["scene"] for result in found})
    few = (
        " Intervals over so few scenes are too narrow, and lines end where nothing was measured." if scenes < 10 else ""
    )
    parts = [text, f"{_weights_note(found)} {scenes} of {occlusion.SCENES} scenes.{few}"]
    header = ["survived, %", *(f"{_seconds(first, last)} s" for first, last in _BINS), "all", "scenes"]
    survival_lines: dict[str, list[tuple[float, Estimate]]] = {}
    motions = _motions(found)
    for motion in motions:
        rows = []
        for system in occlusion.SYSTEMS:
            chosen = [r for r in found if r["system"] == system and motion in (None, r["motion"])]
            cells, points = [], []
            for first, last in (*_BINS, (1, 10_000)):
                share, count = _survived(chosen, first, last)
                cells.append(f"{interval(share, 'IoU')} of {count}" if count else NOT_RUN)
                points.append((_middle(first, last), share))
            rows.append([system, *cells, str(len({result["scene"] for result in chosen}))])
            if motion == motions[0]:
                survival_lines[system] = points[:-1]
        parts.append(f"**{'All motions of the camera' if motion is None else f'Camera: {motion}'}**")
        parts.append(table(header, rows))
    places = _places(found)
    known = _known_lines(found)
    parts.append(
        """**Where a hidden object is.** Mean IoU with the true amodal mask while nothing of the object is seen, by the
time since it was last seen, of the track that had followed it. *Amodal mask* is what A2VIS draws; the others are what a
planner could do with the visible masks of the same tracks: the last full one (of 90 % of the largest area within a
second) for up to 1 s, or that one moved on at the velocity that it had. Whoever keeps nothing has 0."""
    )
    parts.append(places)
    lines(
        figures / "occlusion.png",
        [
            ("Does the ID survive?", "full occlusion in s", "occlusions survived, %", survival_lines),
            (
                "Does a planner know where it is?",
                "time since last seen in s",
                f"hidden objects at IoU ≥ {_KNOWN}, %",
                known,
            ),
        ],
    )
    parts.append(f"![What amodal awareness buys a planner]({_FIGURES}/occlusion.png)")
    return "\n\n".join(parts)


def _motions(found: Sequence[Result]) -> list[str | None]:
    """Return the motions of the camera that were measured, before them None for all if there are several."""
    there = [motion for motion in occlusion.MOTIONS if any(result["motion"] == motion for result in found)]
    return [None, *there] if len(there) > 1 else list(there)


def _seconds(first: int, last: int) -> str:
    return f"{first / occlusion.FPS:.1f}–{last / occlusion.FPS:.1f}"


def _middle(first: int, last: int) -> float:
    return float(np.sqrt(first * last)) / occlusion.FPS


def _by_scene(
    found: Sequence[Result], count: Callable[[Result], tuple[float, float]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], Weights]:
    """Sum two counts of results by scene; return both [S] and samples of scenes."""
    scenes = sorted({result["scene"] for result in found})
    sums = np.zeros((2, len(scenes)))
    for result in found:
        sums[:, scenes.index(result["scene"])] += count(result)
    return sums[0], sums[1], samples_of(max(len(scenes), 1))


def _survived(found: Sequence[Result], first: int, last: int) -> tuple[Estimate, int]:
    def count(result: Result) -> tuple[float, float]:
        chosen = [episode for episode in result["episodes"] if first <= episode["frames"] <= last]
        return float(sum(episode["survived"] for episode in chosen)), float(len(chosen))

    if not found:
        return estimate(np.full(2, np.nan)), 0
    right, total, weights = _by_scene(found, count)
    return share_interval(right, total, weights), int(total.sum())


def _hidden_share(
    found: Sequence[Result], guess: str, first: int, last: int, value: Callable[[float], float]
) -> Estimate:
    """Average a function of the IoU over hidden frames from `first` to `last` after an object was last seen."""

    def count(result: Result) -> tuple[float, float]:
        frames = [value(iou) for episode in result["episodes"] for iou in episode["iou"][guess][first - 1 : last]]
        return float(sum(frames)), float(len(frames))

    return share_interval(*_by_scene(found, count)) if found else estimate(np.full(2, np.nan))


def _places(found: Sequence[Result]) -> str:
    rows = []
    for motion in _motions(found):
        chosen = [r for r in found if r["system"] == "A2VIS" and motion in (None, r["motion"])]
        for guess in occlusion.GUESSES:
            values = [
                interval(_hidden_share(chosen, guess, first, last, lambda iou: iou), "IoU") for first, last in _BINS
            ]
            rows.append([f"{'all motions' if motion is None else motion}: {guess}", *values])
    return table(["IoU, %", *(f"{_seconds(first, last)} s" for first, last in _BINS)], rows)


def _known_lines(found: Sequence[Result]) -> dict[str, list[tuple[float, Estimate]]]:
    chosen = [result for result in found if result["system"] == "A2VIS"]
    return {
        guess: [
            (_middle(first, last), _hidden_share(chosen, guess, first, last, lambda iou: float(iou >= _KNOWN)))
            for first, last in _BINS
        ]
        for guess in occlusion.GUESSES
    }


# --- Claims ---------------------------------------------------------------------------------------------


def _claims(results: Path) -> str:
    every, keys = list(results_of(results, claims.STUDY)), claims.current_keys()
    shown = {world: shown_claims([r for r in every if r["world"] == world], keys) for world in _WORLDS}
    found = [result for chosen in shown.values() for result in chosen]
    parts = [
        f"""## The paper's claims

All video parts are trained from scratch on the same frozen detector, that of the shipped weights, at
{_size(claims.SIZE)} pixels, for {claims.STEPS} steps; MinVIS-Amodal is the detector itself, trained on amodal masks for
as many steps. The networks of a seed, of {len(claims.SEEDS)}, are trained side by side and see the same frames,
{side_by_side.SEQUENCE_FRAMES} of a rendered video in each step: ten clips of one frame, three of three, or two of
five. Each clip is run again up to {Lesson.dwell} times before the next, so that states get as old as in streams.
So little training cannot give the paper's numbers, and favours what learns nothing new, such as MinVIS-Amodal; what
ships has a video part that was trained for thousands of steps, and a larger input. AP is of ranked slots, all else
of the stream with the paper's clips, on {claims.SETS * CLIPS} clips of {claims.FRAMES} frames a world, of which each
row says how many are done; frames/s are those of one busy core. Bold cells differ from A2VIS by an interval that
excludes zero."""
    ]
    parts.append(_power(results, found))
    # Tables of a world without results are left out; if no world has any, those of the first show what is missing.
    worlds = [world for world in _WORLDS if any(result["world"] == world for result in found)] or list(_WORLDS)[:1]
    for world in worlds:
        title, systems = _WORLDS[world], claimed_systems(found, world)
        parts.append(f"### {title}")
        if any(result["key"] != keys.get(result["unit"]) for result in shown[world]):
            parts.append(
                "**These results were obtained with other weights or settings** than those named above, all rows with "
                "the same; they stand until the study is run again."
            )
        if systems and max(len(system.seeds) for system in systems.values()) == 1:
            parts.append(
                "**One seed was trained so far**, so that intervals are over clips alone: with another seed a "
                "difference may turn round."
            )
        parts += [f"**{which.title}**\n\n{paper_table(which, systems)}" for which in PAPER]
    return "\n\n".join(parts)


def _size(changes: Sequence[str]) -> str:
    values = dict(change.split("=") for change in changes)
    return f"{values['input_width']}x{values['input_height']}"


def shown_claims(found: Sequence[Result], keys: Mapping[str, Any]) -> list[Result]:
    """Return those results of a world that may stand side by side: of networks with the same detector and lesson.

    These are the results of what is trained now or, where there is none, the largest group of others.

    Args:
        found: results of the world, of whatever they are.
        keys: what results would be of now, by the names of their units.
    """
    current = [result for result in found if result["key"] == keys.get(result["unit"])]
    if any("lesson" in result["key"] for result in current):
        return current
    groups: dict[str, list[Result]] = {}
    for result in found:
        if "lesson" in result["key"]:
            groups.setdefault(_settings(result), []).append(result)
    chosen = max(groups.values(), key=len, default=[])
    # What ships was trained by no lesson; it stands beside networks that have its detector.
    detectors = {result["key"]["detector"] for result in chosen}
    return chosen + [r for r in found if "lesson" not in r["key"] and r["key"]["detector"] in detectors]


def _settings(result: Result) -> str:
    key = result["key"]
    lesson = {name: value for name, value in key["lesson"].items() if name != "seed"}
    return json.dumps([key["detector"], lesson], sort_keys=True)


def claimed_systems(found: Sequence[Result], world: str) -> dict[str, System]:
    """Return the systems of the study of claims in a world, by row."""
    systems = {}
    for row in ROWS:
        chosen = [result for result in found if result["row"] == row and result["world"] == world]
        seeds: dict[int, Clips] = {}
        for result in chosen:
            seeds.setdefault(result["seed"], {})[set_name(result)] = counts_of(result["clips"])
        if seeds:
            speeds = [result["fps"] for result in chosen if result["fps"] is not None]
            fps = float(np.median(speeds)) if speeds else None
            systems[row] = System(seeds, chosen[0]["parameters"], fps)
    return systems


def _power(results: Path, found: Sequence[Result]) -> str:
    """Say which differences can be told, from pairs of systems that were measured on the same clips."""
    text = f"""**Power.** What a comparison can tell depends on how much differences vary from clip to clip, and the
same network from seed to seed. The first is bounded by what was measured above: from below by *pairs* of one network
(the stream as it is, and under another rule; of the rules the one that varies most), because two networks differ more;
from above by two *unpaired* systems that vary as the stream does. The table says which difference
{_WANTED_CLIPS} clips and three seeds detect in 80 of 100 comparisons (level 5 %), for seeds that deviate by so many
points, and, in brackets, how many clips {100 * _POINTS:.0f} points take."""
    rows = []
    for world in _WORLDS:
        found_of = [r for r in results_of(results, limits.STUDY) if _world_of(r) == world]
        rules = [r for r in found_of if "rule" in r and r["key"]["weights"] == _weights_of(results, world)]
        oracles = [r for r in found_of if "stream" in r]
        for title, key in _DRAWN.items():
            if not oracles:
                rows.append([f"{world}, {title}", *[NOT_RUN] * 5])
                continue
            base = _of_oracle(oracles, "stream", "as it is")
            pairs = [System({0: {set_name(result): counts_of(result["clips"])}}) for result in rules]
            errors = [(difference(pair, base, key).error, pair.clips(pair.sets)) for pair in pairs]
            bounds = {"unpaired": (2**0.5 * base.estimate(key).error, base.clips(base.sets))}
            if errors:
                bounds = {"pairs": max(errors), **bounds}
            for kind, (error, clips) in bounds.items():
                cells = [f"{100 * error:.1f} on {clips} clips"]
                for deviation in (0.0, 0.005, 0.01, 0.02):
                    least = detectable(error, clips, seeds=3, seed_deviation=deviation, wanted_clips=_WANTED_CLIPS)
                    needed = needed_clips(error, clips, seeds=3, seed_deviation=deviation, difference=_POINTS)
                    cells.append(f"{100 * least:.1f} ({'never' if needed is None else needed})")
                rows.append([f"{world}, {title}, {kind}", *cells])
    header = ["", "error of a difference", *(f"seeds ± {value}" for value in ("0", "0.5", "1", "2"))]
    parts = [text, table(header, rows)]
    spread = _seed_spread(found)
    if spread:
        parts.append(f"Between the seeds that were trained: {spread}.")
    return "\n\n".join(parts)


def _seed_spread(found: Sequence[Result]) -> str:
    """Name the standard deviation between seeds of A2VIS, where two or more were measured."""
    texts = []
    for world in _WORLDS:
        system = claimed_systems(found, world).get("A2VIS")
        if system is None or len(system.seeds) < 2 or not system.sets:
            continue
        for title, key in _DRAWN.items():
            values = [System({seed: clips}).estimate(key, system.sets).value for seed, clips in system.seeds.items()]
            texts.append(f"{world}, {title} {100 * float(np.std(values, ddof=1)):.1f}")
    return "; ".join(texts)


# --- Synthetic pictures ---------------------------------------------------------------------------------


def _synthetic(results: Path) -> str:
    found = list(results_of(results, synthetic.STUDY))
    text = f"""## Does synthetic help real?

The detector alone, from random weights, {synthetic.STEPS:,} steps of 8 pictures at {_size(synthetic.SIZE)} pixels: on
photographs, on composed pictures, or on both in turn, the number of pictures being the same. COCO mask AP in % on the
photographs of `stills/val`: mean and standard deviation over seeds."""
    names = sorted({name for result in found for name in result["precision"]["by_class"]})
    rows = []
    for mixture in synthetic.MIXTURES:
        chosen = [result["precision"] for result in found if result["mixture"] == mixture]
        values = [[p["overall"]["AP"] for p in chosen], [p["overall"]["AP50"] for p in chosen]]
        values += [[p["by_class"][name] for p in chosen] for name in names]
        rows.append([mixture, str(len(chosen)), *(_spread(column) for column in values)])
    return f"{text}\n\n{table(['', 'seeds', 'AP', 'AP50', *names], rows)}"


def _spread(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not values:
        return NOT_RUN
    if not known:
        return "–"
    return f"{np.mean(known):.1f}" + (f" ± {np.std(known, ddof=1):.1f}" if len(known) > 1 else "")


# --- Where the numbers come from ------------------------------------------------------------------------


def _origin(results: Path) -> str:
    rows = []
    for study in STUDIES:
        found = [result["provenance"] for result in results_of(results, study)]
        if not found:
            rows.append([f"`{study}`", *["–"] * 4])
            continue
        minutes = sum(made["minutes"] for made in found)
        listed = (", ".join(sorted({made[key] for made in found})) for key in ("code", "processor", "torch"))
        rows.append([f"`{study}`", f"{minutes / 60:.1f}", *listed])
    return f"""## Where the numbers come from

Each file of results holds the SHA-256 of its weights, its clips' seeds, a hash of the code of `a2vis_model`, the
processor and the versions. Hours are those that passed, on machines with other work.

{table(["study", "hours", "code", "processor", "PyTorch"], rows)}"""
