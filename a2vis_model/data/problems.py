"""Problems of data sets, reported by file and record, never as a crash."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import A2VISError, RecordError, printable

logger = logging.getLogger(__name__)

_LONGEST_PART = 600
"""Most characters of a problem's file, record and message each."""


def add_strict_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--strict`, which means the same in every program that reads users' files."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop with an error, status 2, at the first frame or record that is damaged",
    )


@dataclass(frozen=True)
class DataProblem:
    """One problem in a data set: the file, the record in it, and what is wrong."""

    file: str
    record: str
    message: str

    def __str__(self) -> str:
        # Each part is shortened by itself, so that a very long name leaves room for the message.
        parts = (printable(part, _LONGEST_PART) for part in (self.file, self.record, self.message))
        return ": ".join(parts)


class DataError(A2VISError):
    """A problem that cannot be skipped, or any problem in strict mode; made from a DataProblem."""

    @property
    def problem(self) -> DataProblem:
        """The problem that the error was made from."""
        cause = self.args[0]
        # A loader process rebuilds its exceptions from their text alone.
        return cause if isinstance(cause, DataProblem) else DataProblem("?", "?", str(cause))


class ProblemLog:
    """Collects problems, each once, and logs them as warnings; `strict` raises the first instead.

    One log may serve several data sets. A copy sent to a loader process collects its own problems there.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._problems: dict[DataProblem, None] = {}

    def __len__(self) -> int:
        return len(self._problems)

    def __iter__(self) -> Iterator[DataProblem]:
        return iter(tuple(self._problems))

    def report(self, problem: DataProblem) -> None:
        """Add a problem and log it, unless it is known; raise it in strict mode."""
        if self.strict:
            raise DataError(problem)
        if problem not in self._problems:
            self._problems[problem] = None
            logger.warning("%s", problem)

    @contextmanager
    def skipping(self, file: str, record: str) -> Iterator[None]:
        """Report an error raised in the block and leave the block.

        A RecordError is reported under `file` and `record`.
        """
        try:
            yield
        except DataError as error:
            self.report(error.problem)
        except RecordError as error:
            self.report(DataProblem(file, record, str(error)))


@contextmanager
def named_at_an_error(problems: ProblemLog) -> Iterator[None]:
    """Name what was broken also where an error of any kind, or the user, ends the block.

    For programs that name all problems at the end.
    """
    try:
        yield
    except BaseException as error:
        own = error.problem if isinstance(error, DataError) else None
        for problem in problems:
            if problem != own:
                print(f"problem: {problem}")
        raise


@contextmanager
def quiet_loaders() -> Iterator[None]:
    """Keep back the warnings that loaders log, for whoever names all problems at the end."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
