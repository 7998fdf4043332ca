"""Interface of every data set: videos by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .problems import DataError, ProblemLog
from .video import VideoRecord


class Dataset(ABC):
    """Videos that are read one at a time, on demand; safe and cheap to send to loader processes.

    Broken objects are left out of a video and broken videos out of `videos()`; `problems` names them.
    """

    format: str
    names: Sequence[str]  # Names of the videos.
    classes: tuple[str, ...]
    has_amodal: bool

    def __init__(self, path: str | Path, problems: ProblemLog | None) -> None:
        self.path = str(path)
        self.problems = ProblemLog() if problems is None else problems

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> VideoRecord:
        """Read a video.

        Raises:
            DataError: nothing of the video can be used.
        """
        index = range(len(self))[index]
        try:
            return self._read(index)
        except DataError as error:
            self.problems.report(error.problem)
            raise

    def videos(self) -> Iterator[VideoRecord]:
        """Yield the usable videos in order."""
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
        """Yield the classes of the objects in the files, including those left out; a name may occur more than once."""

    @abstractmethod
    def video_classes(self) -> Iterator[Mapping[int, float]]:
        """Yield what each video holds, without decoding a mask.

        For each video: the classes of its objects, by their places in `classes`, and the share of the image that the
        smallest object of each class covers, 1 where it is unknown.
        """

    @abstractmethod
    def _read(self, index: int) -> VideoRecord: ...
