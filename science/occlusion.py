"""Study "occlusion": how long an ID and a place outlive full occlusion, by its length, the tracker and the camera."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2vis_model.evaluation.baselines import STILL_FRAMES, System
from a2vis_model.evaluation.box_tracking import match_timeline
from a2vis_model.evaluation.id_survival import episodes
from a2vis_model.evaluation.instances import TrackRecord, VideoTracks, mask_areas, track_boxes
from a2vis_model.evaluation.occlusion import occlusion_of
from a2vis_model.evaluation.overlaps import compare_boxes
from a2vis_model.evaluation.prediction import PredictionSettings
from a2vis_model.files.atomic import remove_abandoned_folders, write_text
from a2vis_model.masks import coco
from a2vis_model.masks.coco import Rle
from a2vis_model.render.fishbowl_writer import write_clip
from a2vis_model.render.worlds import clip_seed, render_clip
from a2vis_model.tracking.association import shifted
from a2vis_model.weights import read_track_settings

from .context import Context, Result
from .evaluating import answers, provenance, weights_hash
from .screens import FULL_HEIGHT, FULL_WIDTH, LEAD, TAIL, Motion, behind_screen, find_screen

STUDY = "occlusion"
WEIGHTS = "onboard-fishbowl"
FPS = 30
LENGTHS = (3, 9, 18, 36, 75, 150)
"""Frames for which a fish is wholly hidden: 0.1 to 5 s."""
SCENES = 24
MOTIONS: tuple[Motion, ...] = ("still", "pan", "shake")
SYSTEMS: dict[str, System] = {
    "A2VIS": "network",
    "A2VIS, amodal masks unseen": "visible",
    "detector + ByteTrack": "bytetrack",
    "detector + SORT": "sort",
}
GUESSES = ("amodal mask", "stands still", "constant velocity")
"""Where a hidden object is taken to be.

What a network draws; the last full visible mask, for up to `STILL_FRAMES`; or that mask moved on at the velocity that
it had.
"""
_SEED = 161_603
_FRAMES = LEAD + max(LENGTHS) + TAIL + 60
_DONE = "done.txt"
_VELOCITY_FRAMES = 10
"""Frames up to the last full mask from which a constant velocity is taken."""
_FULL = 0.9
"""Share of the largest visible area of the last second from which a mask is full."""


@dataclass(frozen=True)
class Scene:
    """An aquarium with a pillar for each length of occlusion that it has a fish for, under one motion of the camera."""

    number: int
    motion: Motion

    def key(self) -> Mapping[str, Any]:
        """Return what determines the clips."""
        return {"scene": self.number, "motion": self.motion, "seed": _SEED, "lengths": LENGTHS, "frames": _FRAMES}

    def folder(self, context: Context) -> Path:
        """Return the folder of the scene's clips, named after the lengths, after rendering what is missing."""
        folder = context.scratch / "clips" / f"scene-{self.number:02d}-{self.motion}"
        if (folder / _DONE).exists():
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned_folders(folder)
        seed = clip_seed(_SEED, self.number)
        clip = render_clip(world="aquarium", seed=seed, frames=_FRAMES, height=FULL_HEIGHT, width=FULL_WIDTH)
        for frames in LENGTHS:
            screen, target = find_screen(clip, frames, np.random.default_rng((seed, frames))), folder / f"{frames:03d}"
            if screen is not None and not target.exists():
                write_clip(behind_screen(clip, screen, self.motion, seed), target)
        write_text(folder / _DONE, "every pillar that fits is here\n")
        return folder


@dataclass(frozen=True)
class Survival:
    """A tracker on the clips of a scene: what becomes of every full occlusion."""

    scene: Scene
    system: str
    study: str = field(default=STUDY, init=False)

    @property
    def name(self) -> str:
        """Name of the result."""
        return f"{SYSTEMS[self.system]}-{self.scene.number:02d}-{self.scene.motion}"

    def key(self) -> Mapping[str, Any]:
        """Return what determines the result."""
        return {"scene": self.scene.key(), "weights": weights_hash(WEIGHTS), "system": self.system, "version": 2}

    def run(self, context: Context) -> Result:
        """Track, and follow every object that is wholly hidden for a while and comes back."""
        began = time.monotonic()
        folder = self.scene.folder(context)
        found: list[dict[str, Any]] = []
        if any(path.is_dir() for path in folder.iterdir()):
            prediction = PredictionSettings(output_mode="stream", stride=1, tracks=read_track_settings(WEIGHTS))
            work = f"{self.scene.number:02d}-{self.scene.motion}-{SYSTEMS[self.system]}"
            # All systems of a scene have one detector, which sees each frame once.
            system, memory = SYSTEMS[self.system], context.detections
            for _, truth, _, tracks in answers(context, folder, WEIGHTS, system, prediction, work, memory):
                found += hidden_episodes(truth, tracks)
        return {
            "weights": WEIGHTS,
            "system": self.system,
            "scene": self.scene.number,
            "motion": self.scene.motion,
            "episodes": found,
            "provenance": provenance(began),
        }


def hidden_episodes(truth: VideoTracks, tracks: VideoTracks) -> list[dict[str, Any]]:
    """Return every full occlusion of an object that was followed before and is seen after.

    An episode holds its length in frames, whether the ID survived, and for each guess of `GUESSES` the IoU with the
    object's true amodal mask in each hidden frame, 0 where the guess is empty. Objects and tracks are matched by boxes
    of visible masks (of amodal masks, for tracks without visible ones).
    """
    length = truth.info.length
    absent = np.full((length, 4), np.nan)
    kind = "visible" if any(any(track.visible or ()) for track in tracks.tracks) else "amodal"

    wanted = [_boxes(track, "visible", absent) for track in truth.tracks]
    frames = compare_boxes(wanted, [_boxes(track, kind, absent) for track in tracks.tracks], length)
    timeline = match_timeline(frames, len(truth.tracks))
    result = []
    for thing, line in zip(truth.tracks, timeline, strict=True):
        occlusion = occlusion_of(thing)
        if occlusion is None:
            continue
        hidden = occlusion >= 1
        for start, stop in _runs(hidden):
            # One occlusion alone, so that each gives its own episode.
            alone = np.where(np.isnan(occlusion), np.nan, 0.0)
            alone[start:stop] = 1.0
            for episode in episodes(alone, line, at=1.0):
                before = int(line[:start][line[:start] >= 0][-1])
                track = tracks.tracks[before]
                truths = list(thing.amodal or ())[start:stop]
                result.append(
                    {
                        "frames": episode.frames,
                        "survived": int(episode.survived),
                        "iou": {name: _ious(guess, truths) for name, guess in _guesses(track, start, stop).items()},
                    }
                )
    return result


def _boxes(track: TrackRecord, kind: Any, absent: NDArray[np.float64]) -> NDArray[np.float64]:
    found = track_boxes(track, kind)
    return absent if found is None else found


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first frame of every run of true values, and the frame after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _guesses(track: TrackRecord, start: int, stop: int) -> dict[str, list[Rle | None]]:
    """Return where a track is taken to be in the frames `start` to `stop`, by each rule."""
    length = stop - start
    drawn: list[Rle | None] = [None] * length if track.amodal is None else list(track.amodal[start:stop])
    visible = track.visible or track.amodal or [None] * stop
    seen = [t for t in range(start) if visible[t] is not None]
    still: list[Rle | None] = [None] * length
    moved: list[Rle | None] = [None] * length
    if seen:
        # What hides an object covers it bit by bit: the last mask is often a sliver, the fullest one is not.
        recent = [t for t in seen if t >= seen[-1] - STILL_FRAMES]
        areas = mask_areas([visible[t] for t in recent])
        best = max(t for t, area in zip(recent, areas.tolist(), strict=True) if area >= _FULL * areas.max())
        fullest = visible[best]
        assert fullest is not None
        for t in range(start, min(stop, seen[-1] + STILL_FRAMES + 1)):
            still[t - start] = fullest
        velocity = _velocity([(t, visible[t]) for t in seen if best - _VELOCITY_FRAMES < t <= best])
        pixels = coco.decode(fullest)
        for t in range(start, stop):
            there = shifted(pixels, velocity * (t - best))
            moved[t - start] = coco.encode(there) if there.any() else None
    return dict(zip(GUESSES, (drawn, still, moved), strict=True))


def _velocity(seen: Sequence[tuple[int, Rle | None]]) -> NDArray[np.float64]:
    """Return the mean velocity (y, x) of the middles of masks' boxes, in pixels a frame."""
    times = np.array([t for t, _ in seen], np.float64)
    corners = coco.boxes([mask for _, mask in seen if mask is not None])
    middles = (corners[:, :2] + corners[:, 2:] / 2)[:, ::-1]
    if len(times) < 2:
        return np.zeros(2)
    spread = times - times.mean()
    return np.asarray(spread @ middles / (spread @ spread))


def _ious(guess: Sequence[Rle | None], truths: Sequence[Rle | None]) -> list[float]:
    return [
        0.0 if mine is None or true is None else round(float(coco.iou([mine], [true])[0, 0]), 3)
        for mine, true in zip(guess, truths, strict=True)
    ]


def units() -> list[Survival]:
    """Return the work of the study: scene by scene, so that all trackers and motions grow alike."""
    return [
        Survival(Scene(number, motion), system) for number in range(SCENES) for motion in MOTIONS for system in SYSTEMS
    ]
