"""A data set of videos some of whose frames are damaged."""

from pathlib import Path

import numpy as np
from dataset_files import rle, write_json
from jpeg_files import HEIGHT, WIDTH, cut_out, jpeg

LENGTH = 3
VIDEOS = ("a", "b")


def write_data(root: Path, *, damaged: bool) -> Path:
    """A data set of two videos; two of the frames of the second may be damaged."""
    annotations = []
    for number, name in enumerate(VIDEOS, 1):
        folder = root / "images" / name
        folder.mkdir(parents=True)
        for t in range(LENGTH):
            content = jpeg()
            (folder / f"{t}.jpg").write_bytes(cut_out(content) if damaged and name == "b" and t else content)
        masks = np.zeros((LENGTH, HEIGHT, WIDTH), bool)
        masks[:, 20:60, 30:90] = True
        segmentations = [rle(mask) for mask in masks]
        annotations.append(
            {
                "id": number,
                "video_id": number,
                "category_id": 1,
                "segmentations": segmentations,
                "amodal_segmentations": segmentations,
            }
        )
    size = {"width": WIDTH, "height": HEIGHT, "length": LENGTH}
    videos = [
        {"id": number, **size, "file_names": [f"{name}/{t}.jpg" for t in range(LENGTH)]}
        for number, name in enumerate(VIDEOS, 1)
    ]
    document = {"videos": videos, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    return write_json(root / "truth.json", document)
