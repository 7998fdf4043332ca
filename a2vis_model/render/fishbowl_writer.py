"""Rendered clips on disk in FISHBOWL's merged layout.

A clip's folder holds `video.mp4`, `objects.json` with the visible masks, `object<K:03d>/objects.json`
with the amodal masks of its K-th object, and `recording.json`; where the clip has them, `space.json` and
`depth/`, see `data.space_truth`; and `made_by`, where the writer says what made it. It appears under its name only when
complete.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.space_truth import write_space
from ..errors import A2VISError
from ..extras import optional_packages
from ..files.atomic import new_folder
from ..files.videos import create_mp4
from ..masks.coco import Rle
from .clip import RenderedClip, RenderedObject

with optional_packages():
    import av

RECORDING_FILE = "recording.json"
MADE_BY_FILE = "made_by"
"""Hash of what made a clip. It has no suffix of data, so that the hash of a data set does not change with the code."""
_CRF = "18"
# The default preset takes three times as long for files that are a tenth smaller.
_PRESET = "veryfast"


def write_clip(clip: RenderedClip, directory: Path | str, *, made_by: str | None = None) -> None:
    """Write a video to the folder `directory`, which must not exist yet; its parents are made.

    Args:
        clip: the video.
        directory: the folder.
        made_by: hash of the code and the settings that made it, to be kept beside it.
    """
    target = Path(directory)
    if target.exists():
        raise A2VISError(f"directory {target} exists already; name another, or remove it first")
    with new_folder(target) as partial:
        _write_video(clip.frames, clip.fps, partial / "video.mp4")
        _write_json([_entry(o, o.visible_rles) for o in clip.objects], partial / "objects.json")
        for k, rendered in enumerate(clip.objects):
            folder = partial / f"object{k:03d}"
            folder.mkdir()
            _write_json([_entry(rendered, rendered.amodal_rles)], folder / "objects.json")
        _write_json(_recording(clip, target.name), partial / RECORDING_FILE)
        if made_by is not None:
            (partial / MADE_BY_FILE).write_text(f"{made_by}\n", "ascii")
        if clip.space is not None and clip.depth is not None:
            write_space(clip.space, clip.depth, partial)


def _write_video(frames: NDArray[np.uint8], fps: int, path: Path) -> None:
    """Write H.264, 4:2:0, from RGB [T, H, W, 3]."""
    _, height, width, _ = frames.shape
    with create_mp4(path) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        # One thread is used, because the rendering processes already share the cores.
        stream.options = {"crf": _CRF, "preset": _PRESET, "threads": "1"}
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def _entry(rendered: RenderedObject, masks: Sequence[Rle]) -> dict[str, Any]:
    return {
        "id": rendered.id,
        "type_id": rendered.class_id,
        "type_name": rendered.class_name,
        "speed": rendered.speed,
        "scale": rendered.scale,
        "masks": list(masks),
    }


def _recording(clip: RenderedClip, name: str) -> dict[str, Any]:
    count, height, width, _ = clip.frames.shape
    return {
        "cw": width,
        "ch": height,
        "id": name,
        "world": clip.world,
        "seed": clip.seed,
        "frameTimes": [t * 1000 / clip.fps for t in range(count)],
        **clip.parameters,
    }


def _write_json(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
