"""Checkpoints as training programs leave them: prefixes of names, averaged weights, and images of another kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from published_names import RESNET_DETECTRON2, RESNET_TORCHVISION, SWIN, foreign, randomise, tiny_resnet, tiny_swin
from torch import Tensor, nn

from a2vis_model.importers import import_checkpoint, read_checkpoint
from a2vis_model.preprocessing import PIXEL_MEAN, PIXEL_STD

State = dict[str, Tensor]


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def underscored(state: State) -> State:
    """Names as MMCV's EMAHook has them, which registers averages as buffers."""
    return {f"ema_{name.replace('.', '_')}": value for name, value in state.items()}


def pair(seed: int = 0) -> tuple[nn.Module, State]:
    """A network and its weights in torchvision's names."""
    torch.manual_seed(seed)
    source = tiny_resnet()
    randomise(source)
    return source, foreign(source.state_dict(), RESNET_TORCHVISION)


def imported(content: Any, folder: Path) -> tuple[nn.Module, str]:
    """A network with these weights, and what was said; everything must have been found."""
    torch.save(content, folder / "w.pth")
    model = tiny_resnet()
    report = import_checkpoint(model, folder / "w.pth")
    assert not report.missing
    return model, report.summary()


def assert_same(model: nn.Module, source: nn.Module) -> None:
    for name, value in source.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=name)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.model."])
def test_prefixes_are_left_out_and_named(tmp_path: Path, prefix: str) -> None:
    source, state = pair()
    model, said = imported({"state_dict": prefixed(state, prefix)}, tmp_path)
    assert_same(model, source)
    assert "is removed" in said
    assert prefix.split(".")[0] in said


def test_the_mark_of_a_compiled_part_is_left_out_wherever_it_is(tmp_path: Path) -> None:
    source, state = pair()
    model, _ = imported({name.replace("layer2.", "layer2._orig_mod."): v for name, v in state.items()}, tmp_path)
    assert_same(model, source)


@pytest.mark.parametrize("prefix", ["model.", "module.model."])
def test_a_prefix_of_most_names_is_left_out_and_the_others_are_named(tmp_path: Path, prefix: str) -> None:
    """As Lightning saves a network and a loss with weights of its own."""
    source, state = pair()
    content = {**prefixed(state, prefix), "criterion.empty_weight": torch.ones(3)}
    model, said = imported({"state_dict": content}, tmp_path)
    assert_same(model, source)
    assert "most names begin with 'model.', which is removed; 1 do not (criterion.empty_weight)" in said
    assert "skipped 1: no known part of the network (criterion.empty_weight)" in said


def test_a_prefix_stays_where_names_would_meet(tmp_path: Path) -> None:
    _, state = pair()
    content = {**prefixed(state, "model."), "fc.weight": torch.ones(2), "model.fc.weight": torch.ones(2)}
    torch.save(content, tmp_path / "w.pth")
    notes: list[str] = []
    assert read_checkpoint(tmp_path / "w.pth", notes).keys() == content.keys()
    assert notes == ["most names begin with 'model.', which stays: some are also there without it"]


def test_nothing_is_said_of_plain_weights(tmp_path: Path) -> None:
    source, state = pair()
    model, said = imported({"model": state}, tmp_path)
    assert_same(model, source)
    assert "removed" not in said
    assert "averaged" not in said


@pytest.mark.parametrize(
    "wrap",
    [
        lambda raw, average: {"model": raw, "model_ema": average},
        lambda raw, average: {"state_dict": prefixed(raw, "module."), "state_dict_ema": prefixed(average, "module.")},
        lambda raw, average: {"model": raw, "ema": {"module": average, "updates": 7}},
        lambda raw, average: {"state_dict": raw, "ema_state_dict": prefixed(average, "module.")},
        # MMEngine, and MMCV 1 at the end of an epoch: the averages change places with the raw weights.
        lambda raw, average: {
            "state_dict": average,
            "ema_state_dict": {"steps": torch.tensor(9), **prefixed(raw, "module.")},
        },
        lambda raw, average: {"meta": {"epoch": 3}, "state_dict": {**average, **underscored(raw)}},
        lambda raw, average: {"state_dict": {**prefixed(average, "module."), **underscored(raw)}},
        lambda raw, average: {"state_dict": {**prefixed(raw, "model."), **prefixed(average, "model_ema.")}},
        lambda raw, average: {**raw, **prefixed(average, "ema.")},
    ],
)
def test_averaged_weights_are_taken_and_named(tmp_path: Path, wrap: Any) -> None:
    (_, raw), (average, averaged) = pair(1), pair(2)
    model, said = imported(wrap(raw, averaged), tmp_path)
    assert_same(model, average)
    assert "averaged weights" in said


def test_what_has_no_average_is_taken_raw(tmp_path: Path) -> None:
    (source, raw), (average, averaged) = pair(1), pair(2)
    parameters = {name: value for name, value in averaged.items() if "running" not in name}
    model, said = imported({"model": raw, "model_ema": parameters}, tmp_path)
    expected = average.state_dict() | {k: v for k, v in source.state_dict().items() if "running" in k}
    for name, value in expected.items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=name)
    assert "have no average and are taken raw" in said


def averaged_model(state: State) -> State:
    """As torch.optim.swa_utils.AveragedModel has it."""
    return {"n_averaged": torch.tensor(3), **prefixed(state, "module.")}


def test_a_model_averaged_by_torch_is_read(tmp_path: Path) -> None:
    source, state = pair()
    assert_same(imported(averaged_model(state), tmp_path)[0], source)


def first_layer(model: nn.Module, images: Tensor) -> Tensor:
    """What the stem or patch embedding makes of images in its own pixels, away from the border."""
    layer = model.stem if hasattr(model, "stem") else model.patch_embed
    assert isinstance(layer, nn.Module)
    found = layer(images)
    if found.shape[-1] != found.shape[-2]:
        return found
    return found[..., 2:-2, 2:-2]


@pytest.mark.parametrize(
    ("mean", "std", "bgr"),
    [
        ((103.53, 116.28, 123.675), (1.0, 1.0, 1.0), True),
        ((103.53, 116.28, 123.675), (57.375, 57.12, 58.395), True),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False),
        ((123.675, 116.28, 103.53), (1.0, 1.0, 1.0), False),
    ],
)
@pytest.mark.parametrize("kind", ["resnet", "swin"])
def test_the_first_layer_reads_our_pixels_whatever_it_was_trained_on(
    kind: str, mean: tuple[float, ...], std: tuple[float, ...], bgr: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    make, table = (tiny_resnet, RESNET_DETECTRON2) if kind == "resnet" else (tiny_swin, SWIN)
    source, model = make().eval(), make().eval()
    randomise(source)
    pixels = {"pixel_mean": torch.tensor(mean)[:, None, None], "pixel_std": torch.tensor(std)[:, None, None]}
    torch.save({"model": {**foreign(source.state_dict(), table), **pixels}}, tmp_path / "w.pth")
    report = import_checkpoint(model, tmp_path / "w.pth")
    assert not report.missing
    assert not report.skipped
    assert ("trained on BGR images" in report.summary()) == bgr
    rgb = torch.randint(0, 256, (1, 3, 64, 64)).float()
    theirs = rgb.flip(1) if bgr else rgb
    theirs = (theirs - pixels["pixel_mean"]) / pixels["pixel_std"]
    ours = (rgb - torch.tensor(PIXEL_MEAN)[:, None, None]) / torch.tensor(PIXEL_STD)[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(first_layer(model, ours), first_layer(source, theirs), rtol=1e-3, atol=1e-3)
