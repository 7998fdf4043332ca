"""Tiny data sets in every format that the loaders read, all showing the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH, LENGTH = 24, 32, 6


@dataclass(frozen=True)
class Truth:
    """What all the little data sets show: object 7 comes out from behind object 3, which stays."""

    ids = (7, 3)
    class_names = ("SmallFishA", "BigFishB")
    visible: np.ndarray  # [N, T, H, W]
    amodal: np.ndarray


def two_objects() -> Truth:
    """A small one passes behind a large one."""
    amodal = np.zeros((2, LENGTH, HEIGHT, WIDTH), bool)
    for t in range(LENGTH):
        amodal[0, t, 4:12, 2 + 2 * t : 8 + 2 * t] = True
        amodal[1, t, 2:20, 1:10] = True
    visible = amodal.copy()
    visible[0] &= ~amodal[1]
    return Truth(visible, amodal)  # object 7: hidden in frames 0 and 1, partly in 2 and 3


def rle(mask: np.ndarray) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": bytes(encoded["counts"]).decode()}  # type: ignore[arg-type]


def level(t: int, length: int = LENGTH) -> int:
    """The grey of frame t, by which the tests know it."""
    return 20 + 210 * t // length


def write_json(file: Path, document: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))
    return file


def write_images(folder: Path, pattern: str = "%05d.png", length: int = LENGTH) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(length):
        assert cv2.imwrite(str(folder / (pattern % t)), np.full((HEIGHT, WIDTH, 3), level(t), np.uint8))
    return [pattern % t for t in range(length)]


def write_video(file: Path, length: int = LENGTH, gop: int = 250, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"crf": "10", "g": str(gop), "bf": "3", "sc_threshold": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for t in range(length):
            frame = np.full((size[1], size[0], 3), level(t, length), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode(None))
    return file


def fish(truth: Truth, n: int, masks: np.ndarray) -> dict[str, Any]:
    name = truth.class_names[n]
    return {"id": truth.ids[n], "type_id": 0, "type_name": name, "masks": [rle(mask) for mask in masks[n]]}


def write_fishbowl(root: Path, truth: Truth, name: str = "00012") -> Path:
    write_video(root / name / "video.mp4")
    write_json(root / name / "objects.json", [fish(truth, n, truth.visible) for n in (0, 1)])
    for k, n in enumerate((1, 0)):  # in another order: an id, not a place, says what belongs together
        write_json(root / name / f"object{k:03d}" / "objects.json", [fish(truth, n, truth.amodal)])
    return root


def write_unmerged(root: Path, truth: Truth, name: str = "00012") -> Path:
    data = root / "train_data"
    write_json(data / "train" / name / "objects.json", [fish(truth, n, truth.visible) for n in (0, 1)])
    for n in (0, 1):
        folder = data / "train_objects" / f"{name}_object{truth.ids[n]}"
        write_json(folder / "objects.json", [fish(truth, n, truth.amodal)])
    write_images(data / "train_frames" / name)
    return data


def write_sailvos(root: Path, truth: Truth, name: str = "a_scene") -> Path:
    scene = root / name
    write_images(scene / "images", "%06d.bmp")
    (scene / "visible").mkdir()
    for t in range(LENGTH):
        labels = np.zeros((HEIGHT, WIDTH), np.int32)
        for n in (0, 1):
            labels[truth.visible[n, t]] = truth.ids[n]
        np.save(scene / "visible" / f"{t:06d}.npy", labels)
    for n, label in enumerate(("Ped_M_01", "truck")):
        folder = scene / f"{truth.ids[n]:04d}_{label}"
        folder.mkdir()
        for t in range(LENGTH):
            cv2.imwrite(str(folder / f"{t:06d}.png"), truth.amodal[n, t].astype(np.uint8) * 255)
    return root


def write_sailvos_json(root: Path, truth: Truth) -> Path:
    write_images(root / "a_scene" / "images", "%06d.bmp")
    size = {"width": WIDTH, "height": HEIGHT}
    images = [
        {"id": 100 + t, "video_id": 1, "frame_id": t, "file_name": f"a_scene/{t:06d}.png", **size}
        for t in range(LENGTH)
    ]
    annotations = [
        {
            "id": 10 * t + n,
            "image_id": 100 + t,
            "instance_id": truth.ids[n],
            "category_id": n + 1,
            "iscrowd": 0,
            "visible_mask": rle(truth.visible[n, t]),
            "amodal_mask": rle(truth.amodal[n, t]),
        }
        for t in range(LENGTH)
        for n in (1, 0)
    ]
    categories = [{"id": n + 1, "name": name} for n, name in enumerate(truth.class_names)]
    document = {"videos": [{"id": 1, "name": "a_scene"}], "images": images[::-1], "categories": categories}
    return write_json(root / "train.json", {**document, "annotations": annotations})


def write_ytvis(root: Path, truth: Truth, amodal: bool = True) -> Path:
    files = [f"clip/{file}" for file in write_images(root / "train" / "JPEGImages" / "clip")]
    annotations = []
    for n in (0, 1):
        seen = [rle(mask) if mask.any() else None for mask in truth.visible[n]]
        full = {"amodal_segmentations": [rle(mask) for mask in truth.amodal[n]]} if amodal else {}
        annotations.append(
            {"id": truth.ids[n], "video_id": 5, "category_id": 10 * (n + 1), "segmentations": seen, **full}
        )
    video = {"id": 5, "width": WIDTH, "height": HEIGHT, "length": LENGTH, "file_names": files}
    categories = [{"id": 10 * (n + 1), "name": name} for n, name in enumerate(truth.class_names)]
    document = {"videos": [video], "annotations": annotations, "categories": categories[::-1]}
    return write_json(root / "annotations" / "train.json", document)


def write_coco(root: Path, truth: Truth, t: int = 3) -> Path:
    """One image in the manner of KINS: frame t."""
    write_images(root / "images")
    annotations = [
        {
            "id": truth.ids[n],
            "image_id": 1,
            "category_id": n + 1,
            "iscrowd": 0,
            "segmentation": rle(truth.amodal[n, t]),
            "inmodal_seg": rle(truth.visible[n, t]),
        }
        for n in (0, 1)
    ]
    categories = [{"id": n + 1, "name": name} for n, name in enumerate(truth.class_names)]
    image = {"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": f"{t:05d}.png"}
    return write_json(root / "kins.json", {"images": [image], "annotations": annotations, "categories": categories})
