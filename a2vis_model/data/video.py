"""Common form of all data sets: a video, its objects, and a visible and an amodal mask of each object per frame.

An image is a video of length one. Nothing is decoded before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .frames import Frames, FrameSource
from .masks import BoolMask, Mask
from .problems import DataError, DataProblem, ProblemLog, RecordError

AmodalRule = Literal["full", "video", "sample"]
"""How the rule of paper section 3.1, no amodal mask before an object was first seen, is applied.

`full`: not at all. `video`: from the object's first visible frame in the whole video (for evaluation). `sample`: from
its first visible frame among those loaded, in the order of the indices (for training).
"""


@dataclass(frozen=True)
class MaskTrack:
    """The masks of one object over a video, one per frame; None where there is no mask."""

    kind: str  # "visible" or "amodal". Like `file` and `record`, it is used in messages.
    file: str
    record: str
    height: int
    width: int
    masks: tuple[Mask | None, ...]

    def decode(self, t: int) -> BoolMask:
        """Decode the mask of frame `t` to bool [H, W].

        Raises:
            DataError: the mask is broken.
        """
        mask = self.masks[t]
        if mask is None:
            return np.zeros((self.height, self.width), np.bool_)
        with self._naming(t):
            return mask.decode()

    def decode_into(self, masks: BoolMask, frames: Sequence[int]) -> None:
        """Write the masks of these frames to bool [T, H, W], which must be filled with zeros."""
        for row, t in enumerate(frames):
            if self.masks[t] is not None:
                masks[row] = self.decode(t)

    def area(self, t: int) -> int:
        """Count the pixels in the mask of frame `t`.

        Raises:
            DataError: the mask is broken.
        """
        mask = self.masks[t]
        if mask is None:
            return 0
        with self._naming(t):
            return mask.area()

    @contextmanager
    def _naming(self, t: int) -> Iterator[None]:
        try:
            yield
        except RecordError as error:
            message = f"{self.kind} mask of frame {t}: {error}"
            raise DataError(DataProblem(self.file, self.record, message)) from error


@dataclass(frozen=True)
class ObjectTrack:
    """One object over a video; `amodal` is None in data sets that have no amodal masks."""

    object_id: int
    class_id: int
    visible: MaskTrack
    amodal: MaskTrack | None

    def visible_mask(self, t: int) -> BoolMask:
        """Decode the visible mask of frame `t` to bool [H, W]."""
        return self.visible.decode(t)

    def amodal_mask(self, t: int) -> BoolMask | None:
        """Decode the amodal mask of frame `t`, the full shape inside the frame as annotated, to bool [H, W]."""
        return None if self.amodal is None else self.amodal.decode(t)

    def hidden_area(self, t: int) -> int:
        """Count the hidden pixels of the object in a frame; 0 where amodal masks are unknown."""
        return 0 if self.amodal is None else max(self.amodal.area(t) - self.visible.area(t), 0)

    @cached_property
    def first_visible(self) -> int:
        """Find the first frame with a visible pixel; the length of the video when there is none."""
        length = len(self.visible.masks)
        return next((t for t in range(length) if self.visible.area(t)), length)


@dataclass(frozen=True, eq=False)
class Sample:
    """Some frames of a video with everything in them decoded: N objects, T frames."""

    name: str
    indices: NDArray[np.int64]  # [T] indices in the video
    frames: Frames  # [T, H, W, 3] RGB
    visible: NDArray[np.bool_]  # [N, T, H, W]
    amodal: NDArray[np.bool_] | None  # [N, T, H, W]
    class_ids: NDArray[np.int64]  # [N]
    object_ids: NDArray[np.int64]  # [N], unique in the video
    first_visible: NDArray[np.int64]  # [N] frames of the video; its length for an object that is never seen
    labelled: NDArray[np.bool_] | None = None  # [K], whether every object of a class is annotated; None for all classes


@dataclass(frozen=True)
class VideoRecord:
    """One video of a data set, not yet decoded."""

    name: str
    classes: tuple[str, ...]
    source: FrameSource
    tracks: tuple[ObjectTrack, ...]
    has_amodal: bool
    problems: ProblemLog = field(repr=False, compare=False)
    labelled: tuple[bool, ...] | None = None  # Whether every object of each class is annotated; None for all classes.

    @property
    def height(self) -> int:
        """Height of a frame in pixels."""
        return self.source.height

    @property
    def width(self) -> int:
        """Width of a frame in pixels."""
        return self.source.width

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.source.length

    @property
    def labelled_classes(self) -> tuple[str, ...]:
        """Return the names of the classes of which every object is annotated."""
        if self.labelled is None:
            return self.classes
        return tuple(name for name, labelled in zip(self.classes, self.labelled, strict=True) if labelled)

    def frames(self, indices: Sequence[int]) -> Frames:
        """Read frames as uint8 [n, H, W, 3] RGB.

        Raises:
            DataError: a frame cannot be read.
        """
        return self.source.read(indices)

    def frames_with(self, class_id: int) -> NDArray[np.int64]:
        """Find the frames that have a visible mask of a class; masks are not decoded and may turn out to be empty."""
        tracks = [track.visible.masks for track in self.tracks if track.class_id == class_id]
        return np.array([t for t in range(self.length) if any(masks[t] is not None for masks in tracks)], np.int64)

    def first_visible(self, track: ObjectTrack) -> int:
        """Find the first frame in which the object is seen; the length of the video when it never is."""
        return track.first_visible

    def hidden_area(self, t: int) -> int:
        """Count the hidden pixels of all objects in a frame.

        An object with a broken mask counts as zero; `load` reports it.
        """
        area = 0
        for track in self.tracks:
            with suppress(DataError):
                area += track.hidden_area(t)
        return area

    def load(self, indices: Sequence[int], *, amodal: AmodalRule = "full", seen_only: bool = False) -> Sample:
        """Decode these frames and the masks in them; with `seen_only`, only of objects that are visible in any of them.

        An object with a broken mask among them is left out and reported.

        Raises:
            DataError: a frame cannot be read.
        """
        frames = self.frames(indices)
        shape = (len(self.tracks), len(frames), self.height, self.width)
        # Pages of zeros take no memory until they are written to, so rows of objects that are left out are free.
        visible = np.zeros(shape, np.bool_)
        full = np.zeros(shape if self.has_amodal else (0, *shape[1:]), np.bool_)
        kept: list[ObjectTrack] = []
        starts: list[int] = []
        for track in self.tracks:
            row = len(kept)
            try:
                track.visible.decode_into(visible[row], indices)
                if seen_only and not visible[row].any():
                    continue
                start = self.first_visible(track)
                if track.amodal is not None:
                    track.amodal.decode_into(full[row], indices)
                    _apply_rule(amodal, full[row], visible[row], indices, start)
            except DataError as error:
                self.problems.report(error.problem)
                visible[row] = False
                full[row : row + 1] = False
            else:
                kept.append(track)
                starts.append(start)
        return Sample(
            name=self.name,
            indices=np.asarray(indices, np.int64),
            frames=frames,
            visible=visible[: len(kept)],
            amodal=full[: len(kept)] if self.has_amodal else None,
            class_ids=np.array([track.class_id for track in kept], np.int64),
            object_ids=np.array([track.object_id for track in kept], np.int64),
            first_visible=np.array(starts, np.int64),
            labelled=None if self.labelled is None else np.array(self.labelled, np.bool_),
        )


def _apply_rule(
    rule: AmodalRule, amodal: BoolMask, visible: BoolMask, indices: Sequence[int], first_visible: int
) -> None:
    """Empty the amodal masks [T, H, W] of the frames before the object was seen, in place."""
    if rule == "video":
        amodal[np.asarray(indices) < first_visible] = False
    elif rule == "sample":
        seen = visible.any(axis=(1, 2))
        amodal[~np.logical_or.accumulate(seen)] = False
    elif rule != "full":
        raise ValueError(f"amodal={rule!r} is none of {', '.join(get_args(AmodalRule))}")
