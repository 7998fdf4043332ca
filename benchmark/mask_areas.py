"""Measure whether masks are of the true size, by how large an object is and how much of it is seen.

    a2vis evaluate --data clips --output-mode stream --stride 1 --output scores
    python benchmark/mask_areas.py scores/ground_truth.json scores/tracks.json

In each frame objects and tracks are paired for the greatest total IoU of amodal masks; from an IoU of 0.1 on a track is
*on* an object. Given are the share of objects that a track is on, and of these the median area of the amodal and of the
visible mask, divided by the true one, and their mean IoU with the true masks.
"""

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import ScoreSettings, open_comparison
from a2vis_model.evaluation.hidden_part import best_partners
from a2vis_model.evaluation.instances import Masks, VideoTracks
from a2vis_model.evaluation.overlaps import compare_masks
from a2vis_model.masks import coco

ON_OBJECT = 0.1
AREAS = (0, 500, 2000, 8000, math.inf)
"""Bounds of the true amodal area, in pixels."""
SEEN = (0.25, 0.5, 0.75, 0.95, 1.01)
"""Bounds of the share of an object that is visible."""

Group = tuple[int, int]
"""Numbers of an object's share seen and of its area within `SEEN` and `AREAS`."""


class Found(NamedTuple):
    """Masks of the track that is on an object, compared with the true ones; NaN where there is none."""

    amodal_area: float = math.nan
    visible_area: float = math.nan
    amodal_iou: float = math.nan
    visible_iou: float = math.nan


def compared(truth: VideoTracks, tracks: VideoTracks) -> Iterator[tuple[Group, Found]]:
    """Compare each object in each frame with the track that is on it."""
    length = truth.info.length
    whole: list[Masks] = [track.amodal or () for track in truth.tracks]
    drawn: list[Masks] = [track.amodal or () for track in tracks.tracks]
    partner, iou = best_partners(compare_masks(whole, drawn, length).frames, len(whole))
    for number, track in enumerate(truth.tracks):
        for t in range(length):
            amodal, visible = whole[number][t], None if track.visible is None else track.visible[t]
            if amodal is None or visible is None:
                continue
            all_of_it, seen = coco.areas([amodal, visible]).tolist()
            group = (int(np.digitize(seen / all_of_it, SEEN)), int(np.digitize(all_of_it, AREAS)))
            if not 0 < group[0] < len(SEEN):
                continue
            if iou[number, t] < ON_OBJECT:
                yield group, Found()
                continue
            found = tracks.tracks[partner[number, t]]
            own, part = drawn[partner[number, t]][t], None if found.visible is None else found.visible[t]
            assert own is not None
            yield (
                group,
                Found(
                    coco.areas([own])[0] / all_of_it,
                    0.0 if part is None else coco.areas([part])[0] / seen,
                    iou[number, t],
                    0.0 if part is None else coco.iou([part], [visible])[0, 0],
                ),
            )


def main() -> None:
    """Print a row for each group of objects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", help="ground_truth.json of an evaluation")
    parser.add_argument("tracks", nargs="+", help="tracks.json of evaluations of the same clips")
    parser.add_argument("--least", type=int, default=50, help="objects in frames that make a row (%(default)s)")
    args = parser.parse_args()
    for path in args.tracks:
        problems = ProblemLog(strict=True)
        comparison = open_comparison(args.truth, path, None, ScoreSettings(), problems, format="ytvis")
        groups: dict[Group, list[Found]] = defaultdict(list)
        for video in comparison.videos:
            for group, found in compared(comparison.truth.read(video), comparison.ranked.read(video)):
                groups[group].append(found)
        print(f"{path}\n  seen       pixels       objects  found | area: amodal visible | IoU: amodal visible")
        for (seen, area), members in sorted(groups.items()):
            if len(members) < args.least:
                continue
            values = np.array(members)
            on = values[~np.isnan(values[:, 0])]
            if not len(on):
                continue
            (first, second), (least, most) = (SEEN[seen - 1], SEEN[seen]), (AREAS[area - 1], AREAS[area])
            ratios, ious = np.median(on[:, :2], axis=0), on[:, 2:].mean(axis=0)
            found_share = len(on) / len(members)
            print(
                f"  {first:.2f}-{min(second, 1):.2f}  {least:5g}-{most:<7g} {len(members):6d}  {found_share:.2f}"
                f"  |       {ratios[0]:5.2f}   {ratios[1]:5.2f}  |       {ious[0]:.2f}    {ious[1]:.2f}"
            )


if __name__ == "__main__":
    main()
