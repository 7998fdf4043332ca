"""Numbers that a person gives, checked before they do harm."""

from __future__ import annotations

import math

from ..errors import ConfigError


def check_at_least(least: int, settings: object, *names: str) -> None:
    """Raise ConfigError for values of these attributes that are smaller, infinite or no numbers."""
    for name in names:
        value = getattr(settings, name)
        if not least <= value < math.inf:
            raise ConfigError(f"{name}={value}; choose {least} or more")


def check_share(settings: object, *names: str) -> None:
    """Raise ConfigError for values of these attributes that do not lie between 0 and 1."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"{name}={value}; choose 0 to 1")
