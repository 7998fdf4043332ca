"""Ranges of configuration values: what no network comes near is refused before anything is allocated for it."""

import reprlib

from .errors import ConfigError

LAYERS = 64
CHANNELS = 2048
HIDDEN = 16_384
QUERIES = 4096
FRAMES = 1024
PIXELS = 4096
CLASSES = 10_000
STAGES = 4
"""Stages of a backbone."""


def check_ranges(config: object, where: str = "", **ranges: tuple[int, int]) -> None:
    """Raise ConfigError for a field that is, or of which an entry is, outside its range, ends included."""
    for key, (least, most) in ranges.items():
        value = getattr(config, key)
        entries = value if isinstance(value, tuple) else (value,)
        if not all(least <= entry <= most for entry in entries):
            raise ConfigError(f"{where}{key}={reprlib.repr(value)}; choose {least} to {most}")
