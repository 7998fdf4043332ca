"""Traits of the things of a class: how large they are and how they move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Motion = Literal["walks", "trots", "rolls", "slides"]


@dataclass(frozen=True)
class Traits:
    """Size and motion of the things of a class.

    Attributes:
        metres: size along `side` in metres.
        side: the height, or the longer of height and length, which serves bodies that also sit and lie.
        speed: range of speeds in m/s.
        standing: share of things that stay where they are.
    """

    metres: float
    side: Literal["height", "longest"]
    motion: Motion
    speed: tuple[float, float]
    standing: float

    def height(self, pixel_height: int, pixel_width: int) -> float:
        """Return the height in metres of a thing whose picture has this many pixels."""
        if self.side == "longest" and pixel_width > pixel_height:
            return self.metres * pixel_height / pixel_width
        return self.metres


_TRAITS: dict[str, Traits] = {
    "person": Traits(1.7, "longest", "walks", (0.5, 1.9), 0.25),
    "bicycle": Traits(1.7, "longest", "rolls", (1.0, 4.0), 0.4),
    "car": Traits(1.5, "height", "rolls", (1.0, 7.0), 0.35),
    "motorcycle": Traits(1.15, "height", "rolls", (1.0, 6.0), 0.4),
    "bus": Traits(3.0, "height", "rolls", (1.0, 6.0), 0.3),
    "truck": Traits(2.8, "height", "rolls", (1.0, 6.0), 0.3),
    "cat": Traits(0.5, "longest", "trots", (0.3, 1.5), 0.35),
    "dog": Traits(0.8, "longest", "trots", (0.4, 2.2), 0.3),
}
OTHER = Traits(1.0, "longest", "slides", (0.2, 1.5), 0.4)
"""Traits of a class that is not described."""


def is_known(class_name: str) -> bool:
    """Return whether the size of a class is known here."""
    return class_name.lower() in _TRAITS


def traits_of(class_name: str, sizes: Mapping[str, float]) -> Traits:
    """Return the traits of a class, with its size from `sizes` where it is given; 1 m where it is unknown."""
    traits = _TRAITS.get(class_name.lower(), OTHER)
    return replace(traits, metres=sizes[class_name]) if class_name in sizes else traits
