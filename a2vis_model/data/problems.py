"""What can be wrong with a data set, and where the loaders put it: by file and record, never as a crash."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import A2VISError, RecordError, printable

logger = logging.getLogger(__name__)

_LONGEST_PART = 600
"""Characters of a problem's file, record and message each."""


@dataclass(frozen=True)
class DataProblem:
    """One thing that is wrong: in which file, in which record of it, and what."""

    file: str
    record: str
    message: str

    def __str__(self) -> str:
        # Each cut by itself, so that a name without end leaves room for what is wrong.
        parts = (printable(part, _LONGEST_PART) for part in (self.file, self.record, self.message))
        return ": ".join(parts)


class DataError(A2VISError):
    """A problem that cannot be stepped over, or any problem in strict mode. Made from a DataProblem."""

    @property
    def problem(self) -> DataProblem:
        cause = self.args[0]
        # A loader process rebuilds its exceptions from their text alone.
        return cause if isinstance(cause, DataProblem) else DataProblem("?", "?", str(cause))


class ProblemLog:
    """Collects problems, each once, and logs them as warnings; `strict` raises the first instead.

    One log may serve several data sets. A copy sent to a loader process collects for itself there.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._problems: dict[DataProblem, None] = {}

    def __len__(self) -> int:
        return len(self._problems)

    def __iter__(self) -> Iterator[DataProblem]:
        return iter(tuple(self._problems))

    def report(self, problem: DataProblem) -> None:
        if self.strict:
            raise DataError(problem)
        if problem not in self._problems:
            self._problems[problem] = None
            logger.warning("%s", problem)

    @contextmanager
    def skipping(self, file: str, record: str) -> Iterator[None]:
        """Reports what is raised in the block, a RecordError under this name, and leaves the block."""
        try:
            yield
        except DataError as error:
            self.report(error.problem)
        except RecordError as error:
            self.report(DataProblem(file, record, str(error)))


@contextmanager
def quiet_loaders() -> Iterator[None]:
    """Keep back the warnings that loaders log, for whoever names all problems at the end."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
