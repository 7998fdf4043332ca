"""Range checks of configuration values: excessive values are refused before memory is allocated for them."""

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
"""Number of stages of a backbone."""


def check_ranges(config: object, where: str = "", **ranges: tuple[int, int]) -> None:
    """Check that fields, or each of their entries, are within their ranges, ends included.

    Raises:
        ConfigError: a field is out of range.
    """
    for key, (least, most) in ranges.items():
        value = getattr(config, key)
        entries = value if isinstance(value, tuple) else (value,)
        if not all(least <= entry <= most for entry in entries):
            raise ConfigError(f"{where}{key}={reprlib.repr(value)}; choose {least} to {most}")
