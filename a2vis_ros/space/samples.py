"""What scorers have collected as a file, so that bags that were scored one by one can be scored together. No ROS."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2vis_model.files.atomic import write_bytes

from .evaluation import Sample, SpaceScorer, View
from .rehearsal import METHODS, Method

_VIEWS = list(View)
_SAMPLES, _COUNTS = "samples", "counts"


def write_samples(path: Path, groups: Mapping[str, Mapping[Method, SpaceScorer]]) -> None:
    """Write the scorers of every group and method as compressed NumPy arrays.

    Args:
        path: the file, `.npz`.
        groups: scorers of every method, by the masks that these were given.
    """
    arrays: dict[str, Any] = {}
    for group, scorers in groups.items():
        for method, scorer in scorers.items():
            rows = [(one.clip, _VIEWS.index(one.view), *one[2:]) for one in scorer.samples]
            arrays[f"{group}/{method.name}/{_SAMPLES}"] = np.array(rows, float).reshape(-1, len(Sample._fields))
            arrays[f"{group}/{method.name}/{_COUNTS}"] = np.array(
                [scorer.clips, scorer.frames, scorer.false_estimates], float
            )
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_bytes(path, content.getvalue())


def read_samples(path: Path) -> dict[str, dict[Method, SpaceScorer]]:
    """Read what `write_samples` has written."""
    groups: dict[str, dict[Method, SpaceScorer]] = {}
    known = {method.name: method for method in METHODS}
    with np.load(path) as arrays:
        for key in arrays.files:
            group, name, kind = key.split("/")
            if kind != _SAMPLES:
                continue
            scorer = SpaceScorer()
            counts = arrays[f"{group}/{name}/{_COUNTS}"].tolist()
            scorer.clips, scorer.frames, scorer.false_estimates = map(int, counts)
            scorer.samples = [
                Sample(int(clip), _VIEWS[int(view)], *errors) for clip, view, *errors in arrays[key].tolist()
            ]
            groups.setdefault(group, {})[known[name]] = scorer
    return groups
