"""Measure whether a stream that has run for long still finds what it found at first.

    a2vis evaluate --data clips --output-mode stream --stride 1 --output scores
    python benchmark/stream_age.py scores/ground_truth.json scores/tracks.json

Of the visible objects in a frame, the share that a track's visible mask covers with an IoU of 0.5 or more, of whatever
class, by the age of the stream and by the age of the object since it was first seen. The detector alone, with
`--system bytetrack`, has no state that could age, and tells what is hard to see.
"""

import argparse
from collections import defaultdict

import numpy as np

from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import ScoreSettings, open_comparison
from a2vis_model.evaluation.instances import Masks, VideoTracks
from a2vis_model.masks import coco

LEAST_IOU = 0.5

Shares = dict[int, list[bool]]
"""Whether objects were found, by age in groups of frames."""


def present(tracks: VideoTracks, frame: int) -> dict[int, coco.Rle]:
    """The visible masks of one frame, by the number of their track."""
    sides: list[Masks] = [track.visible or () for track in tracks.tracks]
    found = {number: masks[frame] for number, masks in enumerate(sides) if frame < len(masks)}
    return {number: mask for number, mask in found.items() if mask is not None}


def count(
    truth: VideoTracks, tracks: VideoTracks, least_area: int, group: int, by_stream: Shares, by_object: Shares
) -> None:
    """Add the objects of a video to the shares."""
    first: dict[int, int] = {}
    for frame in range(truth.info.length):
        objects = present(truth, frame)
        large = {number: mask for number, mask in objects.items() if coco.areas([mask])[0] >= least_area}
        answers = list(present(tracks, frame).values())
        overlap = coco.iou(answers, list(large.values())) if large and answers else np.zeros((1, len(large)))
        for number, best in zip(large, overlap.max(axis=0), strict=True):
            born = first.setdefault(number, frame)
            by_stream[frame // group].append(best >= LEAST_IOU)
            by_object[(frame - born) // group].append(best >= LEAST_IOU)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", help="ground_truth.json of an evaluation")
    parser.add_argument("tracks", nargs="+", help="tracks.json or predictions.json of evaluations of the same clips")
    parser.add_argument("--least-area", type=int, default=2000, help="pixels of an object that counts (%(default)s)")
    parser.add_argument("--group", type=int, default=10, help="frames of a column (%(default)s)")
    args = parser.parse_args()
    for path in args.tracks:
        problems = ProblemLog(strict=True)
        comparison = open_comparison(args.truth, path, None, ScoreSettings(), problems, format="ytvis")
        by_stream: Shares = defaultdict(list)
        by_object: Shares = defaultdict(list)
        for video in comparison.videos:
            truth, tracks = comparison.truth.read(video), comparison.ranked.read(video)
            count(truth, tracks, args.least_area, args.group, by_stream, by_object)
        print(f"{path}: found, in % of objects of {args.least_area} pixels or more")
        for name, shares in (("age of the stream", by_stream), ("age of the object", by_object)):
            print(f"  by {name}, frames")
            for age, found in sorted(shares.items()):
                ages = f"{age * args.group}-{(age + 1) * args.group - 1}"
                print(f"    {ages:>9} {100 * np.mean(found):5.1f}   of {len(found)}")


if __name__ == "__main__":
    main()
