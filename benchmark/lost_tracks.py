"""Measure what has become of the objects whose tracks are lost, by how long they have been.

    a2vis evaluate --data clips --output-mode stream --stride 1 --output scores
    python benchmark/lost_tracks.py scores/ground_truth.json scores/tracks.json

A track that was seen in three frames or more and is not seen any more was, when it was last, on the object of the
greatest IoU of visible masks, or on nothing where that is below 0.25. Frames up to where it is seen again are counted,
by whether that object is hidden then (less than 5 % of its amodal mask is visible), partly (less than half), in view,
or gone from the picture. It says how long a planner should believe in what is lost, and so what `max_lost_frames` is.
"""

import argparse
from collections import Counter, defaultdict

from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import ScoreSettings, open_comparison
from a2vis_model.evaluation.instances import Masks, TrackRecord, VideoTracks
from a2vis_model.masks import coco

LEAST_SEEN = 3
"""Frames; briefer tracks are not confirmed."""
LEAST_IOU = 0.25
HIDDEN, PARTLY = 0.05, 0.5
"""Shares of an amodal mask below which an object is hidden, and is seen in part."""
AGES = (5, 15, 30, 60, 120, 300)
"""Frames since a track was last seen, the longest of each row."""


def object_of(mask: coco.Rle, truth: VideoTracks, frame: int) -> TrackRecord | None:
    """The object that a visible mask of one frame is on; None for nothing."""
    shown = [(thing, (thing.visible or ())[frame]) for thing in truth.tracks]
    objects = [(thing, own) for thing, own in shown if own is not None]
    if not objects:
        return None
    overlap = coco.iou([mask], [own for _, own in objects])[0]
    return objects[int(overlap.argmax())][0] if overlap.max() >= LEAST_IOU else None


def fate(thing: TrackRecord | None, frame: int) -> str:
    """What has become of an object in one frame."""
    if thing is None:
        return "on nothing"
    whole, seen = ((masks or ())[frame] for masks in (thing.amodal, thing.visible))
    if whole is None:
        return "gone"
    share = 0.0 if seen is None else float(coco.areas([seen])[0] / max(coco.areas([whole])[0], 1))
    return "hidden" if share < HIDDEN else "partly seen" if share < PARTLY else "in view"


def count(truth: VideoTracks, tracks: VideoTracks, fates: dict[int, Counter[str]]) -> None:
    """Add the lost tracks of a video."""
    for track in tracks.tracks:
        masks: Masks = track.visible or ()
        seen = [frame for frame, mask in enumerate(masks) if mask is not None]
        if len(seen) < LEAST_SEEN:
            continue
        for last, again in zip(seen, [*seen[1:], truth.info.length], strict=True):
            mask = masks[last]
            if again == last + 1 or mask is None:
                continue
            thing = object_of(mask, truth, last)
            for frame in range(last + 1, min(again, last + AGES[-1] + 1)):
                row = next(age for age in AGES if frame - last <= age)
                fates[row][fate(thing, frame)] += 1


def main() -> None:
    """Print a row for each span of time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", help="ground_truth.json of an evaluation")
    parser.add_argument("tracks", help="tracks.json of an evaluation of the same clips")
    args = parser.parse_args()
    comparison = open_comparison(
        args.truth, args.tracks, None, ScoreSettings(), ProblemLog(strict=True), format="ytvis"
    )
    fates: dict[int, Counter[str]] = defaultdict(Counter)
    for video in comparison.videos:
        count(comparison.truth.read(video), comparison.ranked.read(video), fates)
    names = sorted({name for found in fates.values() for name in found})
    print("lost for" + "".join(f"{name:>13}" for name in names) + "   track-frames")
    for age, found in sorted(fates.items()):
        shares = "".join(f"{100 * found[name] / found.total():11.0f} %" for name in names)
        print(f"up to {age:3d}{shares} {found.total():14d}")


if __name__ == "__main__":
    main()
