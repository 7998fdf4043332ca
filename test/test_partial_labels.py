"""Photographs know visible masks alone, and some label some classes alone: what is not known is not punished."""

import dataclasses
import json
import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import evaluation_data
import numpy as np
import pytest
import torch
from conftest import tiny_config, tiny_model
from dataset_files import rle
from evaluation_data import track
from test_training import (
    CPU,
    FEW_POINTS,
    HEIGHT,
    WIDTH,
    MemoryVideo,
    VideoList,
    command,
    files,
    moving_squares,
    training,
)

from a2vis_model import ConfigError
from a2vis_model.cli import main
from a2vis_model.data import DataError, open_dataset
from a2vis_model.data.labels import LabelRules
from a2vis_model.data.problems import ProblemLog
from a2vis_model.evaluation import runner
from a2vis_model.evaluation.prediction import VideoPrediction
from a2vis_model.evaluation.youtube_vis import YtvisGroundTruth
from a2vis_model.modeling import SetPrediction, TrackPrediction
from a2vis_model.training import (
    Augmentation,
    Batch,
    LossSettings,
    PointSampling,
    SequenceDataset,
    Targets,
    TrainingSample,
    augment,
    copy_paste,
    make_objective,
    objectives,
    validate_frames,
    validate_videos,
)
from a2vis_model.training import losses as loss_functions
from a2vis_model.training.draws import EvenDraws, Focus
from a2vis_model.training.loop import CHECKPOINT
from a2vis_model.training.losses import class_loss, mask_losses, uncertain_points
from a2vis_model.training.matching import mask_costs
from a2vis_model.training.objectives import set_cost, set_losses, track_cost, track_losses
from a2vis_model.training.sources import CachedSource, open_source
from a2vis_model.training.validation import MaskTubes, PanopticQuality
from a2vis_model.weights import save_weights

__all__ = ["files"]  # a fixture

CLASSES = ("person", "car", "dog")


def write_photographs(folder: Path, pictures: Sequence[dict[str, Any]], **top: Any) -> Path:
    """A COCO file of 60x80 images; a picture is its record with `boxes`: (category, top, left, height, width)."""
    images, annotations = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, 1):
        record = {"id": number, "file_name": f"p{number}.png", "height": 60, "width": 80, **picture}
        pixels = np.full((60, 80, 3), 90, np.uint8)
        for category, y, x, height, width in record.pop("boxes"):
            mask = np.zeros((60, 80), np.bool_)
            mask[y : y + height, x : x + width] = True
            pixels[mask] = 250
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": category, "iscrowd": 0}
            annotations.append({**annotation, "segmentation": rle(mask), "area": int(mask.sum())})
        assert cv2.imwrite(str(folder / "images" / record["file_name"]), pixels)
        images.append(record)
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories, **top}
    file = folder / "annotations.json"
    file.write_text(json.dumps(document))
    return file


def photograph() -> MemoryVideo:
    """One frame in which a red square hides a part of a blue one; how much of the blue one is not known."""
    video = moving_squares()
    shown = slice(5, 6)
    return MemoryVideo(video.frames[shown], video.visible[:, shown], None, video.class_ids)


def sequences(videos: Sequence[MemoryVideo], frames: int, labelled: Sequence[bool] | None = None) -> Batch:
    """The same video repeated to so many frames, or as many of its own."""
    samples = []
    for video in videos:
        indices = np.minimum(np.arange(frames), video.length - 1).tolist()
        sample = video.load(indices, seen_only=True)
        if video.amodal is None and labelled is not None:
            sample = dataclasses.replace(sample, labelled=np.array(labelled))
        rng = np.random.default_rng(0)
        samples.append(augment(sample, Augmentation.none(), height=HEIGHT, width=WIDTH, rng=rng))
    return Batch.collate(samples)


# ---------------------------------------------------------------------------------------------------- data


def test_a_plain_file_labels_its_categories_and_knows_no_amodal_masks(tmp_path: Path) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}])
    dataset = open_dataset(file, classes=["dog", "cat", "person"])
    assert not dataset.has_amodal
    assert dataset[0].labelled == (True, False, True)
    sample = dataset[0].load([0])
    assert sample.amodal is None
    assert sample.labelled is not None
    assert sample.labelled.tolist() == [True, False, True]


def test_what_is_labelled_is_said_by_rule_before_picture_before_file(tmp_path: Path) -> None:
    box = [(1, 5, 5, 20, 10)]
    pictures = [
        {"boxes": box, "file_name": "a_1.png"},
        {"boxes": box, "file_name": "a_2.png", "labelled": ["car"]},
        {"boxes": box, "file_name": "b_1.png", "labelled": ["car"]},
        {"boxes": box, "file_name": "b_2.png", "amodal": "unknown"},
    ]
    file = write_photographs(tmp_path, pictures, labelled=["person", "dog"])
    assert [video.labelled_classes for video in open_dataset(file).videos()] == [
        ("person", "dog"),
        ("car",),
        ("car",),
        ("person", "dog"),
    ]
    rules = "- files: a_*\n  labelled: [person]\n- files: '*_1.png'\n  amodal: unknown\n"
    (tmp_path / "other.yaml").write_text(rules)
    expected = [("person",), ("person",), ("car",), ("person", "dog")]
    assert [v.labelled_classes for v in open_dataset(file, labels=tmp_path / "other.yaml").videos()] == expected
    (tmp_path / "labels.yaml").write_text(rules)  # found by its name
    dataset = open_dataset(file)
    assert [video.labelled_classes for video in dataset.videos()] == expected
    again = pickle.loads(pickle.dumps(dataset))  # as a loader process gets it
    assert again[1].labelled_classes == ("person",)


def test_one_file_may_hold_pictures_with_and_without_amodal_masks(tmp_path: Path) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}, {"boxes": [(1, 5, 5, 20, 10)]}])
    document = json.loads(file.read_text())
    document["images"][1]["amodal"] = "unknown"
    smaller = np.zeros((60, 80), np.bool_)
    smaller[5:10, 5:15] = True
    document["annotations"][0]["visible_mask"] = rle(smaller)
    file.write_text(json.dumps(document))
    dataset = open_dataset(file)
    assert dataset.has_amodal
    whole, part = (video.load([0]) for video in dataset.videos())
    assert whole.amodal is not None
    assert (whole.visible.sum(), whole.amodal.sum()) == (50, 200)
    assert part.amodal is None
    assert part.visible.sum() == 200


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ({"labelled": ["cta"]}, "file: labelled: unknown class 'cta'; the classes are person, car, dog"),
        ({"labelled": "person"}, "file: labelled is 'person', not a list of class names"),
        ({"amodal": "maybe"}, "file: amodal is 'maybe'; choose known or unknown"),
        ({"amodal": ["unknown"]}, "choose known or unknown"),
    ],
)
def test_wrong_values_of_a_file_are_errors(tmp_path: Path, top: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(write_photographs(tmp_path, [{"boxes": []}], **top))


def test_a_picture_with_wrong_values_is_left_out_and_named(tmp_path: Path) -> None:
    file = write_photographs(tmp_path, [{"boxes": [], "labelled": ["cta"]}, {"boxes": []}])
    dataset = open_dataset(file)
    assert dataset.names == ["2"]
    assert "image 0: labelled: unknown class 'cta'" in str(next(iter(dataset.problems)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b", "is not a list of rules"),
        ("- labelled: [person]", "rule 1: has no 'files'"),
        ("- files: '*'", "rule 1: states nothing: give 'labelled' or 'amodal'"),
        ("- {files: '*', labeled: [person]}", "rule 1: unknown key 'labeled'; known are files, labelled, amodal"),
        (
            "- {files: '*', labelled: [cta]}",
            "labels.yaml: rule 1: labelled: unknown class 'cta'; the classes are person",
        ),
        ("- {files: '*', amodal: no}", "rule 1: amodal is False; choose known or unknown"),
        ("[", "cannot be read as YAML"),
    ],
)
def test_wrong_rules_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = write_photographs(tmp_path, [{"boxes": []}])
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        open_dataset(file)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="cannot be read"):
        LabelRules.read(tmp_path / "absent.yaml")
    with pytest.raises(DataError, match="robto: labels: is unknown; choose robot, or a YAML file"):
        LabelRules.read("robto")


def test_labels_of_the_photographs_that_ship_with_the_package() -> None:
    rules, classes = LabelRules.read("robot"), ["person", "bicycle", "car", "motorcycle", "bus", "truck", "cat", "dog"]
    assert rules.of("cocoperson_425226.jpg", classes).labelled == ("person",)
    assert rules.of("coco_36.jpg", classes).labelled == ("person", "bicycle", "car", "motorcycle")
    assert rules.of("voc_2007_002719.jpg", classes).labelled == tuple(name for name in classes if name != "truck")
    assert rules.of("penn_FudanPed00001.jpg", classes).labelled is None


@pytest.mark.parametrize("area", [1e400, float("nan"), 10**400, -1, "large", None])
def test_an_area_that_cannot_be_is_not_known(tmp_path: Path, area: Any) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}])
    assert list(open_dataset(file).video_classes()) == [{0: 200 / 4800}]
    document = json.loads(file.read_text())
    document["annotations"][0]["area"] = area
    file.write_text(json.dumps(document))
    assert list(open_dataset(file).video_classes()) == [{0: 1.0}]


def test_check_data_says_what_is_labelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}] * 3)
    (tmp_path / "given.yaml").write_text("- files: p1*\n  labelled: [person]\n")
    assert main(["check-data", str(file), "--labels", str(tmp_path / "given.yaml")]) == 0
    out = capsys.readouterr().out
    assert "labelled in 2 videos: all classes\nlabelled in 1 videos: person\n" in out
    assert "amodal masks: unknown in all videos" in out


# ---------------------------------------------------------------------------------------------------- losses


def test_amodal_masks_of_a_photograph_are_known_but_where_others_are_seen() -> None:
    batch = sequences([photograph(), moving_squares()], 1)
    targets = batch.targets("amodal")
    assert batch.amodal_known.tolist() == [False, True]
    assert targets.unknown is not None
    seen = batch.masks("visible").any(dim=2)
    assert torch.equal(targets.unknown[0], seen[0])
    assert not targets.unknown[1].any()
    known = targets.known_cells()
    assert known is not None
    cells = torch.nn.functional.avg_pool2d(seen[0].float(), 4).flatten()
    assert torch.allclose(known[0, 0, 0], 1 - (cells - targets.cells[0, 0, 0]).clamp(min=0))
    assert torch.equal(known[1], torch.ones_like(known[1]))
    assert batch.targets("visible").unknown is None
    assert sequences([moving_squares()], 1).targets("amodal").unknown is None
    halves = sequences([photograph()], 4).targets("amodal").split(2)
    assert halves.unknown is not None
    assert halves.unknown.shape == (2, 2, HEIGHT, WIDTH)


def test_unknown_pixels_have_no_gradient_in_mask_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points lie at the centres of all cells, so that each belongs to one logit."""
    y, x = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    points = torch.stack(((x + 0.5) / 6, (y + 0.5) / 4), dim=-1).view(1, 1, 24, 2).float()
    monkeypatch.setattr(loss_functions, "uncertain_points", lambda *_: points)
    pixels = torch.zeros(1, 1, 2, 16, 24, dtype=torch.bool)
    pixels[0, 0, 0, :8, :12], pixels[0, 0, 1, :8, 12:] = True, True
    unknown = pixels.any(dim=2)
    logits = torch.randn(1, 1, 4, 6, requires_grad=True)
    args = (pixels, torch.tensor([0]), torch.tensor([0]), torch.tensor([1.0]), PointSampling())
    cross_entropy, dice = mask_losses(logits, *args, unknown)
    own, other = torch.zeros(4, 6, dtype=torch.bool), torch.zeros(4, 6, dtype=torch.bool)
    own[:2, :3], other[:2, 3:] = True, True
    for loss in (cross_entropy, dice):
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert not gradient[0, 0][other].any()
        assert (gradient[0, 0][own] < 0).all()  # inside its own visible mask it is 1
        assert (gradient[0, 0][~own & ~other] > 0).all()  # elsewhere 0
    x, t = logits[0, 0][~other].detach(), own[~other].float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(x, t)
    assert cross_entropy.item() == pytest.approx(expected.item(), rel=1e-5)
    p = x.sigmoid()
    assert dice.item() == pytest.approx((1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)).item(), rel=1e-5)
    assert mask_losses(logits, *args)[0] != cross_entropy


def test_points_do_not_gather_where_nothing_is_known() -> None:
    torch.manual_seed(0)
    logits = torch.full((1, 1, 8, 16), 9.0)
    logits[..., 8:] = 0.0  # uncertain, and unknown
    points = uncertain_points(logits, PointSampling(points=200), lambda points: (points[..., 0] < 0.5).float())
    assert (points[..., 0] < 0.5).sum() >= 150


def test_matching_costs_are_those_of_the_known_places() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(1, 3, 40), (torch.rand(1, 2, 40) > 0.5).float()
    known = torch.maximum((torch.rand(1, 2, 40) > 0.4).float(), targets)
    costs = mask_costs(logits, targets, known)
    for n in range(2):
        there = known[0, n] > 0
        expected = mask_costs(logits[..., there], targets[:, n : n + 1, there])
        for cost, plain in zip(costs, expected, strict=True):
            assert torch.allclose(cost[..., n : n + 1], plain, atol=1e-5)


def test_a_class_that_a_picture_does_not_label_is_no_mistake() -> None:
    """Two pictures with a slot each that has no object; the second does not label the second of three classes."""
    logits = torch.randn(1, 2, 1, 4, requires_grad=True)
    labels, labelled = torch.full((1, 2, 1), 3), torch.tensor([[True, True, True], [True, False, True]])
    loss = class_loss(logits, labels, 1, 0.1, labelled)
    probability = logits[0, :, 0].softmax(-1)
    expected = -(probability[0, 3].log() + (probability[1, 1] + probability[1, 3]).log()) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[0, 0, 0, :3] > 0).all()
    assert gradient[0, 1, 0, 1] <= 0
    assert (gradient[0, 1, 0, [0, 2]] > 0).all()
    sure = torch.tensor([[[[0.0, 0, 0, 30]], [[0.0, 30, 0, 0]]]])
    assert class_loss(sure, labels, 1, 0.1, labelled) < 1e-6
    matched = class_loss(sure, torch.tensor([[[3], [0]]]), 1, 0.1, labelled)  # an object of the first class is there
    assert matched > 10


def test_losses_of_slots_leave_the_unknown_alone() -> None:
    """The network draws the hidden object all over the one that hides it, and finds an unlabelled one besides."""
    batch = sequences([photograph()], 2, [False, True, True, True, True])
    targets, amodal = batch.targets("visible"), batch.targets("amodal")
    torch.manual_seed(0)
    masks = torch.randn(1, 2, 4, HEIGHT // 4, WIDTH // 4)
    wide = masks.clone()
    hidden = batch.masks("visible")[0, 0, 0]
    inner = torch.nn.functional.avg_pool2d(hidden[None].float(), 4)[0] == 1
    inner = torch.nn.functional.avg_pool2d(inner[None].float(), 3, 1, 1)[0] == 1  # and all around it
    assert inner.sum() > 8
    wide[:, :, 1, inner] = 9.0
    classes = torch.zeros(1, 4, 6)
    claims = classes.clone()
    claims[:, 3, 0] = 9.0
    slots = np.array([[[0, 1]]])

    def losses(classes: torch.Tensor, masks: torch.Tensor) -> dict[str, float]:
        torch.manual_seed(0)
        tracks = TrackPrediction(classes, torch.zeros_like(masks), [masks])
        settings = LossSettings(sampling=PointSampling(points=4000, importance=0.0, oversample=1.0))
        found = track_losses(tracks, targets, amodal, slots, 1, settings)
        return {name: value.item() for name, value in found.items()}

    plain, drawn = losses(classes, masks), losses(claims, wide)
    assert drawn["amodal_mask"] == pytest.approx(plain["amodal_mask"], rel=1e-6)
    assert drawn["amodal_dice"] == pytest.approx(plain["amodal_dice"], rel=1e-6)
    assert drawn["class"] < plain["class"]
    other = claims.roll(1, dims=2)  # the next class is labelled
    assert losses(other, masks)["class"] > plain["class"]
    costs = [
        track_cost(TrackPrediction(classes, masks, [m]), targets, amodal, np.array([0]), FEW_POINTS)
        for m in (masks, wide)
    ]
    assert torch.allclose(costs[0][0, 1, 1], costs[1][0, 1, 1], atol=1e-5)
    assert not torch.allclose(costs[0][0, 1, 0], costs[1][0, 1, 0], atol=1e-3)


def test_detectors_of_amodal_masks_leave_the_unknown_alone() -> None:
    batch = sequences([photograph()], 1, [False, True, True, True, True])
    targets = batch.targets("amodal")
    cells = targets.cells[0, 0].view(2, HEIGHT // 4, WIDTH // 4)
    # One feature is the object that hides, the other constant: embeddings draw one, both, or nothing.
    features = torch.stack((20.0 * cells[0], torch.full_like(cells[0], -10.0)))[None, None]
    embeddings = torch.zeros(1, 1, 3, 2)
    embeddings[..., 1] = 1.0
    drawn = embeddings.clone()
    drawn[0, 0, 1, 0] = 1.0
    costs = [
        set_cost(SetPrediction(torch.zeros(1, 1, 3, 6), e, features), targets, FEW_POINTS)[0, 0, 1]
        for e in (embeddings, drawn)
    ]
    assert abs(costs[0][1] - costs[1][1]) < 0.1 * abs(costs[0][0] - costs[1][0])
    assignment = np.array([[[0, 1]]])
    values = []
    for e in (embeddings, drawn):
        torch.manual_seed(0)
        found = set_losses(
            "frame", SetPrediction(torch.zeros(1, 1, 3, 6), e, features), targets, assignment, 1, FEW_POINTS
        )
        values.append(found["frame_mask"].item())
    assert values[1] == pytest.approx(values[0], rel=0.1)


@pytest.mark.parametrize(
    ("variant", "stage"),
    [("a2vis", "frame"), ("a2vis", "video"), ("a2vis", "joint"), ("minvis-amodal", "frame"), ("vita-amodal", "video")],
)
def test_photographs_and_clips_train_together(monkeypatch: pytest.MonkeyPatch, variant: str, stage: str) -> None:
    """All losses of a step are told what is known."""
    told: dict[str, list[Targets]] = {"class": [], "mask": []}

    def listen(kind: str, function: Callable[..., Any], place: int) -> Callable[..., Any]:
        return lambda *args: (told[kind].append(args[place]), function(*args))[1]

    monkeypatch.setattr(objectives, "_class_loss", listen("class", objectives._class_loss, 1))
    monkeypatch.setattr(objectives, "_mask_losses", listen("mask", objectives._mask_losses, 2))
    model_config = tiny_config(variant)
    model = tiny_model(model_config)
    config = training(stage)
    labelled = [True, False, False, True, True]
    batch = sequences([photograph(), moving_squares()], config.frames_of(model_config), labelled)
    losses = make_objective(model, model_config, config, CPU)(batch)
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()  # type: ignore[union-attr]
    for targets in told["class"]:
        assert targets.labelled is not None
        half = len(targets.labelled) // 2
        assert targets.labelled[:half].tolist() == [labelled] * half
        assert targets.labelled[half:].all()
    amodal = [targets for targets in told["mask"] if targets.unknown is not None]
    assert len(amodal) == sum(name.endswith("_mask") for name in losses if "amodal" in (variant + name))
    for targets in amodal:
        assert targets.unknown is not None
        assert targets.unknown.shape == (*targets.pixels.shape[:2], HEIGHT, WIDTH)
        half = len(targets.unknown) // 2
        assert targets.unknown[:half].any()
        assert not targets.unknown[half:].any()


def test_validation_counts_what_is_known() -> None:
    covered, known = torch.zeros(1, 2, 8), torch.ones(1, 2, 8)
    covered[0, 0, :2] = covered[0, 1, 2:4] = 1
    known[0, 0, 2:4] = 0  # the second object hides what the first may have there
    logits = torch.full((1, 3, 1, 8), -1.0)
    logits[0, 0, 0, :4] = logits[0, 1, 0, 2:4] = logits[0, 2, 0, 6:] = 1
    tubes = MaskTubes()
    tubes.add(logits, covered, known)
    quality = PanopticQuality()
    labelled = np.array([True, False])
    quality.add(tubes, np.array([0, 0, 1]), np.array([0, 0]), labelled)
    assert quality.value == 1.0
    quality.add(tubes, np.array([0, 1, 0]), np.array([0, 1]), labelled)  # a false positive of a labelled class
    assert quality.value == pytest.approx(4 / 4.5)
    for variant in ("a2vis", "minvis-amodal"):
        config = tiny_config(variant)
        validate = validate_videos if variant == "a2vis" else validate_frames
        assert "amodal" in validate(tiny_model(config), config, [photograph()], frames=3)


# ---------------------------------------------------------------------------------------------------- draws


def photographs(folder: Path) -> Path:
    """Nine pictures of persons, one of them with a car, and one of a dog; the sixth person is small."""
    large = [(1, 5, 5, 40, 30)]
    pictures: list[dict[str, Any]] = [{"boxes": large} for _ in range(9)]
    pictures[3] = {"boxes": [*large, (2, 30, 50, 20, 20)]}
    pictures[5] = {"boxes": [*large, (1, 50, 70, 3, 4)]}
    return write_photographs(folder, [*pictures, {"boxes": [(3, 20, 20, 20, 20)]}, {"boxes": []}])


def drawn_from(file: Path, **changes: Any) -> SequenceDataset:
    values: dict[str, Any] = {
        "sources": [open_source(str(file), CLASSES, frames=1, seed=0, gigabytes=0.1)],
        "weights": [1.0],
        "frames": 1,
        "reach": 0,
        "height": HEIGHT,
        "width": WIDTH,
        "augmentation": dataclasses.replace(Augmentation(), resized=0.0, copy_paste=0.0),
        "seed": 3,
    }
    return SequenceDataset(**{**values, **changes})


def test_classes_are_drawn_evenly(tmp_path: Path) -> None:
    data = drawn_from(photographs(tmp_path))
    held = Counter(int(c) for index in range(300) for c in set(data[index].classes.tolist()))
    assert 85 <= held[2] <= 115  # one picture in eleven shows a dog
    # Those drawn for their car show a person too unless it is cropped away, and a few of those drawn for persons a car.
    assert 90 <= held[1] <= 130
    plain = drawn_from(photographs(tmp_path), even_draws=False)
    assert sum(2 in plain[index].classes for index in range(100)) < 25
    assert plain.draws == [None]


def test_draws_follow_from_their_number_alone_also_in_another_process(tmp_path: Path) -> None:
    data = drawn_from(photographs(tmp_path), frames=3)
    copy = pickle.loads(pickle.dumps(data))
    for index in (7, 2):
        assert np.array_equal(data[index].images, copy[index].images)
        assert np.array_equal(data[index].visible, copy[index].visible)


def test_every_video_of_a_class_is_as_likely() -> None:
    draws = EvenDraws.of([{0: 1.0, 1: 0.001}, {0: 1.0}, {}, {0: 0.001}], small_share=0.01)
    assert draws is not None
    rng = np.random.default_rng(0)
    for resized, of_first in ((0.0, (0, 1, 3)), (1.0, (3,))):
        drawn = Counter(draws.draw(resized, rng) for _ in range(600))
        counts = {number: n for (number, focus), n in drawn.items() if focus.class_id == 0}
        assert set(counts) == set(of_first)
        assert max(counts.values()) < 1.5 * min(counts.values())
        assert sum(counts.values()) == pytest.approx(300, abs=50)
        assert {number for number, focus in drawn if focus.class_id == 1} == {0}
        assert all(focus.resize == bool(resized) for _, focus in drawn)
    assert EvenDraws.of([{}, {}], small_share=0.01) is None
    few = EvenDraws.of([{0: 0.001}, *[{0: 1.0}] * 99], small_share=0.01)
    assert few is not None
    assert (
        20 <= sum(few.draw(1.0, rng)[0] == 0 for _ in range(600)) <= 50
    )  # 6 %: the only small one is not all there is


def test_a_frame_that_shows_the_class_is_drawn_from_a_long_video(tmp_path: Path) -> None:
    from dataset_files import LENGTH, two_objects, write_fishbowl

    source = open_source(str(write_fishbowl(tmp_path, two_objects())), ["SmallFishA"], frames=1, seed=0, gigabytes=0.0)
    assert isinstance(source, CachedSource)
    assert [dict(held) for held in source.video_classes()] == [{0: 1.0}]
    assert source[0].frames_with(0).tolist() == [2, 3, 4, 5]  # hidden in the first two of six
    assert LENGTH == 6
    data = dataclasses.replace(
        drawn_from(photographs(tmp_path / "photographs")), sources=[source], augmentation=Augmentation.none()
    )
    assert all(data._draw(np.random.default_rng(seed)).classes.tolist() == [0] for seed in range(12))


@pytest.mark.parametrize("side", [6, 60])
def test_objects_are_resized_to_medium_and_in_view(side: int) -> None:
    """Where the picture just fits, a side of 24 pixels, which is small, or 240, which is large."""
    visible = np.zeros((1, 1, 64, 96), np.bool_)
    visible[0, 0, 64 - side :, 96 - side :] = True
    sample = MemoryVideo(np.full((1, 64, 96, 3), 90, np.uint8), visible, None, np.array([1])).load([0])
    augmentation = dataclasses.replace(Augmentation(), scale=(2.0, 4.0))
    sides = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        resized = augment(sample, augmentation, height=256, width=384, rng=rng, focus=Focus(1, True))
        sides.append(np.sqrt(resized.visible[0, 0].sum()))
        assert 31 <= sides[-1] <= 98
        plain = augment(sample, augmentation, height=256, width=384, rng=rng, focus=Focus(1, False))
        least = 2 * 4 * side  # at twice the size at which the picture fits
        assert plain.visible[0, 0].sum() >= (min(least, 256) - 3) ** 2
    assert side == 60 or max(sides) - min(sides) > 20


# ---------------------------------------------------------------------------------------------------- copy-paste


def boxes(*spans: tuple[int, int, int, int], grey: int, frames: int = 1) -> TrainingSample:
    """Objects of class 0, 1, ... in rectangles (top, left, bottom, right) of a 16x16 picture, visible masks alone."""
    visible = np.zeros((frames, len(spans), 16, 16), np.bool_)
    for n, (top, left, bottom, right) in enumerate(spans):
        visible[:, n, top:bottom, left:right] = True
    images = np.full((frames, 16, 16, 3), grey, np.uint8)
    return TrainingSample(
        images, visible, visible.copy(), np.arange(len(spans)), amodal_known=False, labelled=np.array([True, False])
    )


def test_pasted_objects_cover_and_what_they_cover_stays_known() -> None:
    below, above = boxes((2, 2, 10, 10), (12, 12, 15, 15), grey=50), boxes((6, 6, 14, 11), grey=200)
    above = dataclasses.replace(above, labelled=np.array([True, True]))
    out = copy_paste(below, above, np.random.default_rng(0))
    cover = above.visible[0, 0]
    assert (out.images[0][cover] == 200).all()
    assert (out.images[0][~cover] == 50).all()
    assert out.classes.tolist() == [0, 1, 0]
    assert np.array_equal(out.visible[0, 0], below.visible[0, 0] & ~cover)
    assert np.array_equal(out.visible[0, 1], below.visible[0, 1])
    assert np.array_equal(out.visible[0, 2], cover)
    assert out.visible[0].sum(axis=0).max() == 1
    assert np.array_equal(out.amodal[0, 0], below.visible[0, 0])  # as it was seen before
    assert out.labelled is not None
    assert out.labelled.tolist() == [True, False]  # what the picture below does not label is still in it
    targets = Batch.collate([out]).targets("amodal")
    assert targets.unknown is not None
    unknown = targets.unknown[0, 0] & ~targets.pixels[0, 0]
    assert not unknown[0][torch.from_numpy(below.visible[0, 0])].any()  # under the paste too
    assert torch.equal(unknown[2], torch.from_numpy(out.visible[0, :2].any(axis=0) & ~cover))
    rest = torch.from_numpy(cover & ~below.visible[0, 0])
    assert unknown[0][rest].all()  # it may go on behind what was pasted beside it


def test_an_object_that_is_nearly_covered_is_left_out() -> None:
    below = boxes((0, 0, 10, 10), (0, 12, 4, 14), grey=50)
    for bottom, kept in ((9, [0, 1, 0]), (10, [1, 0])):
        above = boxes((0, 0, bottom, 10), grey=200)
        assert copy_paste(below, above, np.random.default_rng(0)).classes.tolist() == kept
    moving = boxes((0, 0, 10, 10), grey=200, frames=2)
    moving.visible[0, 0] = False  # it comes in the second frame
    out = copy_paste(boxes((0, 0, 10, 10), grey=50, frames=2), moving, np.random.default_rng(0))
    assert out.classes.tolist() == [0, 0]
    assert out.visible[:, 0].any(axis=(1, 2)).tolist() == [True, False]
    assert out.amodal[:, 0].sum(axis=(1, 2)).tolist() == [100, 100]  # hidden, and known
    assert out.amodal[:, 1].any(axis=(1, 2)).tolist() == [False, True]
    first = boxes((0, 0, 10, 10), grey=200, frames=2)
    first.visible[1, 0] = False  # it leaves what it hides
    out = copy_paste(boxes((0, 0, 10, 10), grey=50, frames=2), first, np.random.default_rng(0))
    assert out.amodal[:, 0].any(axis=(1, 2)).tolist() == [False, True]  # paper 3.1: not before it is first visible


def test_what_touches_a_pasted_object_comes_with_it() -> None:
    """What hides a part of an object must not stay behind: the cut would look like its edge."""
    above = boxes((2, 2, 6, 6), (6, 2, 9, 6), (2, 11, 5, 14), grey=200)
    pasted = {tuple(copy_paste(boxes(grey=50), above, np.random.default_rng(s)).classes.tolist()) for s in range(30)}
    assert pasted == {(0, 1), (2,), (0, 1, 2)}
    nothing = boxes(grey=200)
    below = boxes((2, 2, 10, 10), grey=50)
    assert copy_paste(below, nothing, np.random.default_rng(0)) is below


def test_photographs_are_pasted_and_videos_are_not(tmp_path: Path) -> None:
    always = dataclasses.replace(Augmentation.none(), copy_paste=1.0)
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 40, 30)]}, {"boxes": [(2, 20, 20, 30, 50)]}])
    data = drawn_from(file, augmentation=always, frames=2)
    assert {len(data[index].classes) for index in range(10)} == {1, 2}  # one, where it is covered
    assert np.array_equal(data[1].visible, data[1].visible)
    videos = dataclasses.replace(data, sources=[VideoList([moving_squares()])])
    assert all(len(videos[index].classes) == 2 for index in range(4))
    with pytest.raises(ConfigError, match=r"copy_paste=1\.5; choose 0 to 1"):
        Augmentation(copy_paste=1.5)


# ---------------------------------------------------------------------------------------------------- evaluation


def test_predictions_of_a_class_that_a_video_does_not_label_do_not_count(tmp_path: Path) -> None:
    here, there = [(4.0, 4.0, 12.0, 12.0)] * 3, [(40.0, 20.0, 12.0, 12.0)] * 3
    first, second = evaluation_data.videos(2, length=3)
    truth = [[track(1, 1, here), track(2, 2, there)], [track(1, 1, here)]]
    # The dog of the second video is not in the truth, and both videos have a dog that is none.
    found = [
        [track(1, 1, here), track(2, 2, there, score=0.5), track(3, 2, here, score=0.3)],
        [track(1, 1, here), track(2, 2, there), track(3, 2, here, score=0.9)],
    ]

    def scores(name: str, *labelled: tuple[int, ...] | None) -> dict[str, Any]:
        infos = [dataclasses.replace(v, labelled=ids) for v, ids in zip((first, second), labelled, strict=True)]
        return dict(evaluation_data.score(*evaluation_data.write_files(tmp_path / name, infos, truth, found)))

    punished, excused = scores("all", None, None), scores("some", None, (1, 3))
    assert punished["boxes.FP"] == 9
    assert excused["boxes.FP"] == 3  # of the video that labels dogs
    assert excused["boxes.TP"] == punished["boxes.TP"] == 9
    assert punished["classes.dog.visible.AP"] < excused["classes.dog.visible.AP"] == pytest.approx(1)
    assert excused["classes.cat.visible.AP"] == pytest.approx(1)
    nothing = scores("wrong", (2,), (2,))
    assert nothing["boxes.TP"] == 9  # what is labelled all the same is found
    document = json.loads((tmp_path / "some" / "truth.json").read_text())
    assert [video.get("labelled") for video in document["videos"]] == [None, ["cat", "never there"]]
    document["videos"][1]["labelled"] = ["bird"]
    (tmp_path / "bird.json").write_text(json.dumps(document))
    problems = ProblemLog()
    assert len(YtvisGroundTruth(tmp_path / "bird.json", problems).videos) == 1
    assert "video 2: labelled: unknown class 'bird'; the classes are cat, dog, never there" in str(next(iter(problems)))


def test_evaluation_knows_what_a_picture_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_photographs(tmp_path, [{"boxes": [(1, 5, 5, 20, 10)]}] * 2)
    (tmp_path / "given.yaml").write_text("- files: p1*\n  labelled: [person]\n")
    config = tiny_config(classes=CLASSES)
    save_weights(tmp_path / "weights.safetensors", tiny_model(config), config)
    monkeypatch.setattr(runner, "predict_with", lambda *_: VideoPrediction([], [], 0.5, 1))
    options = ["--weights", str(tmp_path / "weights.safetensors"), "--quiet", "--jobs", "1", "--device", "cpu"]
    hashes = []
    for labels in ([], ["--labels", str(tmp_path / "given.yaml")]):
        output = tmp_path / f"out{len(labels)}"
        assert main(["evaluate", "--data", str(file), "--output", str(output), *labels, *options]) == 0
        document = json.loads((output / "ground_truth.json").read_text())
        assert document["videos"][0].get("labelled") == (["person"] if labels else None)
        assert "labelled" not in document["videos"][1]
        hashes.append(json.loads((output / "results.json").read_text())["provenance"]["hashes"]["data"])
    assert hashes[0] != hashes[1]


# ---------------------------------------------------------------------------------------------------- command


def test_command_trains_on_photographs_beside_data_that_know_amodal_masks(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photographs(tmp_path / "photos", [{"boxes": [(1, 5, 5, 40, 30), (2, 30, 30, 20, 20)]}] * 2)
    labels = tmp_path / "some.yaml"
    labels.write_text("- files: p*\n  labelled: [person]\n")
    classes = ["--classes", "person,car,SmallFishA,BigFishA", "--labels", str(labels), "--steps", "1"]
    joint = ["--stage", "joint", "--data", str(photos), str(files / "clips"), *classes]
    validation = ["--validation", str(photos), "--validation-frames", "3"]
    assert command(files, tmp_path / "joint", *joint, *validation) == 0
    labels.write_text("- files: p*\n  labelled: [car]\n")
    assert command(files, tmp_path / "joint", *joint, *validation, "--resume") == 2
    assert "another labels" in capsys.readouterr().err
    alone = ["--data", str(photos), *classes]
    assert command(files, tmp_path / "refused", "--stage", "joint", *alone) == 2
    assert "these data have no amodal masks; add data that have" in capsys.readouterr().err
    assert not (tmp_path / "refused" / CHECKPOINT).exists()
    assert command(files, tmp_path / "absent", "--stage", "frame", *alone, "--labels", "/nowhere.yaml") == 2
    assert "/nowhere.yaml: file: cannot be read" in capsys.readouterr().err
