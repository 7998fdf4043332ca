"""Loaders against tiny data sets in every format, sound and broken, all written here."""

from __future__ import annotations

import argparse
import json
import pickle
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dataset_files import (
    HEIGHT,
    LENGTH,
    WIDTH,
    Truth,
    level,
    rle,
    two_objects,
    write_coco,
    write_fishbowl,
    write_json,
    write_sailvos,
    write_sailvos_json,
    write_unmerged,
    write_video,
    write_ytvis,
)
from pycocotools import mask as coco_mask

from a2vis_model.commands import check_data as check_data
from a2vis_model.data import (
    DataError,
    Dataset,
    ProblemLog,
    Sample,
    open_amodal_coco,
    open_dataset,
    open_fishbowl,
    open_sailvos,
    open_ytvis,
    survey,
)
from a2vis_model.data import frames as frames_module
from a2vis_model.data.fishbowl import found_classes
from a2vis_model.data.frames import ImageFiles, VideoFile
from a2vis_model.data.masks import RleMask, parse_mask
from a2vis_model.data.problems import RecordError
from a2vis_model.errors import A2VISError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "fishbowl"


@pytest.fixture(scope="module")
def truth() -> Truth:
    return two_objects()


def edit(file: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def load_all(dataset: Dataset) -> Sample:
    video = dataset[0]
    return video.load(range(video.length))


def messages(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems]


def assert_shows(sample: Sample, truth: Truth, frames: slice = slice(None)) -> None:
    order = [sample.object_ids.tolist().index(object_id) for object_id in truth.ids]
    np.testing.assert_array_equal(sample.visible[order], truth.visible[:, frames])
    assert sample.amodal is not None
    np.testing.assert_array_equal(sample.amodal[order], truth.amodal[:, frames])
    levels = [level(t) for t in range(LENGTH)[frames]]
    np.testing.assert_allclose(sample.frames.mean(axis=(1, 2, 3)), levels, atol=3)


# Masks


@pytest.mark.parametrize("density", [0, 0.03, 0.5, 1])
def test_masks_decode_as_pycocotools_does(density: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        height, width = random.integers(1, 70, 2)
        mask = cv2.blur(random.random((height, width)), (3, 3)).reshape(height, width) <= density
        for value in (rle(mask), {"size": [int(height), int(width)], "counts": plain_counts(mask)}):
            parsed = parse_mask(value, int(height), int(width))
            assert (np.zeros_like(mask) if parsed is None else parsed.decode()).tolist() == mask.tolist()
            assert (0 if parsed is None else parsed.area()) == mask.sum()


def plain_counts(mask: np.ndarray) -> list[int]:
    counts, inside = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != inside:
            counts.append(0)
            inside = pixel
        counts[-1] += 1
    return counts


@pytest.mark.parametrize(
    "counts",
    [
        "",
        "PPf",
        "PPf4PPf4",
        "P\x7f",
        "ab c",
        "oooooooo0",
        "`",
        [768, -1, 1],
        [700],
        [2**62] * 4 + [768],
        [1.5, 766.5],
        "é",
    ],
)
def test_broken_run_lengths_are_named_before_they_are_decoded(counts: Any) -> None:
    for use in (RleMask.decode, RleMask.area):
        with pytest.raises(RecordError, match="broken RLE"):
            use(parse_mask({"size": [HEIGHT, WIDTH], "counts": counts}, HEIGHT, WIDTH))  # type: ignore[arg-type]


def test_damaged_run_lengths_never_decode_to_something_else() -> None:
    random = np.random.default_rng(1)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5:15, 8:22] = True
    counts = rle(mask)["counts"].encode()
    for _ in range(500):
        damaged = bytearray(counts)
        damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            decoded = RleMask(HEIGHT, WIDTH, bytes(damaged)).decode()
        except RecordError:
            continue
        by_coco = coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": bytes(damaged)})
        np.testing.assert_array_equal(decoded, by_coco)  # another sound mask, by chance


def test_polygons_are_drawn_as_pycocotools_does() -> None:
    rings: Any = [[2, 2, 20.5, 3, 10, 18], [25, 10, 31, 10, 31, 23, 25, 23]]
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(rings, HEIGHT, WIDTH)))
    mask = parse_mask(rings, HEIGHT, WIDTH)
    bare = parse_mask(rings[0], HEIGHT, WIDTH)
    assert mask is not None
    assert bare is not None
    np.testing.assert_array_equal(mask.decode(), expected)
    assert mask.area() == expected.sum()
    assert 0 < bare.area() < mask.area()


@pytest.mark.parametrize(
    "ring",
    [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 1e9], [1, 2, 3, 4, 5, float("nan")], [None] * 6, [{}] * 6],
)
def test_broken_polygons_are_named(ring: list[Any]) -> None:
    mask = parse_mask([ring], HEIGHT, WIDTH)
    assert mask is not None
    with pytest.raises(RecordError, match="broken polygon"):
        mask.decode()


# Frames


@pytest.mark.parametrize("gop", [1, 7, 250])
def test_any_frames_of_a_video_file_in_any_order(tmp_path: Path, gop: int) -> None:
    length = 40
    source = VideoFile.probe(str(write_video(tmp_path / "video.mp4", length, gop)))
    assert (source.height, source.width, source.length) == (HEIGHT, WIDTH, length)
    for indices in ([39], [0], [30, 3, 3, 17, 0], list(range(length)), list(range(39, 0, -5)), []):
        frames = source.read(indices)
        assert frames.shape == (len(indices), HEIGHT, WIDTH, 3)
        expected = np.array([level(t, length) for t in indices])
        np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)) if indices else [], expected, atol=2.4)
    with pytest.raises(IndexError):
        source.read([length])


def test_decoding_starts_at_the_nearest_keyframe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []
    decode = frames_module._pictures_from

    def noted(container: Any, stream: Any, time: int, wanted: set[int]) -> Any:
        starts.append(round(float(time * stream.time_base * 30)))
        return decode(container, stream, time, wanted)

    monkeypatch.setattr(frames_module, "_pictures_from", noted)
    source = VideoFile.probe(str(write_video(tmp_path / "video.mp4", 40, gop=10)))
    source.read([38, 12, 14, 39])
    assert starts == [10, 30]
    starts.clear()
    source.read(range(40))
    assert starts == [0]


def test_images_come_in_rgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "red é.png"), np.full((4, 6, 3), (0, 0, 200), np.uint8))
    source = ImageFiles.probe([str(tmp_path / "red é.png")])
    assert source.read([0])[0, 0, 0].tolist() == [200, 0, 0]


def test_broken_video_files_are_named(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "video.mp4")
    source = VideoFile.probe(str(whole))
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:-200])
    (tmp_path / "text.mp4").write_text("#EXTM3U\n#EXTINF:1,\nvideo.mp4\n")
    (tmp_path / "codec.mp4").write_bytes(whole.read_bytes().replace(b"avc1", b"xxxx"))
    for name in ("cut.mp4", "text.mp4", "missing.mp4", "codec.mp4"):
        with pytest.raises(DataError, match=rf"{name}: video: "):
            VideoFile.probe(str(tmp_path / name))
    write_video(whole, LENGTH - 1)
    with pytest.raises(DataError, match=r"video.mp4: video: has 5 frames where there were 6"):
        source.read([0])
    write_video(whole, size=(48, 32))
    with pytest.raises(DataError, match=r"video.mp4: frame 0: wrong size: 48x32, not 32x24"):
        source.read([0])


# Every format, sound


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_fishbowl, "fishbowl"),
        (lambda root, truth: write_fishbowl(root / "final", truth).parent, "fishbowl"),
        (write_unmerged, "fishbowl"),
        (lambda root, truth: write_unmerged(root, truth) / "train", "fishbowl"),
        (write_sailvos, "sailvos"),
        (write_sailvos_json, "sailvos"),
        (write_ytvis, "ytvis"),
        (lambda root, truth: write_ytvis(root, truth).parents[1], "ytvis"),
    ],
)
def test_every_format_shows_the_same(tmp_path: Path, truth: Truth, write: Any, name: str) -> None:
    path = write(tmp_path, truth)
    dataset = open_dataset(path)
    assert dataset.format == name
    assert len(dataset) == 1
    sample = load_all(dataset)
    assert_shows(sample, truth)
    assert name != "ytvis" or dataset.classes == truth.class_names
    names = ["person", "truck"] if path == tmp_path and name == "sailvos" else list(truth.class_names)
    assert [dataset.classes[class_id] for class_id in sample.class_ids[np.argsort(-sample.object_ids)]] == names
    assert sample.first_visible[sample.object_ids == 7] == 2
    assert sample.first_visible[sample.object_ids == 3] == 0
    assert open_dataset(path, name)[0].name == dataset[0].name
    survey(dataset.videos())
    assert not messages(dataset)

    sent = pickle.loads(pickle.dumps(dataset))
    assert len(pickle.dumps(dataset)) < 2000
    assert_shows(load_all(sent), truth)


def test_one_frame_in_the_manners_of_amodal_coco(tmp_path: Path, truth: Truth) -> None:
    file = write_coco(tmp_path, truth)
    assert open_dataset(file).format == "coco"
    assert_shows(load_all(open_amodal_coco(file)), truth, slice(3, 4))

    for amodal, visible in (("segmentation", "i_segmentation"), ("a_segm", "i_segm"), ("segmentation", "visible_mask")):
        edit(write_coco(tmp_path, truth), partial(rename, amodal=amodal, visible=visible))
        assert_shows(load_all(open_amodal_coco(file)), truth, slice(3, 4))

    def to_cocoa(document: Any) -> None:
        rename(document, "segmentation", "visible_mask")
        regions = document.pop("annotations")
        del regions[1]["visible_mask"]  # object 3 is whole
        regions.append({"segmentation": [0, 0, 30, 0, 30, 20], "name": "sky", "isStuff": 1})
        document["annotations"] = [{"id": 9, "image_id": 1, "regions": regions}]
        del document["categories"]

    edit(write_coco(tmp_path, truth), to_cocoa)
    dataset = open_amodal_coco(file)
    sample = load_all(dataset)
    assert dataset.classes == ("object",)
    assert sample.amodal is not None
    np.testing.assert_array_equal(sample.amodal[:, 0], truth.amodal[:, 3])
    np.testing.assert_array_equal(sample.visible[:, 0], truth.visible[:, 3])
    assert load_all(open_amodal_coco(file, ["fish", "object"])).class_ids.tolist() == [1, 1]
    assert not len(load_all(open_amodal_coco(file, ["fish"])).class_ids)
    assert not messages(dataset)


def rename(document: Any, amodal: str, visible: str) -> None:
    for annotation in document["annotations"]:
        annotation[amodal] = annotation.pop("segmentation")
        annotation[visible] = annotation.pop("inmodal_seg")


def test_data_without_amodal_masks(tmp_path: Path, truth: Truth) -> None:
    plain = write_coco(tmp_path / "coco", truth)
    edit(plain, lambda document: [annotation.pop("inmodal_seg") for annotation in document["annotations"]])
    fishbowl = write_fishbowl(tmp_path / "fish", truth)
    for k in (0, 1):
        shutil.rmtree(fishbowl / "00012" / f"object00{k}")
    for dataset in (
        open_dataset(plain),
        open_dataset(write_ytvis(tmp_path, truth, amodal=False)),
        open_dataset(fishbowl),
    ):
        assert not dataset.has_amodal
        sample = load_all(dataset)
        assert sample.amodal is None
        assert len(sample.visible) == 2
        assert dataset[0].tracks[0].amodal_mask(0) is None
        assert survey(dataset.videos()).summary()["occlusion"] is None
        assert not messages(dataset)


def test_results_files_without_annotations_have_no_objects(tmp_path: Path, truth: Truth) -> None:
    file = write_ytvis(tmp_path, truth)
    edit(file, lambda document: document.pop("annotations"))
    sample = load_all(open_ytvis(file))
    assert sample.visible.shape == (0, LENGTH, HEIGHT, WIDTH)
    assert len(sample.frames) == LENGTH


def test_the_rule_that_the_unseen_has_no_amodal_mask(tmp_path: Path, truth: Truth) -> None:
    video = open_fishbowl(write_fishbowl(tmp_path, truth))[0]

    def shown(indices: list[int], rule: Any) -> list[bool]:
        sample = video.load(indices, amodal=rule)
        assert sample.amodal is not None
        return sample.amodal[0].any(axis=(1, 2)).tolist()

    assert shown([0, 1, 2, 3], "full") == [True] * 4
    assert shown([0, 1, 2, 3], "video") == [False, False, True, True]
    assert shown([3, 1, 2, 0], "video") == [True, False, True, False]
    assert shown([3, 1, 2, 0], "sample") == [True] * 4
    assert shown([0, 3, 1], "sample") == [False, True, True]
    with pytest.raises(ValueError, match="amodal='first'"):
        shown([0], "first")

    unseen = video.load([1, 0], seen_only=True)
    assert unseen.object_ids.tolist() == [3]
    assert unseen.amodal is not None
    np.testing.assert_array_equal(unseen.amodal[0], truth.amodal[1, [1, 0]])
    assert unseen.first_visible.tolist() == [0]
    assert video.load([0, 5], seen_only=True).object_ids.tolist() == [7, 3]


def test_an_object_that_is_never_seen(tmp_path: Path, truth: Truth) -> None:
    file = write_ytvis(tmp_path, truth)
    edit(file, lambda document: document["annotations"][0].update(segmentations=[None] * LENGTH))
    sample = open_ytvis(file)[0].load([0, LENGTH - 1], amodal="video")
    assert sample.first_visible.tolist() == [LENGTH, 0]
    assert sample.amodal is not None
    assert not sample.amodal[0].any()


def test_classes_of_clips_by_argument_or_file(tmp_path: Path, truth: Truth) -> None:
    root = write_fishbowl(tmp_path / "train", truth)
    for k in ("", "object001"):
        edit(root / "00012" / k / "objects.json", lambda fishes: fishes[0].update(type_name="Vehicle"))
    assert open_fishbowl(root)[0].tracks[0].object_id == 3
    assert found_classes(root)[5:] == ("Vehicle",)
    by_argument = open_fishbowl(root, ["Vehicle", "BigFishB"])
    assert load_all(by_argument).class_ids.tolist() == [0, 1]
    write_json(tmp_path / "classes.json", ["BigFishB", "Vehicle"])
    assert open_fishbowl(root).classes == ("BigFishB", "Vehicle")
    assert load_all(open_fishbowl(root)).class_ids.tolist() == [1, 0]


def test_classes_left_out(tmp_path: Path, truth: Truth) -> None:
    fish = "BigFishB"
    for write, kept in (
        (write_fishbowl, fish),
        (write_ytvis, fish),
        (write_sailvos_json, fish),
        (write_coco, fish),
        (write_sailvos, "truck"),
    ):
        dataset = open_dataset(write(tmp_path / write.__name__, truth), classes=[kept])
        sample = load_all(dataset)
        assert sample.object_ids.tolist() == [3]
        assert sample.class_ids.tolist() == [0]
        assert not messages(dataset)


def test_crowds_are_no_objects(tmp_path: Path, truth: Truth) -> None:
    file = write_coco(tmp_path, truth)
    edit(file, lambda document: document["annotations"][0].update(iscrowd=1))
    assert load_all(open_amodal_coco(file)).object_ids.tolist() == [3]


def test_opening_reads_no_clip_and_reading_decodes_no_mask(tmp_path: Path, truth: Truth) -> None:
    write_fishbowl(tmp_path, truth)
    objects = tmp_path / "00012" / "objects.json"
    edit(objects, lambda fishes: fishes[0]["masks"][4].update(counts="broken"))
    dataset = open_fishbowl(tmp_path)
    video = dataset[0]
    assert not messages(dataset)
    assert len(video.load([3, 5]).visible) == 2
    assert not messages(dataset)
    sample = video.load([3, 4])
    assert sample.object_ids.tolist() == [3]
    np.testing.assert_array_equal(sample.visible[0], truth.visible[1, 3:5])
    assert len(dataset.problems) == 1
    assert_named(dataset, objects, "object 7: visible mask of frame 4: broken RLE: characters that are not part of one")
    objects.write_text("[")
    assert len(open_fishbowl(tmp_path)) == 1


def test_an_object_left_out_leaves_no_trace(tmp_path: Path, truth: Truth) -> None:
    file = write_ytvis(tmp_path, truth)

    def change(document: Any) -> None:
        document["annotations"][0]["amodal_segmentations"][5] = {**rle(truth.amodal[0, 5]), "counts": "0"}
        for key in ("segmentations", "amodal_segmentations"):
            document["annotations"][1][key][4] = None

    edit(file, change)
    sample = open_ytvis(file)[0].load([4, 5])
    assert sample.object_ids.tolist() == [3]
    assert sample.amodal is not None
    for masks in (sample.visible, sample.amodal):
        assert masks.any(axis=(2, 3)).tolist() == [[False, True]]


# Every format, broken


def clip(root: Path, part: str = "") -> Path:
    return root / "00012" / part / "objects.json"


def first(key: str, value: Any) -> Callable[[Any], Any]:
    """Sets a field of the first object of a clip, or the first annotation of a file."""
    return lambda document: (document["annotations"] if isinstance(document, dict) else document)[0].update(
        {key: value}
    )


def mask_of(key: str, frame: int, value: Any) -> Callable[[Any], Any]:
    def change(document: Any) -> None:
        (document["annotations"] if isinstance(document, dict) else document)[0][key][frame] = value

    return change


SMALL = rle(np.ones((2, 2), bool))
NOTHING = rle(np.zeros((HEIGHT, WIDTH), bool))
BROKEN = {**NOTHING, "counts": "0"}
FISHBOWL_FAULTS = [
    ("objects.json", mask_of("masks", 1, None), "object 7: visible mask of frame 1: is null"),
    ("objects.json", mask_of("masks", 1, SMALL), r"object 7: visible mask of frame 1: wrong size: \[2, 2\] where the "),
    (
        "objects.json",
        mask_of("masks", 1, {"size": [24, 32]}),
        "object 7: visible mask of frame 1: broken RLE: counts is",
    ),
    (
        "objects.json",
        mask_of("masks", 1, BROKEN),
        "object 7: visible mask of frame 1: broken RLE: its runs do not cover",
    ),
    ("objects.json", mask_of("masks", 1, "x"), "object 7: visible mask of frame 1: 'x' is neither an RLE nor polygons"),
    ("objects.json", first("masks", [NOTHING]), "object 7: 1 visible masks for 6 frames"),
    ("objects.json", first("masks", None), "object 7: masks is None, not list"),
    (
        "objects.json",
        first("type_name", "Shark"),
        "object 7: unknown class 'Shark'; the classes are SmallFishA, Medium",
    ),
    ("objects.json", first("type_name", 3), "object 7: type_name is 3, not str"),
    ("objects.json", first("id", "7"), "object '7': id is '7', not int"),
    ("objects.json", first("id", 2**70), "object [0-9]+: id is [0-9]+, not int"),
    ("objects.json", lambda fishes: fishes[0].pop("id"), "entry 0: has no id"),
    ("objects.json", lambda fishes: fishes.insert(0, []), r"entry 0: is \[\], not an object with fields"),
    ("objects.json", lambda fishes: fishes.append(fishes[1]), "object 3: has the id of another object"),
    ("object001/objects.json", mask_of("masks", 2, None), "object001: amodal mask of frame 2: is null"),
    ("object001/objects.json", mask_of("masks", 2, BROKEN), "object 7: amodal mask of frame 2: broken RLE"),
    (
        "object001/objects.json",
        mask_of("masks", 3, NOTHING),
        "object 7: amodal mask smaller than the visible one in 1 of 6 frames: 0 and 32 pixels in frame 3",
    ),
    ("object001/objects.json", first("id", 3), "object001: object 3 has amodal masks already"),
    ("object001/objects.json", lambda fishes: fishes.clear(), "object001: is not a list of one object"),
]


@pytest.mark.parametrize(("name", "change", "message"), FISHBOWL_FAULTS)
def test_faults_of_clips_are_named(tmp_path: Path, truth: Truth, name: str, change: Any, message: str) -> None:
    file = write_fishbowl(tmp_path, truth) / "00012" / name
    edit(file, change)
    dataset = open_fishbowl(tmp_path)
    assert survey(dataset.videos()).videos == 1
    assert_named(dataset, file, message)
    assert 3 in load_all(dataset).object_ids
    with pytest.raises(DataError) as raised:
        survey(open_fishbowl(tmp_path, problems=ProblemLog(strict=True)).videos())
    assert raised.value.problem == next(iter(dataset.problems))


def assert_named(dataset: Dataset, file: Path, message: str) -> None:
    found = messages(dataset)
    assert any(re.match(re.escape(f"{file}: ") + message, text) for text in found), found


def test_amodal_masks_without_visible_ones_and_the_reverse(tmp_path: Path, truth: Truth) -> None:
    write_fishbowl(tmp_path, truth)
    shutil.rmtree(tmp_path / "00012" / "object000")
    edit(tmp_path / "00012" / "object001" / "objects.json", first("id", 8))
    dataset = open_fishbowl(tmp_path)
    assert not dataset[0].tracks
    file = tmp_path / "00012" / "objects.json"
    for message in (
        "object 7: has no amodal masks",
        "object 3: has no amodal",
        "object 8: has amodal masks and no vis",
    ):
        assert_named(dataset, file, message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("objects.json", "{", "file: cannot be read as JSON: "),
        ("objects.json", "[" * 100_000, "file: cannot be read as JSON: "),
        ("objects.json", "{}", "file: is not a list of objects"),
        ("objects.json", None, "file: cannot be read as JSON: "),
        ("video.mp4", "no video", "video: cannot be read: "),
        ("video.mp4", None, "video: cannot be read: No such file"),
    ],
)
def test_an_unusable_clip_is_named_and_skipped(
    tmp_path: Path, truth: Truth, name: str, content: str | None, message: str
) -> None:
    write_fishbowl(tmp_path, truth, "00001")
    write_fishbowl(tmp_path, truth, "00002")
    file = tmp_path / "00001" / name
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    dataset = open_fishbowl(tmp_path)
    assert [video.name for video in dataset.videos()] == ["00002"]
    assert_named(dataset, file, message)
    with pytest.raises(DataError, match=re.escape(str(file))):
        dataset[0]


def test_missing_frames_are_named(tmp_path: Path, truth: Truth) -> None:
    data = write_unmerged(tmp_path / "a", truth)
    frames = data / "train_frames" / "00012"
    (frames / "00003.png").unlink()
    dataset: Dataset = open_fishbowl(data)
    assert not list(dataset.videos())
    assert_named(dataset, frames, "frame 3: is missing")

    write_video(write_fishbowl(tmp_path / "b", truth) / "00012" / "video.mp4", LENGTH - 1)
    dataset = open_fishbowl(tmp_path / "b")
    assert not dataset[0].tracks
    assert_named(dataset, clip(tmp_path / "b"), "object 7: 6 visible masks for 5 frames")

    images = write_ytvis(tmp_path / "c", truth).parents[1] / "train" / "JPEGImages" / "clip"
    (images / "00001.png").unlink()
    (images / "00002.png").write_bytes(b"")
    cv2.imwrite(str(images / "00004.png"), np.zeros((5, 9, 3), np.uint8))
    dataset = open_dataset(tmp_path / "c")
    assert len(dataset[0].load([0, 3, 5]).frames) == 3
    with pytest.raises(DataError, match=r"00001.png: frame 1: cannot be read: No such file"):
        dataset[0].load([0, 1])
    survey(dataset.videos(), read_frames=False)
    assert not messages(dataset)
    survey(dataset.videos())
    assert_named(dataset, images / "00001.png", "frame 1: cannot be read: No such file or directory")
    assert_named(dataset, images / "00002.png", "frame 2: cannot be read: not an image")
    assert_named(dataset, images / "00004.png", "frame 4: wrong size: 9x5, not 32x24")
    assert len(dataset.problems) == 3


YTVIS_FAULTS = [
    (mask_of("segmentations", 3, SMALL), "annotation 7: visible mask of frame 3: wrong size"),
    (mask_of("segmentations", 3, BROKEN), "annotation 7: visible mask of frame 3: broken RLE"),
    (mask_of("segmentations", 3, [[1, 2, 3]]), "annotation 7: visible mask of frame 3: broken polygon"),
    (mask_of("amodal_segmentations", 3, {}), "annotation 7: amodal mask of frame 3: wrong size: None"),
    (
        mask_of("amodal_segmentations", 3, None),
        "annotation 7: amodal mask smaller than the visible one in 1 of 6 frames",
    ),
    (first("amodal_segmentations", [None]), "annotation 7: 1 amodal masks for 6 frames"),
    (
        lambda document: document["annotations"][0].pop("amodal_segmentations"),
        "annotation 7: has no amodal_segmentations",
    ),
    (first("category_id", 4), "annotation 7: unknown class: category_id 4"),
    (first("video_id", 6), "annotation 7: video_id 6 is not in the file, or broken there"),
    (first("id", 3), "annotation 3: has the id of another object"),
    (lambda document: document["annotations"].append(None), "annotation 2: is None, not an object with fields"),
    (lambda document: document["videos"].append({"id": 5}), "video 1: has no file_names"),
    (lambda document: document["videos"].append(document["videos"][0]), "video_id 5: is there more than once"),
    (
        lambda document: document["videos"].append({**document["videos"][0], "length": 7}),
        "video 1: names 6 files for a",
    ),
    (
        lambda document: document["videos"].append({**document["videos"][0], "width": 10**9}),
        "video 1: width is 1000000",
    ),
    (
        lambda document: document["videos"].append({**document["videos"][0], "file_names": [None]}),
        "video 1: file_names",
    ),
    (lambda document: document["categories"].append({"id": 1}), "category 2: has no name"),
]


@pytest.mark.parametrize(("change", "message"), YTVIS_FAULTS)
def test_faults_of_video_annotations_are_named(tmp_path: Path, truth: Truth, change: Any, message: str) -> None:
    file = write_ytvis(tmp_path, truth)
    edit(file, change)
    dataset = open_ytvis(file)
    survey(dataset.videos())
    assert_named(dataset, file, message)
    assert len(dataset.problems) == 1
    assert 3 in load_all(dataset).object_ids


SAILVOS_FAULTS = [
    (first("visible_mask", None), "annotation 1: visible_mask: None is neither an RLE nor polygons"),
    (first("visible_mask", SMALL), "annotation 1: visible_mask: wrong size"),
    (first("amodal_mask", BROKEN), "instance 3 of a_scene: amodal mask of frame 0: broken RLE"),
    (first("amodal_mask", NOTHING), "instance 3 of a_scene: amodal mask smaller than the visible one in 1 of 6 frames"),
    (first("category_id", 9), "annotation 1: unknown class: category_id 9"),
    (first("image_id", 9), "annotation 1: image_id 9 is not in the file, or broken there"),
    (
        lambda document: document["annotations"][2].update(category_id=1),
        "annotation 11: instance 3 was a BigFishB before",
    ),
    (
        lambda document: document["annotations"][2].update(image_id=100),
        "annotation 11: instance 3 is annotated in this",
    ),
    (lambda document: document["annotations"][0].pop("instance_id"), "annotation 1: has no instance_id"),
    (lambda document: document["images"][5].update(width=5), "image 5: is of another size than the video"),
    (lambda document: document["images"][5].update(video_id=5), "image 5: video_id 5 is not in the file"),
    (lambda document: document["videos"].append({"id": 2}), "video 2: has no images"),
]


@pytest.mark.parametrize(("change", "message"), SAILVOS_FAULTS)
def test_faults_of_frame_by_frame_annotations_are_named(
    tmp_path: Path, truth: Truth, change: Any, message: str
) -> None:
    file = write_sailvos_json(tmp_path, truth)
    edit(file, change)
    dataset = open_sailvos(file)
    survey(dataset.videos())
    assert_named(dataset, file, message)
    kept = load_all(dataset).object_ids.tolist()
    assert 7 in kept
    assert 3 not in kept or not message.startswith(("annotation 1: visible_mask", "annotation 11"))


def test_faults_of_sailvos_folders_are_named(tmp_path: Path, truth: Truth) -> None:
    scene = write_sailvos(tmp_path, truth) / "a_scene"
    maps, person, truck = scene / "visible", scene / "0007_Ped_M_01", scene / "0003_truck"
    (scene / "images" / "000005.bmp").unlink()
    (scene / "0009_").mkdir()
    shutil.copytree(truck, scene / "0003_wreck")
    cv2.imwrite(str(truck / "000001.png"), np.zeros((5, 9), np.uint8))
    dataset = open_sailvos(tmp_path)
    assert dataset[0].load([2, 3]).object_ids.tolist() == [3, 7]
    survey(dataset.videos())
    assert_named(dataset, scene / "images", "frame 000005: is missing")
    assert_named(dataset, scene / "0009_", "object 9: unknown class: its folder's name has no label")
    assert_named(dataset, scene / "0003_wreck", "object 3: has the id of another object")
    assert_named(dataset, truck, r"object 3: amodal mask of frame 1: wrong size: .*000001.png is \(5, 9\)")
    assert len(dataset.problems) == 4

    (person / "000001.png").write_text("no image")
    dataset = open_sailvos(tmp_path)
    survey(dataset.videos())
    assert_named(dataset, person, "object 7: amodal mask of frame 1: .*000001.png cannot be read: not an image")

    (maps / "000003.npy").write_bytes((maps / "000003.npy").read_bytes()[:-9])
    np.save(maps / "000004.npy", np.zeros((HEIGHT, WIDTH)))
    for t, why in ((3, "cannot be read"), (4, "cannot be read: not a map of object ids")):
        dataset = open_sailvos(tmp_path)
        dataset[0].load([2, t])
        assert_named(dataset, maps, f"object 3: visible mask of frame {t}: .*00000{t}.npy {why}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x93NUM", b"PK\x03\x04"),  # poses as a zip file
        (b"(24, 32), }", b"(24, 32(,  "),
        (b"'shape'", b"      5"),
    ],
)
def test_damaged_maps_of_sailvos_are_named(tmp_path: Path, truth: Truth, old: bytes, new: bytes) -> None:
    file = write_sailvos(tmp_path, truth) / "a_scene" / "visible" / "000003.npy"
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    dataset = open_sailvos(tmp_path)
    survey(dataset.videos())
    assert_named(dataset, file.parent, "object 3: visible mask of frame 3: .*000003.npy cannot be read")


@pytest.mark.parametrize("write", [write_ytvis, write_sailvos_json, write_coco])
def test_file_names_that_no_file_can_have_are_named(tmp_path: Path, truth: Truth, write: Any) -> None:
    file = write(tmp_path, truth)
    endless = "n" * 5000 + ".png"

    def rename(document: Any) -> None:
        for image in document.get("images", ()):
            image["file_name"] = endless
        for video in document["videos"] if "images" not in document else ():
            video["file_names"][0] = endless

    edit(file, rename)
    dataset = open_dataset(file)
    survey(dataset.videos())
    assert any(re.search("n{500}.* frame 0: cannot be read: File name too long", text) for text in messages(dataset))
    assert max(map(len, messages(dataset))) < 2000


COCO_FAULTS = [
    (first("inmodal_seg", None), "annotation 7: inmodal_seg: None is neither an RLE nor polygons"),
    (first("segmentation", []), r"annotation 7: segmentation: \[\] is neither an RLE nor polygons"),
    (first("segmentation", SMALL), "annotation 7: segmentation: wrong size"),
    (
        first("segmentation", NOTHING),
        "annotation 7: amodal mask smaller than the visible one in 1 of 1 frames: 0 and 32",
    ),
    (lambda document: document["annotations"][0].pop("inmodal_seg"), "annotation 7: has no visible mask, by any name"),
    (first("category_id", 3), "annotation 7: unknown class: category_id 3"),
    (first("id", None), "annotation None: id is None, not int"),
    (first("regions", [None]), "annotation 7, region 0: is not an object with fields"),
    (lambda document: document["images"].append({"id": 2, "file_name": "x"}), "image 1: has no height"),
    (lambda document: document["images"].append(document["images"][0]), "image_id 1: is there more than once"),
]


@pytest.mark.parametrize(("change", "message"), COCO_FAULTS)
def test_faults_of_image_annotations_are_named(tmp_path: Path, truth: Truth, change: Any, message: str) -> None:
    file = write_coco(tmp_path, truth)
    edit(file, change)
    dataset = open_amodal_coco(file)
    survey(dataset.videos())
    assert_named(dataset, file, message)
    assert len(dataset.problems) == 1
    assert 3 in load_all(dataset).object_ids


def test_what_is_no_data_set_is_named(tmp_path: Path, truth: Truth) -> None:
    write_fishbowl(tmp_path / "train", truth)
    write_fishbowl(tmp_path / "val", truth)
    with pytest.raises(DataError, match="name one of its splits, train, val"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="absent: data set: does not exist"):
        open_dataset(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: folder: does not hold one annotation file \(none\)"):
        open_dataset(tmp_path / "empty")
    write_json(tmp_path / "empty" / "a.json", {"videos": []})
    with pytest.raises(DataError, match=r"a\.json: file: lists neither videos nor images"):
        open_dataset(tmp_path / "empty")
    write_json(tmp_path / "empty" / "b.json", [1])
    with pytest.raises(DataError, match=r"does not hold one annotation file \(a.json, b.json\)"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(DataError, match=r"b\.json: file: is not an object with videos or images"):
        open_ytvis(tmp_path / "empty" / "b.json")
    write_json(tmp_path / "empty" / "b.json", {"videos": 1})
    with pytest.raises(DataError, match=r"b\.json: videos: is 1, not a list"):
        open_ytvis(tmp_path / "empty" / "b.json")
    with pytest.raises(DataError, match="unknown format 'mot'"):
        open_dataset(tmp_path / "train", "mot")
    write_json(tmp_path / "classes.json", {"a": 1})
    with pytest.raises(DataError, match=r"classes\.json: file: is not a list of class names"):
        open_dataset(tmp_path / "train")


# Worker processes, statistics, the command


def test_loader_processes_read(tmp_path: Path, truth: Truth) -> None:
    data = pytest.importorskip("torch.utils.data")
    write_fishbowl(tmp_path, truth, "00001")
    dataset = open_fishbowl(write_fishbowl(tmp_path, truth, "00002"))

    class Clips(data.Dataset):  # type: ignore[name-defined]
        def __len__(self) -> int:
            return len(dataset)

        def __getitem__(self, index: int) -> Sample:
            return dataset[index].load(range(LENGTH))

    for sample in data.DataLoader(Clips(), batch_size=None, num_workers=2):
        assert_shows(sample, truth)

    # What goes wrong there comes here as an exception, pickled or rebuilt from its text.
    (tmp_path / "00002" / "video.mp4").unlink()
    with pytest.raises(DataError, match=r"00002/video.mp4: video: cannot be read") as raised:
        Clips()[1]
    assert pickle.loads(pickle.dumps(raised.value)).problem == raised.value.problem
    assert DataError(str(raised.value)).problem.message == str(raised.value)


def test_statistics_of_a_known_clip(tmp_path: Path, truth: Truth) -> None:
    summary = survey(open_fishbowl(write_fishbowl(tmp_path / "a", truth)).videos()).summary()
    assert summary["videos"] == 1
    assert summary["frames"] == LENGTH
    assert summary["frame_sizes"] == {"32x24": LENGTH}
    assert summary["objects_by_class"] == {"SmallFishA": 1, "BigFishB": 1}
    crowding = summary["objects_per_frame"]
    assert crowding["frames_by_number"] == {"1": 2, "2": 4}
    assert crowding["mean"] == pytest.approx(10 / 6)
    assert summary["visible_frames_per_object"] == {"mean": 5, "median": 5, "min": 4, "max": 6}
    # Object 7 is 6 pixels wide, and 4, 2, 0, 0 of them are hidden once it has been seen; object 3 is whole.
    occlusion = summary["occlusion"]
    assert occlusion["object_frames"] == 10
    assert occlusion["hidden_object_frames"] == 0
    assert occlusion["mean"] == pytest.approx(0.1)
    assert occlusion["histogram"] == [8, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    shares = {"object_frames": 0.2, "mean_over_objects": 0.25, "mean_over_objects_while_seen": 0.25}
    assert occlusion["above"]["0.1"] == pytest.approx(shares)
    assert occlusion["split"] == {"at": 0.5, "object_frames": [9, 1], "objects_by_mean": [2, 0]}

    # The other way round in time, it disappears: two more frames, in which it is hidden.
    backwards = Truth(truth.visible[:, ::-1], truth.amodal[:, ::-1])
    occlusion = survey(open_fishbowl(write_fishbowl(tmp_path / "b", backwards)).videos()).summary()["occlusion"]
    assert occlusion["object_frames"] == 12
    assert occlusion["hidden_object_frames"] == 2
    shares = {"object_frames": 3 / 12, "mean_over_objects": 3 / 12, "mean_over_objects_while_seen": 1 / 8}
    assert occlusion["above"]["0.5"] == pytest.approx(shares)


def check(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    check_data.add_arguments(parser)
    return check_data.run(parser.parse_args([str(argument) for argument in arguments]))


def test_command_on_sound_data(
    tmp_path: Path, truth: Truth, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    write_fishbowl(tmp_path / "train", truth)
    assert check(tmp_path / "train", "--json", tmp_path / "report.json") == 0
    printed = capsys.readouterr().out
    assert "fishbowl: 1 videos, 6 frames of 32x24" in printed
    assert "objects: 2 (SmallFishA 1, MediumFishA 0, MediumFishB 0, BigFishA 0, BigFishB 1)" in printed
    assert "> 0.5" in printed
    assert "0 problems" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["problems"] == []
    assert report["objects"] == 2
    assert not caplog.records
    for write, name in ((write_sailvos, "sailvos"), (write_ytvis, "ytvis"), (write_coco, "coco")):
        assert check(write(tmp_path / name, truth), "--format", name) == 0
    with pytest.raises(A2VISError, match="cannot be written"):
        check(tmp_path / "train", "--json", tmp_path / "absent" / "report.json")


def test_command_on_broken_data(tmp_path: Path, truth: Truth, capsys: pytest.CaptureFixture[str]) -> None:
    write_fishbowl(tmp_path, truth)
    edit(clip(tmp_path), first("type_name", "Vehicle"))
    assert check(tmp_path, "--json", tmp_path / "report.json") == 1
    printed = capsys.readouterr().out
    assert f"problem: {clip(tmp_path)}: object 7: unknown class 'Vehicle'" in printed
    assert "1 problem in" in printed
    problem = json.loads((tmp_path / "report.json").read_text())["problems"][0]
    assert (problem["file"], problem["record"]) == (str(clip(tmp_path)), "object 7")
    (tmp_path / "report.json").unlink()
    assert check(tmp_path, "--classes", "all") == 0
    assert check(tmp_path, "--classes", "Vehicle,BigFishB") == 0
    (tmp_path / "00012" / "video.mp4").write_bytes(b"")
    assert check(tmp_path) == 1
    assert check(tmp_path / "absent") == 1
    assert "absent: data set: does not exist" in capsys.readouterr().out


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there: clips rendered with FISHBOWL's own scene")
def test_clips_of_the_fishbowl_scene() -> None:
    dataset = open_dataset(SHARED / "val")
    assert len(dataset) == 6
    video = dataset[0]
    assert (video.height, video.width, video.length) == (320, 480, 128)
    statistics = survey([video])
    sample = video.load([0, 60, 127])
    assert not messages(dataset)
    assert sum(statistics.objects.values()) == len(sample.object_ids)
    assert sample.amodal is not None
    assert not (sample.visible & ~sample.amodal).any()
    images = sorted((SHARED / "train" / "00103" / "frames").glob("*.png"))
    clip_with_images = open_dataset(SHARED / "train")
    frames = clip_with_images[clip_with_images.names.index("00103")].frames([100])
    stored = ImageFiles.probe([str(path) for path in images]).read([100])
    assert np.abs(frames.astype(int) - stored).mean() < 4  # the same picture, but for H.264; a frame away it is 7
