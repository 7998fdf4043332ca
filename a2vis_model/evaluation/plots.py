"""Plots of results: curves, timelines of IDs and the worst cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..extras import optional_packages
from ..files.atomic import replacing, write_bytes
from ..masks import coco
from ..tracking.overlay import track_colour
from .files import Comparison
from .instances import TrackRecord, VideoInfo, track_boxes
from .occlusion import start_when_seen
from .video_score import Timeline, VideoScore

with optional_packages():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

Image = NDArray[np.uint8]
FrameLoader = Callable[[VideoInfo, int], Image]
"""Function that reads a frame of a video as RGB uint8 [H, W, 3]."""

TIMELINES = 50
WORST = 12
_GREY = 96


def write_plots(
    folder: Path,
    scores: Sequence[VideoScore],
    curves: dict[str, Any],
    comparison: Comparison,
    frames: FrameLoader | None = None,
) -> None:
    """Write all plots as PNG.

    These are precision over recall, HOTA over thresholds, IoU over occlusion, a timeline of IDs for each of the first
    videos, and the worst object-frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind, lines in curves["precision_recall"].items():
        _curve(folder / f"precision_recall_{kind}.png", lines, "recall", "precision", f"{kind} masks")
    for name, lines in curves["hota"].items():
        _curve(folder / f"hota_{name}.png", lines, "IoU", "value", name.replace("_", " "))
    if "occlusion" in curves:
        _occlusion(folder / "occlusion.png", curves["occlusion"])
    for score in scores[:TIMELINES]:
        if score.timeline is not None and len(score.timeline.ids):
            _timeline(folder / f"timeline_{_file_name(score.info)}.png", score.info.name, score.timeline)
    found = [score for score in scores if score.worst is not None and score.worst.wrong > 0]
    found.sort(key=lambda score: -score.worst.wrong if score.worst else 0.0)
    for rank, score in enumerate(found[:WORST], 1):
        picture = worst_case(score, comparison, frames)
        encoded = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
        write_bytes(folder / f"worst_{rank:02d}_{_file_name(score.info)}.png", encoded)


def worst_case(score: VideoScore, comparison: Comparison, frames: FrameLoader | None) -> Image:
    """Draw the worst object-frame of a video, the ground truth on the left and the prediction on the right.

    Amodal masks are outlined, visible masks are filled.
    """
    assert score.worst is not None
    worst, info = score.worst, score.info
    chosen = set(comparison.scope.classes)
    objects = [track for track in comparison.truth.read(info).tracks if track.class_id in chosen]
    track = start_when_seen(objects[worst.object_index])
    partner = None
    if worst.prediction_index >= 0:
        partner = [t for t in comparison.tracked.read(info).tracks if t.class_id in chosen][worst.prediction_index]
    if frames is None:
        image: Image = np.full((info.height, info.width, 3), _GREY, np.uint8)
    else:
        image = frames(info, worst.frame)
    halves = [_draw(image, shown, worst.frame) for shown in (track, partner)]
    text = f"{info.name} frame {worst.frame} object {track.track_id}: IoU {worst.iou:.2f}"
    banner: Image = np.zeros((24, 2 * info.width, 3), np.uint8)
    cv2.putText(banner, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.concatenate([banner, np.concatenate(halves, axis=1)])


def _draw(image: Image, track: TrackRecord | None, frame: int) -> Image:
    canvas = image.copy()
    if track is None:
        return canvas
    colour = track_colour(track.track_id)
    visible = None if track.visible is None else track.visible[frame]
    amodal = None if track.amodal is None else track.amodal[frame]
    if visible is not None:
        inside = coco.decode(visible)
        canvas[inside] = (0.5 * canvas[inside] + 0.5 * np.asarray(colour)).astype(np.uint8)
    if amodal is not None:
        pixels = coco.decode(amodal).astype(np.uint8)
        contours, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, colour, 1, cv2.LINE_AA)
    boxes = track_boxes(track, "amodal" if amodal is not None else "visible")
    if boxes is not None and not np.isnan(boxes[frame, 0]):
        x, y, width, height = boxes[frame].round().astype(int).tolist()
        cv2.rectangle(canvas, (x, y), (x + width, y + height), (255, 255, 255), 1)
    return canvas


def _curve(path: Path, lines: dict[str, list[float]], x: str, y: str, title: str) -> None:
    figure, axes = _figure(5, 4)
    for name, values in lines.items():
        if name != x and len(values) == len(lines[x]):
            axes.plot(lines[x], values, label=name)
    axes.set(xlabel=x, ylabel=y, title=title, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _occlusion(path: Path, curve: dict[str, list[Any]]) -> None:
    figure, axes = _figure(5, 4)
    bins = len(curve["IoU"])
    x = (np.arange(bins) + 0.5) / bins
    axes.bar(x, [value or 0 for value in curve["IoU"]], width=0.9 / bins)
    for place, value, count in zip(x, curve["IoU"], curve["object_frames"], strict=True):
        axes.text(place, (value or 0) + 0.01, f"{count}", ha="center", fontsize=6)
    axes.set(xlabel="hidden share of the object", ylabel="IoU of its amodal mask", xlim=(0, 1), ylim=(0, 1.05))
    axes.set_title("object-frames above each bar")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _timeline(path: Path, name: str, timeline: Timeline) -> None:
    """Plot one row per object of a video.

    The colour is the ID on the object, or grey where it is hidden by more than half and has no ID; a black bar marks an
    ID switch.
    """
    objects, length = timeline.ids.shape
    figure, axes = _figure(9, 1.2 + 0.28 * objects)
    picture = np.full((objects, length, 3), 255, np.uint8)
    picture[~np.isnan(timeline.occlusion)] = 225
    picture[np.nan_to_num(timeline.occlusion) > 0.5] = 150
    for number in np.unique(timeline.ids[timeline.ids >= 0]).tolist():
        picture[timeline.ids == number] = track_colour(number)
    axes.imshow(picture, aspect="auto", interpolation="nearest")
    for row, ids in enumerate(timeline.ids):
        frames = np.flatnonzero(ids >= 0)
        for t in frames[1:][ids[frames[1:]] != ids[frames[:-1]]]:
            axes.plot([t - 0.5] * 2, [row - 0.5, row + 0.5], color="black", linewidth=2)
    axes.set_yticks(range(objects), [str(number) for number in timeline.object_ids], fontsize=6)
    axes.set(xlabel="frame", ylabel="object", title=f"{name}: IDs (white: not there, grey: no ID, black bar: switch)")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    """Make a figure without pyplot, whose global state would accumulate figures and require a display."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _file_name(video: VideoInfo) -> str:
    return f"{video.video_id:05d}_{re.sub(r'[^A-Za-z0-9_.-]', '_', video.name)[:40]}"
