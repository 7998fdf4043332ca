"""What is known beforehand of the objects of a class: how large they are, how they move, how long they stay. No ROS."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

MAX_FILE_BYTES = 1 << 20
"""A file of profiles is a page."""


class ProfileError(ValueError):
    """A profile cannot be used. The message names class, value and remedy."""


@dataclass(frozen=True)
class ClassProfile:
    """Priors of one class. Lengths are metres, times seconds; all of them are greater than 0."""

    length: float = 1.0
    """Length of a typical object along its longer horizontal side."""
    width: float = 1.0
    """Along its shorter horizontal side."""
    height: float = 1.0
    size_std: float = 0.5
    """Standard deviation of each of the three."""
    speed_std: float = 2.0
    """Standard deviation of each component of an object's velocity when it is first seen, in m/s."""
    max_speed: float = 5.0
    """Greatest speed at which an object might come out from behind something, in m/s."""
    acceleration: float = 1.0
    """Process noise: the velocity changes by this, in m/s, within one second."""
    half_life_s: float = 10.0
    """Half-life of the belief that an object is still there, while it is hidden and nothing speaks against it."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ProfileError(f"{item.name}={value!r} of a class profile is no number greater than 0")
        if self.width > self.length:
            raise ProfileError(
                f"width={self.width:g} of a class profile is more than length={self.length:g}; swap them"
            )

    def thickness(self, lateral: float) -> tuple[float, float]:
        """Horizontal extent along the line of sight of an object that is so wide across it: mean and deviation.

        A rectangle of length L and width W, turned by ψ, is L sin ψ + W cos ψ wide and L cos ψ + W sin ψ thick. As wide
        as L it is from the side, and from one oblique direction too. From the side is what it is taken for, since along
        roads and walls that is what there is more of.
        """
        diagonal, corner = self._diagonal
        oblique = max(math.asin(min(max(lateral / diagonal, 0.0), 1.0)) - corner, 0.0)
        side = min(math.pi - 2 * corner - oblique, math.pi / 2)
        thick = self.length * math.cos(oblique) + self.width * math.sin(oblique)
        thin = self.length * math.cos(side) + self.width * math.sin(side)
        from_side = (1 + math.erf(((lateral - self.length) / self.size_std + 1) / math.sqrt(2))) / 2
        mean = from_side * thin + (1 - from_side) * thick
        return mean, math.hypot(self.size_std, math.sqrt(from_side * (1 - from_side)) * (thick - thin))

    @cached_property
    def _diagonal(self) -> tuple[float, float]:
        """Length of the diagonal, and the angle between it and the longer side."""
        return math.hypot(self.length, self.width), math.atan2(self.width, self.length)

    @cached_property
    def lateral(self) -> tuple[float, float]:
        """Mean and standard deviation of the extent across the line of sight of an object that is turned anyhow."""
        mean = (self.length + self.width) * 2 / math.pi
        return mean, math.hypot(self.size_std, (self.length - self.width) / math.sqrt(12))


OTHER = "other"
"""The profile of classes that have none of their own."""

DEFAULT_PROFILES: Mapping[str, ClassProfile] = {
    "person": ClassProfile(0.5, 0.5, 1.7, 0.15, speed_std=1.0, max_speed=3.0, acceleration=0.6, half_life_s=10.0),
    "bicycle": ClassProfile(1.8, 0.6, 1.5, 0.3, speed_std=3.0, max_speed=8.0, acceleration=1.5, half_life_s=8.0),
    "motorcycle": ClassProfile(2.1, 0.8, 1.4, 0.3, speed_std=6.0, max_speed=20.0, acceleration=3.0, half_life_s=8.0),
    "car": ClassProfile(4.4, 1.8, 1.5, 0.3, speed_std=6.0, max_speed=20.0, acceleration=2.5, half_life_s=20.0),
    "bus": ClassProfile(11.0, 2.5, 3.1, 0.8, speed_std=6.0, max_speed=15.0, acceleration=1.5, half_life_s=20.0),
    "truck": ClassProfile(8.0, 2.5, 3.0, 1.0, speed_std=6.0, max_speed=15.0, acceleration=1.5, half_life_s=20.0),
    "cat": ClassProfile(0.45, 0.2, 0.3, 0.08, speed_std=0.8, max_speed=4.0, acceleration=1.5, half_life_s=5.0),
    "dog": ClassProfile(0.8, 0.3, 0.6, 0.2, speed_std=1.0, max_speed=5.0, acceleration=1.5, half_life_s=5.0),
    OTHER: ClassProfile(),
}
"""Profiles by class name, of the classes of the weights that ship and of all others."""


def profile_of(profiles: Mapping[str, ClassProfile], class_name: str) -> ClassProfile:
    """The class's own profile, or that of all others."""
    return profiles.get(class_name) or profiles[OTHER]


def read_profiles(path: str | Path) -> dict[str, ClassProfile]:
    """The default profiles, with what a YAML file says of some classes in their place.

    Args:
        path: YAML file that maps class names to mappings of fields; a field that is left out keeps its default.

    Raises:
        ProfileError: the file cannot be read or used.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise ProfileError(f"{path} has more than {MAX_FILE_BYTES} bytes; a file of class profiles is a page")
        content = yaml.safe_load(text)
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise ProfileError(f"the class profiles in {path} cannot be read: {error!s:.300}") from error
    if not isinstance(content, dict):
        raise ProfileError(f"{path} holds no mapping from class names to profiles; see docs/space.md")
    profiles = dict(DEFAULT_PROFILES)
    for name, values in content.items():
        profiles[str(name)] = _changed(profile_of(profiles, str(name)), str(name), values, path)
    return profiles


def _changed(profile: ClassProfile, name: str, values: Any, path: str | Path) -> ClassProfile:
    known = {item.name for item in fields(ClassProfile)}
    if not isinstance(values, dict):
        raise ProfileError(
            f"{path}: the profile of {name!r:.60} is no mapping; its fields are {', '.join(sorted(known))}"
        )
    for key in values:
        if key not in known:
            raise ProfileError(f"{path}: {name!r:.60} has no field {key!r:.60}; there are {', '.join(sorted(known))}")
    try:
        return replace(profile, **values)
    except ProfileError as error:
        raise ProfileError(f"{path}: {name!r:.60}: {error}") from error
