"""What is known beforehand of the objects of a class: how large they are, how they move, how long they stay. No ROS."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.special import ndtr

from a2vis_model.files.home import at_home
from a2vis_model.files.regular import open_regular

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

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The fields of `ProfileTable`."""
        # Across the line of sight an object that is turned anyhow is so wide.
        lateral = (self.length + self.width) * 2 / math.pi
        lateral_std = math.hypot(self.size_std, (self.length - self.width) / math.sqrt(12))
        own = (self.length, self.width, self.height, self.size_std, self.speed_std, self.acceleration)
        return (*own, lateral, lateral_std)


class ProfileTable(NamedTuple):
    """Profiles of N objects, field by field and each of shape [N]; see `ClassProfile`."""

    length: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    size_std: NDArray[np.float64]
    speed_std: NDArray[np.float64]
    acceleration: NDArray[np.float64]
    lateral: NDArray[np.float64]
    """Mean extent across the line of sight of an object that is turned anyhow, in metres."""
    lateral_std: NDArray[np.float64]
    """Its standard deviation."""

    @classmethod
    def of(cls, profiles: Sequence[ClassProfile]) -> "ProfileTable":
        """Return the table of some objects' profiles."""
        numbers = np.array([one.numbers for one in profiles], np.float64).reshape(-1, len(cls._fields))
        return cls(*np.ascontiguousarray(numbers.T))

    def thickness(self, across: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Horizontal extent along the line of sight of objects that are so wide across it: mean and deviation.

        A rectangle of length L and width W, turned by ψ, is L sin ψ + W cos ψ wide and L cos ψ + W sin ψ thick. As wide
        as L it is from the side, and from one oblique direction too. From the side is what it is taken for, since along
        roads and walls that is what there is more of.

        Args:
            across: [N] in metres.
        """
        diagonal, corner = np.hypot(self.length, self.width), np.arctan2(self.width, self.length)
        oblique = np.maximum(np.arcsin(np.clip(across / diagonal, 0.0, 1.0)) - corner, 0.0)
        side = np.minimum(math.pi - 2 * corner - oblique, math.pi / 2)
        thick = self.length * np.cos(oblique) + self.width * np.sin(oblique)
        thin = self.length * np.cos(side) + self.width * np.sin(side)
        from_side = ndtr((across - self.length) / self.size_std + 1)
        mean = from_side * thin + (1 - from_side) * thick
        return mean, np.hypot(self.size_std, np.sqrt(from_side * (1 - from_side)) * (thick - thin))


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
        path: YAML file, which may begin with "~", that maps class names to mappings of fields; a field that is left out
            keeps its default.

    Raises:
        ProfileError: the file cannot be read or used.
    """
    try:
        with open_regular(at_home(path)) as file:
            text = file.read(MAX_FILE_BYTES + 1)
        content = yaml.safe_load(text) if len(text) <= MAX_FILE_BYTES else None
    except Exception as error:  # The parser of a number, date or tag can fail with any error.
        raise ProfileError(f"the class profiles in {path} cannot be read: {error!s:.300}") from error
    if len(text) > MAX_FILE_BYTES:
        raise ProfileError(f"{path} has more than {MAX_FILE_BYTES} bytes; a file of class profiles is a page")
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
