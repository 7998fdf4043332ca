"""What a target of the fuzzer is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damage import damaged
from hypothesis import strategies as st

from a2vis_model.errors import A2VISError

Strategy = st.SearchStrategy[Any]


@dataclass(frozen=True)
class Target:
    """What is fed.

    Args:
        inputs: makes the strategy of its inputs; in a folder that it may use.
        run: takes one input, in another folder.
        errors: what it may raise.
    """

    inputs: Callable[[Path], Strategy]
    run: Callable[[Any, Path], None]
    errors: tuple[type[Exception], ...] = (A2VISError,)


def file_target(
    name: str,
    make: Callable[[Path], list[bytes]],
    read: Callable[[Path], object],
    errors: tuple[type[Exception], ...] = (A2VISError,),
    words: list[bytes] | None = None,
) -> Target:
    """A target that is one file; see `damaged` for the words."""

    def run(content: bytes, folder: Path) -> None:
        (folder / name).write_bytes(content)
        read(folder / name)

    return Target(lambda folder: damaged(make(folder), words), run, errors)
