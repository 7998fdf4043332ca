"""All measurements of one video, small enough to be sent between processes and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .average_precision import ClassMatches, match_tracks
from .box_tracking import TrackingCounts, count_tracking, match_timeline, regions_of
from .hidden_part import HiddenPart, WorstCase, score_hidden_part
from .id_survival import Episode, episodes
from .instances import Kind, Role, TrackRecord, VideoInfo, VideoTracks, track_boxes
from .occlusion import GROUPS, Group, occlusion_of, outside, start_when_seen
from .overlaps import FrameOverlap, MaskOverlap, compare_boxes, compare_masks
from .settings import ScoreSettings

TRACKING_OF: dict[str, Kind] = {"boxes": "amodal", "visible_boxes": "visible"}
"""Kind of masks behind each name of box tracking in results. Boxes of formats without masks are scored as "boxes"."""

Matches = dict[Kind, dict[Group, dict[int, ClassMatches | None]]]
Tracking = dict[str, dict[Group, dict[int | None, TrackingCounts]]]
"""Counts by what is tracked, group of objects, and class (None for all classes together)."""


@dataclass
class Timeline:
    """IDs that followed the objects of a video."""

    object_ids: list[int]
    class_ids: list[int]
    ids: NDArray[np.int64]
    """IDs [G, T] of predictions, -1 where none follows."""
    occlusion: NDArray[np.float32]
    """Occlusion [G, T], NaN where an object is not in the frame."""


@dataclass
class VideoScore:
    """The measurements of one video."""

    info: VideoInfo
    matches: Matches = field(default_factory=dict)
    tracking: Tracking = field(default_factory=dict)
    hidden: HiddenPart | None = None
    worst: WorstCase | None = None
    survival: list[Episode] | None = None
    timeline: Timeline | None = None
    objects: dict[Group, int] = field(default_factory=dict)
    """Number of objects in each group."""


@dataclass(frozen=True)
class Scope:
    """What ground truth and predictions both hold, and can therefore be compared."""

    classes: tuple[int, ...]
    """Category IDs of the classes."""
    kinds: tuple[Kind, ...]
    """Kinds of masks for average precision."""
    tracking: tuple[str, ...]
    """Names of box tracking: "boxes", "visible_boxes", "masks"."""
    ranked: bool
    """Whether predictions have scores, without which there is no average precision."""


def score_video(
    truth: VideoTracks, ranked: VideoTracks, tracked: VideoTracks, settings: ScoreSettings, scope: Scope
) -> VideoScore:
    """Measure one video.

    Args:
        truth: tracks of the ground truth.
        ranked: predictions for average precision, including those of low scores.
        tracked: predictions for all else; may be the same.
        settings: how predictions are scored.
        scope: what can be compared.
    """
    objects = [track for track in truth.tracks if track.class_id in scope.classes]
    if settings.amodal_truth == "seen":
        objects = [start_when_seen(track) for track in objects]
    occlusion = [occlusion_of(track) for track in objects]
    groups: dict[Group, NDArray[np.bool_]] = {
        group: outside(group, occlusion, settings.split_at, settings.split_by) for group in GROUPS
    }
    if all(values is None for values in occlusion):
        del groups["low"], groups["high"]
    video = _Video(truth, objects, occlusion, groups, settings, scope)
    score = VideoScore(truth.info, objects={group: int((~out).sum()) for group, out in groups.items()})
    wanted = [track for track in ranked.tracks if track.class_id in scope.classes]
    followed = [
        track for track in tracked.tracks if track.class_id in scope.classes and track.score >= settings.tracking_score
    ]
    overlaps: dict[Kind, MaskOverlap] = {}
    if scope.ranked:
        for kind in scope.kinds:
            overlaps[kind] = video.overlap(kind, wanted)
            score.matches[kind] = video.matches(kind, overlaps[kind], wanted)
    same = scope.ranked and [id(track) for track in wanted] == [id(track) for track in followed]
    frames = {name: video.frames(name, followed, overlaps if same else {}) for name in scope.tracking}
    for name in scope.tracking:
        score.tracking[name] = video.tracking(name, frames[name], followed)
    if scope.tracking:
        _add_timeline(score, video, frames[scope.tracking[0]], followed)
    if "amodal" in scope.kinds:
        overlap = overlaps["amodal"] if same else video.overlap("amodal", followed)
        visible = [track.visible or [None] * truth.info.length for track in objects]
        amodal = [track.amodal or [None] * truth.info.length for track in followed]
        score.hidden, score.worst = score_hidden_part(overlap, visible, amodal, occlusion, least=settings.hidden_pixels)
    return score


@dataclass(frozen=True)
class _Video:
    truth: VideoTracks
    objects: Sequence[TrackRecord]
    occlusion: Sequence[NDArray[np.float64] | None]
    groups: dict[Group, NDArray[np.bool_]]
    settings: ScoreSettings
    scope: Scope

    @property
    def length(self) -> int:
        return self.truth.info.length

    def overlap(self, kind: Kind, predictions: Sequence[TrackRecord]) -> MaskOverlap:
        empty = [None] * self.length
        return compare_masks(
            [track.masks(kind) or empty for track in self.objects],
            [track.masks(kind) or empty for track in predictions],
            self.length,
        )

    def matches(
        self, kind: Kind, overlap: MaskOverlap, predictions: Sequence[TrackRecord]
    ) -> dict[Group, dict[int, ClassMatches | None]]:
        classes = np.array([track.class_id for track in self.objects], np.int64)
        found = np.array([track.class_id for track in predictions], np.int64)
        scores = np.array([track.score_of(kind) for track in predictions], np.float64)
        crowd = np.array([track.crowd for track in self.objects], np.bool_)
        result: dict[Group, dict[int, ClassMatches | None]] = {}
        for group, out in self.groups.items():
            result[group] = {}
            for class_id in self.scope.classes:
                g, p = np.flatnonzero(classes == class_id), np.flatnonzero(found == class_id)
                if len(g) or len(p):
                    iou = overlap.tube_iou[p[:, None], g]
                    labelled = self.truth.info.labels(class_id)
                    result[group][class_id] = match_tracks(iou, scores[p], (crowd | out)[g], labelled=labelled)
        return result

    def frames(
        self, name: str, predictions: Sequence[TrackRecord], overlaps: dict[Kind, MaskOverlap]
    ) -> Sequence[FrameOverlap]:
        if name == "masks":
            return (overlaps.get("visible") or self.overlap("visible", predictions)).frames
        kind, absent = TRACKING_OF[name], np.full((self.length, 4), np.nan)

        def boxes(tracks: Sequence[TrackRecord]) -> list[NDArray[np.float64]]:
            found = (track_boxes(track, kind) for track in tracks)
            return [absent if values is None else values for values in found]

        return compare_boxes(boxes(self.objects), boxes(predictions), self.length)

    def tracking(
        self, name: str, frames: Sequence[FrameOverlap], predictions: Sequence[TrackRecord]
    ) -> dict[Group, dict[int | None, TrackingCounts]]:
        classes = np.array([track.class_id for track in self.objects], np.int64)
        found = np.array([track.class_id for track in predictions], np.int64)
        inside = None
        if name == "masks":
            masks = [track.visible or [None] * self.length for track in predictions]
            inside = regions_of(masks, self.truth.ignore_regions, frames)
        unlabelled = np.array([not self.truth.info.labels(track.class_id) for track in predictions], np.bool_)
        if unlabelled.any():
            # As in an ignore region, such a prediction does not count unless it matches an object.
            of_others = [unlabelled[frame.predictions] for frame in frames]
            inside = of_others if inside is None else [a | b for a, b in zip(inside, of_others, strict=True)]
        result: dict[Group, dict[int | None, TrackingCounts]] = {}
        for group, out in self.groups.items():
            roles = self._roles(out)
            everything = np.ones(len(classes), np.bool_), np.ones(len(found), np.bool_)
            result[group] = {None: count_tracking(frames, *everything, roles, in_region=inside)}
            if len(self.scope.classes) == 1:
                result[group][self.scope.classes[0]] = result[group][None]
            elif group == "all" or self.settings.tracking_classes != "together":
                for class_id in self.scope.classes:
                    chosen = classes == class_id, found == class_id
                    result[group][class_id] = count_tracking(frames, *chosen, roles, in_region=inside)
        return result

    def _roles(self, out: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Return roles [G, T] in which the objects outside of a group are ignored, as distractors are."""
        roles = np.zeros((len(self.objects), self.length), np.int8)
        for g, track in enumerate(self.objects):
            if track.roles is not None:
                roles[g] = track.roles
            elif track.crowd:
                roles[g] = Role.IGNORED
            if out[g]:
                roles[g, roles[g] == Role.COUNTED] = Role.IGNORED
        return roles


def _add_timeline(
    score: VideoScore, video: _Video, frames: Sequence[FrameOverlap], followed: Sequence[TrackRecord]
) -> None:
    partners = match_timeline(frames, len(video.objects))
    ids = np.array([*(track.track_id for track in followed), -1], np.int64)[partners]
    absent = np.full(video.length, np.nan)
    occlusion = [absent if values is None else values for values in video.occlusion]
    score.timeline = Timeline(
        object_ids=[track.track_id for track in video.objects],
        class_ids=[track.class_id for track in video.objects],
        ids=ids.reshape(len(video.objects), video.length),
        occlusion=np.array(occlusion, np.float32).reshape(len(video.objects), video.length),
    )
    if "low" in video.groups:
        score.survival = [
            episode
            for values, line in zip(occlusion, partners, strict=True)
            for episode in episodes(values, line, video.settings.survival_at)
        ]
