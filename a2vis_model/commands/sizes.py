"""Sizes of images as they are written on a command line."""

from ..errors import A2VISError


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of WIDTHxHEIGHT, in pixels; raises A2VISError for anything else."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise A2VISError(f"--size {text}: give WIDTHxHEIGHT, such as 480x320")
    return int(width), int(height)
