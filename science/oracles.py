"""Replacing parts of a prediction by the truth, one at a time: what would the rest reach if this part were right?

All functions take the tracks of one clip and give new ones; nothing is changed in place. In each frame objects and
predicted tracks are paired for the greatest total IoU of their whole (amodal) masks, as in the score of hidden parts;
a prediction is *on* an object from an IoU of 0.1 on. What is on an object is then made right; what is on none is a
false alarm. Ranked slots are no decided tracks, and several may show one object: `shared` lets each be on the object
that it overlaps most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from a2vis_model.evaluation.hidden_part import best_partners
from a2vis_model.evaluation.instances import Masks, TrackRecord, VideoTracks, mask_areas
from a2vis_model.evaluation.occlusion import start_when_seen
from a2vis_model.evaluation.overlaps import compare_masks
from a2vis_model.masks import coco
from a2vis_model.masks.coco import Rle

ON_OBJECT = 0.1
"""IoU of whole masks from which a prediction is on an object, if only badly."""


@dataclass(frozen=True)
class Pairing:
    """Objects of a clip of T frames and which of its P predictions is on each."""

    objects: list[TrackRecord]
    """Objects [G]; their amodal masks begin when they are first seen."""
    on: NDArray[np.int64]
    """Index [G, T] of the prediction on an object, -1 for none; where they are shared, of one of them."""
    object_of: NDArray[np.int64]
    """Index [P, T] of the object that a prediction is on, -1 for none."""

    @classmethod
    def of(cls, truth: VideoTracks, tracks: Sequence[TrackRecord], *, shared: bool = False) -> Pairing:
        """Pair the objects of a clip with predictions, one to one in each frame unless they are shared."""
        objects = [start_when_seen(track) for track in truth.tracks]
        length = truth.info.length
        overlap = compare_masks(
            [_whole(track, length) for track in objects], [_whole(t, length) for t in tracks], length
        )
        partner, iou = best_partners(overlap.frames, len(objects))
        on = np.where(iou >= ON_OBJECT, partner, -1)
        object_of = np.full((len(tracks), length), -1, np.int64)
        for t, frame in enumerate(overlap.frames):
            if shared and frame.iou.size:
                best = frame.iou.argmax(axis=0)
                enough = frame.iou[best, range(len(best))] >= ON_OBJECT
                object_of[frame.predictions[enough], t] = frame.objects[best[enough]]
            elif not shared:
                things = np.flatnonzero(on[:, t] >= 0)
                object_of[on[things, t], t] = things
        return cls(objects, on, object_of)


def true_classes(truth: VideoTracks, tracks: Sequence[TrackRecord], *, shared: bool = False) -> list[TrackRecord]:
    """Give every track the class of the object that it is on for most frames."""
    pairing = Pairing.of(truth, tracks, shared=shared)
    result = []
    for number, track in enumerate(tracks):
        found = pairing.object_of[number]
        counts = Counter(found[found >= 0].tolist())
        class_id = pairing.objects[counts.most_common(1)[0][0]].class_id if counts else track.class_id
        result.append(replace(track, class_id=class_id))
    return result


def true_visible(truth: VideoTracks, tracks: Sequence[TrackRecord], *, shared: bool = False) -> list[TrackRecord]:
    """Replace visible masks where a track is on an object; amodal masks then contain them, and stay else."""

    def visible_of(seen: Rle | None, whole: Rle | None, thing: TrackRecord, t: int) -> tuple[Rle | None, Rle | None]:
        true = _at(thing.visible, t)
        return true, _union(whole, true)

    return _with_masks(truth, tracks, visible_of, shared=shared)


def true_hidden(truth: VideoTracks, tracks: Sequence[TrackRecord], *, shared: bool = False) -> list[TrackRecord]:
    """Replace the hidden part where a track is on an object: its predicted visible mask, and the true hidden part."""

    def hidden_of(seen: Rle | None, whole: Rle | None, thing: TrackRecord, t: int) -> tuple[Rle | None, Rle | None]:
        return seen, _union(seen, _without(_at(thing.amodal, t), _at(thing.visible, t)))

    return _with_masks(truth, tracks, hidden_of, shared=shared)


def true_amodal(truth: VideoTracks, tracks: Sequence[TrackRecord], *, shared: bool = False) -> list[TrackRecord]:
    """Replace amodal masks, and with them the boxes of box tracking, where a track is on an object."""
    return _with_masks(truth, tracks, lambda seen, whole, thing, t: (seen, _at(thing.amodal, t)), shared=shared)


def without_false_alarms(truth: VideoTracks, tracks: Sequence[TrackRecord]) -> list[TrackRecord]:
    """Remove what is on no object, frame by frame. Scores stay: the ranking is not what is made right."""
    pairing = Pairing.of(truth, tracks)
    parts = ((track, _part(track, pairing.object_of[number] >= 0)) for number, track in enumerate(tracks))
    return [
        replace(part, score=track.score, amodal_score=track.amodal_score) for track, part in parts if part is not None
    ]


def without_misses(truth: VideoTracks, tracks: Sequence[TrackRecord]) -> list[TrackRecord]:
    """Add every object-frame in which the object is seen and no track is on it, with true masks.

    They go to the track that was on the object before, else to the first that is afterwards; where there is none, or it
    has a mask elsewhere in that frame, to a new track of the object's class that has the highest score.
    """
    return _filled(truth, tracks, lambda seen: seen)


def true_presence(truth: VideoTracks, tracks: Sequence[TrackRecord]) -> list[TrackRecord]:
    """Add every object-frame in which the object is wholly hidden and no track is on it, as `without_misses` does."""
    return _filled(truth, tracks, lambda seen: ~seen)


def true_association(truth: VideoTracks, tracks: Sequence[TrackRecord]) -> list[TrackRecord]:
    """Join what is on one object to one track, with the class of most of its frames.

    A frame of a track carries the track's score divided by its number of frames. What is on no object stays with its
    track.
    """
    pairing = Pairing.of(truth, tracks)
    frames = [_frames(track) for track in tracks]
    number = max((track.track_id for track in tracks), default=0)
    result = []
    for row in pairing.on:
        times = np.flatnonzero(row >= 0)
        if not len(times):
            continue
        number += 1
        owners = row[times].tolist()
        votes = Counter(tracks[p].class_id for p in owners)
        joined = TrackRecord(
            number,
            votes.most_common(1)[0][0],
            min(sum(tracks[p].score / frames[p] for p in owners), 1.0),
            visible=_picked(tracks, row, "visible"),
            amodal=_picked(tracks, row, "amodal"),
        )
        result.append(joined)
    left = (_part(track, pairing.object_of[p] < 0) for p, track in enumerate(tracks))
    return result + [track for track in left if track is not None]


def true_ranking(truth: VideoTracks, tracks: Sequence[TrackRecord]) -> list[TrackRecord]:
    """Replace scores by the best IoU of the whole clip with an object of the class, 0 where there is none."""
    length = truth.info.length
    objects = [start_when_seen(track) for track in truth.tracks]
    overlap = compare_masks([_whole(o, length) for o in objects], [_whole(t, length) for t in tracks], length)
    result = []
    for p, track in enumerate(tracks):
        same = [overlap.tube_iou[p, g] for g, thing in enumerate(objects) if thing.class_id == track.class_id]
        result.append(replace(track, score=float(max(same, default=0.0)), amodal_score=None))
    return result


def best_class_only(truth: VideoTracks, tracks: Sequence[TrackRecord]) -> list[TrackRecord]:
    """Keep of tracks with equal masks the one with the highest score: ranked slots without their second guesses."""
    best: dict[tuple[bytes, ...], TrackRecord] = {}
    for track in tracks:
        key = tuple(b"" if mask is None else coco.as_bytes(mask["counts"]) for mask in _whole(track, truth.info.length))
        if key not in best or best[key].score < track.score:
            best[key] = track
    return list(best.values())


Oracle = Callable[[VideoTracks, Sequence[TrackRecord]], list[TrackRecord]]

STREAM: dict[str, tuple[Oracle, ...]] = {
    "as it is": (),
    "no false alarms": (without_false_alarms,),
    "no misses": (without_misses,),
    "true detection": (without_false_alarms, without_misses),
    "true presence while hidden": (true_presence,),
    "true classes": (true_classes,),
    "true visible masks": (true_visible,),
    "true hidden parts": (true_hidden,),
    "true amodal masks": (true_amodal,),
    "true association": (true_association,),
    "all but detection": (true_visible, true_amodal, true_association, true_presence, true_classes),
    "all but classes": (
        without_false_alarms, without_misses, true_presence, true_visible, true_amodal, true_association,
    ),
    "all but masks": (without_false_alarms, without_misses, true_presence, true_association, true_classes),
    "all but association": (
        without_false_alarms, without_misses, true_presence, true_visible, true_amodal, true_classes,
    ),
    "everything": (
        without_false_alarms, without_misses, true_presence, true_visible, true_amodal, true_association, true_classes,
    ),
}  # fmt: skip
"""What is replaced in the tracks of a stream, one after the other."""
RANKED: dict[str, tuple[Oracle, ...]] = {
    "as it is": (),
    "best class only": (best_class_only,),
    "true classes": (best_class_only, partial(true_classes, shared=True)),
    "true visible masks": (best_class_only, partial(true_visible, shared=True)),
    "true hidden parts": (best_class_only, partial(true_hidden, shared=True)),
    "true amodal masks": (best_class_only, partial(true_amodal, shared=True)),
    "true ranking": (true_ranking,),
}
"""What is replaced in ranked slots. But for the ranking, slots are taken with their best class alone."""


def apply(oracles: Sequence[Oracle], truth: VideoTracks, predictions: VideoTracks) -> VideoTracks:
    """Apply oracles one after the other."""
    tracks = list(predictions.tracks)
    for oracle in oracles:
        tracks = oracle(truth, tracks)
    return VideoTracks(predictions.info, tracks)


def _whole(track: TrackRecord, length: int) -> Masks:
    """Return the amodal masks; visible ones of tracks that have no others."""
    if track.amodal is not None and any(track.amodal):
        return track.amodal
    return track.visible or [None] * length


def _at(masks: Masks | None, t: int) -> Rle | None:
    return None if masks is None else masks[t]


def _union(first: Rle | None, second: Rle | None) -> Rle | None:
    if first is None or second is None:
        return first or second
    return coco.union([first, second])


def _without(mask: Rle | None, removed: Rle | None) -> Rle | None:
    """Return a mask without the pixels of another; None where nothing is left."""
    if mask is None or removed is None:
        return mask
    left = coco.decode(mask) & ~coco.decode(removed)
    return coco.encode(left) if left.any() else None


def _frames(track: TrackRecord) -> int:
    """Count the frames in which a track has a mask, at least 1."""
    present = np.zeros(len(track.visible or track.amodal or ()), np.bool_)
    for masks in (track.visible, track.amodal):
        if masks is not None:
            present |= mask_areas(masks) > 0
    return max(int(present.sum()), 1)


def _with_masks(
    truth: VideoTracks,
    tracks: Sequence[TrackRecord],
    change: Callable[[Rle | None, Rle | None, TrackRecord, int], tuple[Rle | None, Rle | None]],
    *,
    shared: bool,
) -> list[TrackRecord]:
    """Replace the visible and the amodal mask of every track where it is on an object."""
    pairing = Pairing.of(truth, tracks, shared=shared)
    length = truth.info.length
    result = []
    for number, track in enumerate(tracks):
        visible, amodal = list(track.visible or [None] * length), list(track.amodal or [None] * length)
        for t, g in enumerate(pairing.object_of[number].tolist()):
            if g >= 0:
                visible[t], amodal[t] = change(visible[t], amodal[t], pairing.objects[g], t)
        result.append(replace(track, visible=visible, amodal=amodal))
    return result


def _part(track: TrackRecord, frames: NDArray[np.bool_]) -> TrackRecord | None:
    """Return a track in some frames alone, with that share of its score; None where it has no mask in them."""
    before = _frames(track)

    def kept(masks: Masks | None) -> Masks | None:
        return None if masks is None else [mask if keep else None for mask, keep in zip(masks, frames, strict=True)]

    part = replace(track, visible=kept(track.visible), amodal=kept(track.amodal))
    if not any(part.visible or ()) and not any(part.amodal or ()):
        return None
    share = _frames(part) / before
    amodal_score = None if track.amodal_score is None else track.amodal_score * share
    return replace(part, score=track.score * share, amodal_score=amodal_score)


def _picked(tracks: Sequence[TrackRecord], owners: NDArray[np.int64], kind: str) -> Masks:
    """Return the masks of the tracks `owners` [T], -1 for none."""
    return [None if p < 0 else _at(getattr(tracks[p], kind), t) for t, p in enumerate(owners.tolist())]


def _filled(
    truth: VideoTracks,
    tracks: Sequence[TrackRecord],
    choose: Callable[[NDArray[np.bool_]], NDArray[np.bool_]],
) -> list[TrackRecord]:
    """Add object-frames that no track is on: of those the frames that `choose` takes, given where objects are seen."""
    pairing, length = Pairing.of(truth, tracks), truth.info.length
    filled = [_Growing.of(track, length) for track in tracks]
    number = max((track.track_id for track in tracks), default=0)
    for thing, row in zip(pairing.objects, pairing.on, strict=True):
        seen = mask_areas(thing.visible or [None] * length) > 0
        there = mask_areas(thing.amodal or [None] * length) > 0
        fresh: _Growing | None = None
        for t in np.flatnonzero((row < 0) & there & choose(seen)).tolist():
            before, after = row[:t][row[:t] >= 0], row[t:][row[t:] >= 0]
            owner = filled[int(before[-1] if len(before) else after[0])] if len(before) or len(after) else None
            if owner is None or owner.has(t):
                if fresh is None:
                    number += 1
                    fresh = _Growing(TrackRecord(number, thing.class_id), [None] * length, [None] * length, 1 / length)
                    filled.append(fresh)
                owner = fresh
            owner.visible[t], owner.amodal[t] = _at(thing.visible, t), _at(thing.amodal, t)
            owner.added += 1
    return [growing.done() for growing in filled]


@dataclass
class _Growing:
    """A track that is given further frames, each of which adds the mean score of its own frames."""

    track: TrackRecord
    visible: list[Rle | None]
    amodal: list[Rle | None]
    each: float
    added: int = 0

    @classmethod
    def of(cls, track: TrackRecord, length: int) -> _Growing:
        visible, amodal = list(track.visible or [None] * length), list(track.amodal or [None] * length)
        return cls(track, visible, amodal, track.score / _frames(track))

    def has(self, t: int) -> bool:
        return self.visible[t] is not None or self.amodal[t] is not None

    def done(self) -> TrackRecord:
        own = 0.0 if not (any(self.track.visible or ()) or any(self.track.amodal or ())) else self.track.score
        score = min(own + self.each * self.added, 1.0)
        return replace(self.track, score=score, amodal_score=None, visible=self.visible, amodal=self.amodal)
