"""Targets of the fuzzer that are pictures, small text files, and what a clip says about space."""

import contextlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from damage import ODD_YAML, damaged
from dataset_files import two_objects, write_ytvis
from fuzzing import Strategy, Target, file_target
from hypothesis import strategies as st

from a2vis_model.data import ProblemLog, open_dataset
from a2vis_model.data.labels import LABELS_FILE, LabelRules
from a2vis_model.data.space_truth import SPACE_FILE, SpaceTruth, depth_file, read_depth, read_space, write_space
from a2vis_model.errors import A2VISError
from a2vis_model.files.images import ImageFileError, read_image
from a2vis_model.render import render_clip
from a2vis_model.training.recipe import load_recipe
from a2vis_ros.space.depth_image import DepthError, compressed_depth
from a2vis_ros.space.profiles import ProfileError, read_profiles

_DEEP = 1 << 16


def _pictures(folder: Path) -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, _DEEP, (24, 32, 3), np.uint16)
    plain = (noise >> 8).astype(np.uint8)
    compressions = (cv2.IMWRITE_TIFF_COMPRESSION_NONE, cv2.IMWRITE_TIFF_COMPRESSION_LZW)
    tiffs = [(".tiff", [cv2.IMWRITE_TIFF_COMPRESSION, kind]) for kind in compressions]
    kinds = [(".jpg", []), (".png", []), (".webp", []), (".bmp", []), *tiffs]
    deep = [cv2.imencode(suffix, noise)[1].tobytes() for suffix in (".png", ".tiff")]
    return [*(cv2.imencode(suffix, plain, options)[1].tobytes() for suffix, options in kinds), *deep]


def _read_picture(path: Path) -> None:
    for flags, size in ((cv2.IMREAD_COLOR, None), (cv2.IMREAD_GRAYSCALE, (24, 32))):
        with contextlib.suppress(ImageFileError):
            image = read_image(path, flags, size=size)
            assert image.pixels.dtype == np.uint8
            assert size is None or image.pixels.shape == size


_RULES = b"- files: clip/*\n  labelled: [SmallFishA]\n- files: '*_1.png'\n  amodal: unknown\n"


def _labels(folder: Path) -> list[bytes]:
    return [_RULES, Path("config/labels/robot.yaml").read_bytes()]


def _read_labels(path: Path) -> None:
    data = path.parent / "data"
    if not data.exists():
        write_ytvis(data, two_objects())
    with contextlib.suppress(A2VISError):
        LabelRules.read(path).of("clip/00000.png", ["SmallFishA"])
    (data / "annotations" / LABELS_FILE).write_bytes(path.read_bytes())
    dataset = open_dataset(data / "annotations" / "train.json", problems=ProblemLog())
    assert len(list(dataset.videos())) == 1


_PROFILES = b"person:\n  length: 0.6\n  half_life_s: 20\nforklift: {length: 2.1, width: 1.2, height: 2.0}\nother: {}\n"


def _recipes(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path("config/recipes").glob("*.yaml"))]


def _space(folder: Path) -> SpaceTruth:
    """A clip of two frames with a few things, and its files."""
    clip = render_clip(world="robot", seed=3, frames=2, height=32, width=48, space=True)
    assert clip.space is not None
    assert clip.depth is not None
    if not folder.exists():
        folder.mkdir()
    write_space(clip.space, clip.depth, folder)
    return clip.space


def _of_space(file: Callable[[Path], Path], read: Callable[[Path, SpaceTruth], object]) -> Target:
    def inputs(folder: Path) -> Strategy:
        _space(folder / "clip")
        return damaged([file(folder / "clip").read_bytes()])

    known: dict[Path, SpaceTruth] = {}

    def run(content: bytes, folder: Path) -> None:
        clip = folder / "clip"
        if clip not in known:
            known[clip] = _space(clip)
        file(clip).write_bytes(content)
        read(clip, known[clip])

    return Target(inputs, run)


def _read_space(clip: Path, truth: SpaceTruth) -> None:
    found = read_space(clip)
    assert found is not None
    for thing in found.things:
        assert len(thing.position) == len(found.stamps)
    read_depth(clip, 0, found)


def _read_depth(clip: Path, truth: SpaceTruth) -> None:
    assert read_depth(clip, 0, truth).shape == (truth.height, truth.width)


_DEPTH_SIZE = (6, 8)


def _rvl(samples: Any) -> bytes:
    """As image_transport writes it: runs of zeros and of differences, in groups of 3 bits."""
    groups: list[int] = []

    def put(number: int) -> None:
        while True:
            groups.append((number & 7) | (8 if number > 7 else 0))
            number >>= 3
            if not number:
                return

    values = [int(value) for value in samples.ravel()]
    place = last = 0
    while place < len(values):
        end = next((i for i in range(place, len(values)) if values[i]), len(values))
        stop = next((i for i in range(end, len(values)) if not values[i]), len(values))
        put(end - place)
        put(stop - end)
        for value in values[end:stop]:
            put((value - last) << 1 if value >= last else ((last - value) << 1) - 1)
            last = value
        place = stop
    groups += [0] * (-len(groups) % 8)
    words = [sum(g << (28 - 4 * i) for i, g in enumerate(groups[at : at + 8])) for at in range(0, len(groups), 8)]
    return struct.pack("<ii", samples.shape[1], samples.shape[0]) + struct.pack(f"<{len(words)}I", *words)


def _compressed_depths(folder: Path) -> Strategy:
    samples = np.random.default_rng(0).integers(0, 5000, _DEPTH_SIZE, np.uint16)
    samples[1:3] = 0
    header = struct.pack("<iff", 0, 10_100.0, -50.0)
    whole = [header + cv2.imencode(".png", samples)[1].tobytes(), header + _rvl(samples)]
    for content, kind in zip(whole, ("png", "rvl"), strict=True):
        found = compressed_depth(f"16UC1; compressedDepth {kind}", memoryview(content), _DEPTH_SIZE)
        assert np.allclose(found, samples / 1000)
    names = ["16UC1; compressedDepth png", "16UC1; compressedDepth rvl", "32FC1; compressedDepth rvl"]
    formats = st.one_of(st.sampled_from([*names, "32FC1; compressedDepth", "mono16; compressedDepth RVL"]), st.text())
    return st.tuples(formats, damaged(whole))


def _read_compressed_depth(values: tuple[str, bytes], folder: Path) -> None:
    depth = compressed_depth(values[0], memoryview(values[1]), _DEPTH_SIZE)
    assert depth.shape == _DEPTH_SIZE
    assert depth.dtype == np.float32


FILE_TARGETS: dict[str, Target] = {
    "picture files": file_target("0.png", _pictures, _read_picture),
    "labels files": file_target("l.yaml", _labels, _read_labels, words=ODD_YAML),
    "class profiles": file_target("p.yaml", lambda folder: [_PROFILES], read_profiles, (ProfileError,), ODD_YAML),
    "recipes": file_target("r.yaml", _recipes, lambda path: load_recipe(str(path)), words=ODD_YAML),
    "clips in space, space.json": _of_space(lambda clip: clip / SPACE_FILE, _read_space),
    "clips in space, depth": _of_space(lambda clip: depth_file(clip, 0), _read_depth),
    "compressed depth": Target(_compressed_depths, _read_compressed_depth, (DepthError,)),
}
