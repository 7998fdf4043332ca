"""Range checks of numbers in settings and arguments."""

from __future__ import annotations

import math

from ..errors import ConfigError


def check_at_least(least: int, settings: object, *names: str) -> None:
    """Check that the named attributes are finite numbers of at least `least`.

    Raises:
        ConfigError: one of them is not.
    """
    for name in names:
        value = getattr(settings, name)
        if not least <= value < math.inf:
            raise ConfigError(f"{name}={value}; choose {least} or more")


def check_share(settings: object, *names: str) -> None:
    """Check that the named attributes lie between 0 and 1.

    Raises:
        ConfigError: one of them does not.
    """
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"{name}={value}; choose 0 to 1")
