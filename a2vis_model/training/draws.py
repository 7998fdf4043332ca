"""Class-balanced choice of videos: they are drawn by class, so that rare classes are seen often enough."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SMALL_SIDE, MEDIUM_SIDE = 32, 96
"""COCO's size limits: an object is small below the first and medium below the second, squared, in pixels."""

_PREFERENCE = 5
"""Limit on how much more often a video with a small object is drawn; without it, the few there are would dominate."""

Numbers = NDArray[np.int64]


class Focus(NamedTuple):
    """The class that a sequence is drawn for."""

    class_id: int
    resize: bool
    """Whether a still picture is scaled until an object of the class, preferably a small one, has medium size."""


@dataclass(frozen=True)
class EvenDraws:
    """The videos of a source by the classes in them.

    A class is drawn with equal probabilities, then one of its videos with equal probabilities. A video counts for every
    class in it.
    """

    videos: tuple[tuple[int, Numbers], ...]
    """Classes, each with the numbers of the videos that hold it."""
    small: Mapping[int, Numbers]
    """Numbers of the videos in which an object of a class is small, for classes that have any."""

    @classmethod
    def of(cls, contents: Iterable[Mapping[int, float]], *, small_share: float) -> EvenDraws | None:
        """Sort the videos of a source.

        Args:
            contents: classes and sizes by video (see `a2vis_model.data.dataset.Dataset.video_classes`).
            small_share: an object is small if it covers less of the image than that.

        Returns:
            The sorted videos; None where no video is known to hold any class.
        """
        videos: dict[int, list[int]] = defaultdict(list)
        small: dict[int, list[int]] = defaultdict(list)
        for number, classes in enumerate(contents):
            for class_id, least_share in classes.items():
                videos[class_id].append(number)
                if least_share < small_share:
                    small[class_id].append(number)
        if not videos:
            return None
        return cls(
            videos=tuple((class_id, np.array(numbers, np.int64)) for class_id, numbers in sorted(videos.items())),
            small={class_id: np.array(numbers, np.int64) for class_id, numbers in sorted(small.items())},
        )

    def draw(self, resized: float, rng: np.random.Generator) -> tuple[int, Focus]:
        """Draw the number of a video and the class it was drawn for.

        Args:
            resized: probability that it is drawn to be resized; it is then preferably one with a small object of the
                class.
            rng: random numbers.
        """
        class_id, numbers = self.videos[int(rng.integers(len(self.videos)))]
        resize = bool(rng.random() < resized)
        small = self.small.get(class_id, numbers)
        if resize and rng.random() < _PREFERENCE * len(small) / len(numbers):
            numbers = small
        return int(numbers[rng.integers(len(numbers))]), Focus(class_id, resize)
