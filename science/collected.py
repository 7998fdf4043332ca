"""The results that are there, read for tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .context import Result, read_result
from .counts import ClipCounts
from .measures import Values, measure
from .statistics import Estimate, estimate, over_seeds, samples_of

Clips = dict[str, list[ClipCounts]]
"""Counts of clips by the name of their set."""


def results_of(folder: Path, study: str) -> Iterator[Result]:
    """Yield the results of a study, in the order of their names."""
    for path in sorted((folder / study).glob("*.json")):
        yield read_result(path)


def set_name(result: Result) -> str:
    """Return the name of the set of clips that a result is of, such as "aquarium-0"."""
    clips = result["key"]["clips"]
    return f"{clips['world']}-{clips['set']}"


def counts_of(records: Sequence[Mapping[str, object]]) -> list[ClipCounts]:
    """Return counts from JSON."""
    return [ClipCounts.from_json(record) for record in records]


@dataclass(frozen=True)
class System:
    """A system on clips: of one network, or of the networks of several training seeds."""

    seeds: Mapping[int, Clips]
    parameters: int | None = None
    fps: float | None = None
    _kept: dict[tuple[str, ...], Values] = field(default_factory=dict, compare=False, repr=False)

    @property
    def sets(self) -> list[str]:
        """Names of the sets that the networks of all seeds were measured on."""
        return sorted(set.intersection(*(set(clips) for clips in self.seeds.values()))) if self.seeds else []

    def clips(self, sets: Sequence[str]) -> int:
        """Return the number of clips in some sets."""
        first = next(iter(self.seeds.values()))
        return sum(len(first[name]) for name in sets)

    def samples(self, key: str, sets: Sequence[str]) -> Values:
        """Return a measure on these sets and on samples of their clips and of the seeds, [B + 1]."""
        place = (key, *sets)
        if place not in self._kept:
            weights = samples_of(self.clips(sets))
            tables = []
            for clips in self.seeds.values():
                counts = [clip for name in sets for clip in clips[name]]
                tables.append(measure(key, counts, weights))
            self._kept[place] = over_seeds(tables)
        return self._kept[place]

    def estimate(self, key: str, sets: Sequence[str] | None = None) -> Estimate:
        """Return a measure with its interval, on all sets that every seed has or on some of them."""
        return estimate(self.samples(key, self.sets if sets is None else sets))


def difference(first: System, second: System, key: str) -> Estimate:
    """Return how much more the first system reaches, on the clips that both were measured on, in pairs."""
    sets = sorted(set(first.sets) & set(second.sets))
    if not sets:
        return estimate(samples_of(1)[:, 0] * float("nan"))
    return estimate(first.samples(key, sets) - second.samples(key, sets))
