"""What every data set is to the rest of the program: videos by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .problems import DataError, ProblemLog
from .video import VideoRecord


class Dataset(ABC):
    """Videos that are read one at a time, when asked for. Safe to send to loader processes, and cheap.

    Broken objects are left out of a video and broken videos out of `videos()`; `problems` names them.
    """

    format: str
    names: Sequence[str]  # of the videos
    classes: tuple[str, ...]
    has_amodal: bool

    def __init__(self, path: str | Path, problems: ProblemLog | None) -> None:
        self.path = str(path)
        self.problems = ProblemLog() if problems is None else problems

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> VideoRecord:
        """Raises DataError when nothing of the video can be used."""
        index = range(len(self))[index]
        try:
            return self._read(index)
        except DataError as error:
            self.problems.report(error.problem)
            raise

    def videos(self) -> Iterator[VideoRecord]:
        """The usable videos in order."""
        for index in range(len(self)):
            try:
                video = self[index]
            except DataError:
                if self.problems.strict:
                    raise
                continue
            yield video

    @abstractmethod
    def class_names(self) -> Iterator[str]:
        """The classes of the objects in the files, also of those left out; names may come more than once."""

    @abstractmethod
    def video_classes(self) -> Iterator[Mapping[int, float]]:
        """What each video holds, found without decoding a mask: the classes of its objects, by their places in
        `classes`, and which share of the image the smallest object of each covers, 1 where that is not known."""

    @abstractmethod
    def _read(self, index: int) -> VideoRecord: ...
