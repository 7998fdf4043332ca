"""Foreign weight files: where each tensor goes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from networks import randomise_by_fan_in
from published_names import (
    GENVIS,
    RESNET_DETECTRON2,
    RESNET_TORCHVISION,
    SWIN,
    State,
    Table,
    foreign,
    randomise,
    save,
    tiny_config,
    tiny_resnet,
    tiny_swin,
)
from torch import Tensor, nn

from a2vis_model.importers import import_checkpoint
from a2vis_model.modeling import build_detector, build_model
from a2vis_model.modeling.backbones import MobileNetV2

# Networks this small are fastest on one thread, much so on a busy machine.
torch.set_num_threads(1)


# What torch says of a foreign pickle before it refuses it.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


SWIN_TIMM: Table = [
    (r"stages\.0\.downsample\.(.*)", r"layers.1.downsample.\1"),
    (r"stages\.1\.downsample\.(.*)", r"layers.2.downsample.\1"),
    (r"stages\.2\.downsample\.(.*)", r"layers.3.downsample.\1"),
    *SWIN,
]


CASES: dict[str, tuple[Callable[[], nn.Module], Table, State]] = {
    "Mask2Former, VITA or GenVIS of detectron2": (
        lambda: build_model(tiny_config("genvis")),
        GENVIS,
        {"genvis_criterion.empty_weight": torch.ones(6)},
    ),
    "ResNet of detectron2": (
        tiny_resnet,
        RESNET_DETECTRON2,
        {"stem.fc.weight": torch.ones(2, 2)},
    ),
    "ResNet of torchvision or timm": (
        tiny_resnet,
        RESNET_TORCHVISION,
        {"fc.bias": torch.ones(2), "bn1.num_batches_tracked": torch.tensor(9)},
    ),
    "Swin of Microsoft or detectron2": (
        tiny_swin,
        SWIN,
        {
            "norm.weight": torch.ones(128),
            "head.bias": torch.ones(9),
            "layers.0.blocks.1.attn_mask": torch.zeros(4, 9, 9),
            "layers.0.blocks.0.attn.relative_position_index": torch.zeros(9, 9, dtype=torch.long),
        },
    ),
    "Swin of timm": (tiny_swin, SWIN_TIMM, {"head.fc.weight": torch.ones(9, 128)}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_tensor_comes_back_to_its_place(name: str, tmp_path: Path) -> None:
    make, table, extra = CASES[name]
    source, model = make(), make()
    randomise(source)
    expected = source.state_dict()
    report = import_checkpoint(model, save({**foreign(expected, table), **extra}, tmp_path / "w.safetensors"))
    assert report.format == name
    assert report.missing == []
    assert report.adapted == []
    assert sorted(report.loaded) == sorted(expected)
    assert {skipped for skipped, _ in report.skipped} == set(extra)
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_mobilenet_v2_is_the_published_network(tmp_path: Path) -> None:
    """Against plain layers under the package's names, whose numbers are those of the published table."""

    def layer(channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> list[nn.Module]:
        conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(out)]

    class Block(nn.Module):
        def __init__(self, channels: int, out: int, stride: int, expansion: int) -> None:
            super().__init__()
            inner = channels * expansion
            expand = [*layer(channels, inner, 1, 1), nn.ReLU6()] if expansion > 1 else []
            depthwise = [*layer(inner, inner, 3, stride, inner), nn.ReLU6()]
            self.conv = nn.Sequential(*expand, *depthwise, *layer(inner, out, 1, 1))
            self.residual = stride == 1 and channels == out

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(x) if self.residual else self.conv(x)

    blocks: list[nn.Module] = [nn.Sequential(*layer(3, 32, 3, 2), nn.ReLU6())]
    channels = 32
    first, last = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2)], [(6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, out, count, stride in [*first, (6, 64, 4, 2), (6, 96, 3, 1), *last]:
        for i in range(count):
            blocks.append(Block(channels, out, stride if i == 0 else 1, expansion))
            channels = out
    blocks.append(nn.Sequential(*layer(320, 1280, 1, 1), nn.ReLU6()))
    reference = nn.ModuleDict({"features": nn.Sequential(*blocks)}).eval()
    randomise_by_fan_in(reference)

    backbone = MobileNetV2().eval()
    report = import_checkpoint(backbone, save(reference.state_dict(), tmp_path / "w.safetensors"))
    assert report.missing == []
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, x = [], images
        for number, block in enumerate(blocks):
            x = block(x)
            if number in (3, 6, 13, 17):
                expected.append(x)
        for got, want in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 * want.abs().max().item())


def test_reads_the_first_release_of_mask2former(tmp_path: Path) -> None:
    source, model = (build_detector(tiny_config()) for _ in range(2))
    randomise(source)
    expected = source.state_dict()
    state = foreign({f"detector.{name}": value for name, value in expected.items()}, GENVIS)
    old = {
        name.replace(".pixel_decoder.", ".").replace("query_feat", "static_query"): value
        for name, value in state.items()
    }
    assert set(old) != set(state)
    report = import_checkpoint(model, save(old, tmp_path / "w.safetensors"))
    assert report.missing == []
    for key, value in model.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_vita_seeds_what_only_a2vis_has(tmp_path: Path) -> None:
    source = build_model(tiny_config("genvis"))
    randomise(source)
    expected = source.state_dict()
    model = build_model(tiny_config())
    report = import_checkpoint(model, save(foreign(expected, GENVIS), tmp_path / "w.safetensors"))
    own = model.state_dict()
    assert torch.equal(own["global_prototypes"], expected["prototypes.query_content"])
    for name in (name for name in own if name.startswith("samh.mask_embed.")):
        assert torch.equal(own[name], expected[name.replace("samh.mask_embed", "visible_head.embed")])
    assert {name.split(".")[0] for name in report.missing} == {"samh", "update", "class_head"}
    assert {reason for _, reason in report.skipped} == {"the model has no such part"}
    assert {name.split(".")[1] for name, _ in report.skipped} == {
        "pre_memory_embed_k",
        "pre_memory_embed_v",
        "pre_query_embed_k",
        "pre_query_embed_v",
    }


def test_one_file_serves_the_network_the_detector_and_the_backbone(tmp_path: Path) -> None:
    source = build_model(tiny_config("genvis"))
    randomise(source)
    expected = source.state_dict()
    path = save(foreign(expected, GENVIS), tmp_path / "w.safetensors")
    targets: list[tuple[nn.Module, str]] = [
        (build_model(tiny_config("genvis")), ""),
        (build_detector(tiny_config()), "detector."),
        (tiny_swin(), "detector.backbone."),
    ]
    for model, prefix in targets:
        assert import_checkpoint(model, path).missing == []
        for key, value in model.state_dict().items():
            assert torch.equal(value, expected[prefix + key])


def test_a_backbone_file_fills_the_backbone_of_a_network(tmp_path: Path) -> None:
    source = tiny_swin()
    randomise(source)
    model = build_model(tiny_config())
    report = import_checkpoint(model, save(foreign(source.state_dict(), SWIN), tmp_path / "w.safetensors"))
    assert sorted(report.loaded) == sorted(f"detector.backbone.{name}" for name in source.state_dict())
    assert not any(name.startswith("detector.backbone.") for name in report.missing)
