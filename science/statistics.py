"""Bootstrap intervals over clips and seeds, paired differences, and the power of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .measures import Values, Weights

SAMPLES = 400
"""Bootstrap samples of an interval."""
LEVEL = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A measure with its interval of 95 %; NaN where it is undefined."""

    value: float
    low: float
    high: float
    error: float
    """Standard error: the deviation of the bootstrap samples."""

    @property
    def known(self) -> bool:
        """Whether the measure is defined."""
        return not math.isnan(self.value)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval of a difference is on one side of zero."""
        return self.low > 0 or self.high < 0


def samples_of(clips: int, *, samples: int = SAMPLES, seed: int = 0) -> Weights:
    """Draw samples of clips with replacement: weights [samples + 1, clips]; the first row holds every clip once.

    Equal arguments give equal samples, so that systems which were measured on the same clips can be compared in pairs.
    """
    rng = np.random.default_rng((seed, clips))
    drawn = rng.multinomial(clips, np.full(clips, 1 / clips), size=samples)
    return np.concatenate([np.ones((1, clips)), drawn.astype(np.float64)])


def over_seeds(seeds: Sequence[Values], *, seed: int = 0) -> Values:
    """Average a measure [B + 1] over training seeds; in samples, seeds are drawn with replacement too.

    Args:
        seeds: the measure of the network of each training seed; one alone passes through.
        seed: number from which the draws follow.
    """
    table = np.stack(list(seeds))
    rng = np.random.default_rng((seed, len(table)))
    drawn = rng.integers(len(table), size=(table.shape[1], len(table)))
    drawn[0] = np.arange(len(table))
    return np.asarray(table[drawn, np.arange(table.shape[1])[:, None]].mean(axis=1))


def estimate(values: Values) -> Estimate:
    """Return the first value with the percentile interval of the others; undefined samples are left out."""
    samples = values[1:][~np.isnan(values[1:])]
    if math.isnan(values[0]) or not len(samples):
        return Estimate(math.nan, math.nan, math.nan, math.nan)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(samples, [tail, 100 - tail])
    return Estimate(float(values[0]), float(low), float(high), float(samples.std()))


def detectable(clip_error: float, clips: int, *, seeds: int, seed_deviation: float, wanted_clips: int) -> float:
    """Return the least true difference that is found with a power of 80 % at a level of 5 %, two-sided.

    Args:
        clip_error: standard error of the paired difference, from a bootstrap over `clips` clips.
        clips: number of clips behind `clip_error`.
        seeds: number of training seeds of each of the two systems.
        seed_deviation: standard deviation of the measure between training seeds; 0 where nothing is trained.
        wanted_clips: number of clips of the comparison that is planned.
    """
    factor = float(norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER))
    return factor * math.sqrt(clip_error**2 * clips / wanted_clips + 2 * seed_deviation**2 / seeds)


def needed_clips(clip_error: float, clips: int, *, seeds: int, seed_deviation: float, difference: float) -> int | None:
    """Return the number of clips at which `difference` is detectable; None if the seeds alone hide it.

    The other arguments are those of `detectable`.
    """
    factor = float(norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER))
    left = (difference / factor) ** 2 - 2 * seed_deviation**2 / seeds
    return None if left <= 0 else max(math.ceil(clip_error**2 * clips / left), 1)


def share_interval(right: NDArray[np.float64], all_of: NDArray[np.float64], weights: Weights) -> Estimate:
    """Return a share with its interval, from counts [C] of each clip, in samples of whole clips."""
    below = weights @ all_of
    return estimate(np.divide(weights @ right, below, out=np.full(len(weights), np.nan), where=below > 0))
