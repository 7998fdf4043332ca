"""Count what the tracks of photographs that stand still are on: an object, its class, or nothing.

    python benchmark/photo_tracks.py robot/stills/val --weights onboard

Each photograph is given to the tracker five times, as a camera that stands still would; its tracks are then compared
with the visible masks of `annotations.json` (COCO's format). Right is a track of an object's class whose visible mask
has an IoU of 0.5 or more with it; on nothing is one whose IoU is below 0.1. Objects that a photograph does not label
count as nothing.
"""

from a2vis_model import openmp as openmp  # This must precede the import of torch.

# isort: split
import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from a2vis_model import StreamingTracker, freeze, load_weights, read_track_settings

SCORES = (0.0, 0.8, 0.9, 0.95)


class Answer(NamedTuple):
    """A track in the last repetition of a photograph."""

    score: float
    iou: float
    """Greatest IoU with an object of the photograph."""
    same_class: bool


def main() -> None:
    """Print a row for each score above which tracks count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with annotations.json and images/")
    parser.add_argument("--weights", default="onboard", help="name or file (%(default)s)")
    parser.add_argument("--frames", type=int, default=5, help="times that each photograph is shown (%(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, config = load_weights(args.weights)
    tracker = StreamingTracker(freeze(model), config, settings=read_track_settings(args.weights))
    truth = COCO(str(args.folder / "annotations.json"))
    names = {entry["id"]: entry["name"] for entry in truth.dataset["categories"]}
    answers: list[Answer] = []
    for number, entry in sorted(truth.imgs.items()):
        picture = cv2.imread(str(args.folder / "images" / Path(entry["file_name"]).name))
        assert picture is not None, entry["file_name"]
        tracker.reset()
        for i in range(args.frames):
            (result,) = tracker.push(np.ascontiguousarray(picture[..., ::-1]), i / 30)
        objects = truth.loadAnns(truth.getAnnIds([number]))
        masks, crowds = [truth.annToRLE(one) for one in objects], [one.get("iscrowd", 0) for one in objects]
        for found in result.instances:
            if found.visible is None or not found.visible.area:
                continue
            iou = coco_mask.iou([found.visible.coco_rle()], masks, crowds)[0] if masks else np.zeros(1)
            best = int(np.argmax(iou))
            same = bool(masks) and names[objects[best]["category_id"]] == found.class_name
            answers.append(Answer(found.score, float(iou[best]), same))
    print(f"{args.weights}: {len(truth.imgs)} photographs, {len(truth.anns)} objects")
    for least in SCORES:
        kept = [answer for answer in answers if answer.score >= least]
        right = sum(answer.iou >= 0.5 and answer.same_class for answer in kept)
        print(f"  score {least:4.2f}: {len(kept):4d} tracks, {right:4d} right", end="")
        print(f", {sum(answer.iou < 0.1 for answer in kept):4d} on nothing")


if __name__ == "__main__":
    main()
