"""torchvision's MobileNetV2 and ResNet: its names and shapes, written down here, and outputs equal to its forward."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from a2vis_model.importers import import_checkpoint
from a2vis_model.modeling.backbones import MobileNetV2, ResNet

State = dict[str, Tensor]

# Expansion, channels, blocks and stride of each run: torchvision's `inverted_residual_setting`.
MOBILENET_RUNS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv(state: State, name: str, out: int, channels: int, kernel: int) -> None:
    state[f"{name}.weight"] = torch.randn(out, channels, kernel, kernel) * (channels * kernel**2) ** -0.5


def norm(state: State, name: str, channels: int) -> None:
    """All that `nn.BatchNorm2d` has."""
    state[f"{name}.weight"] = 1 + 0.2 * torch.randn(channels)
    state[f"{name}.bias"] = 0.2 * torch.randn(channels)
    state[f"{name}.running_mean"] = 0.2 * torch.randn(channels)
    state[f"{name}.running_var"] = 0.5 + torch.rand(channels)
    state[f"{name}.num_batches_tracked"] = torch.tensor(1000)


def convolve(state: State, x: Tensor, layer: str, normal: str, stride: int = 1, groups: int = 1) -> Tensor:
    """Convolution and batch normalisation in inference, epsilon 1e-5."""
    weight = state[f"{layer}.weight"]
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
    statistics = (state[f"{normal}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *statistics)


def mobilenet_v2() -> State:
    """`torchvision.models.mobilenet_v2().state_dict()`."""
    state: State = {}
    conv(state, "features.0.0", 32, 3, 3)
    norm(state, "features.0.1", 32)
    number, channels = 1, 32
    for expansion, out, count, _ in MOBILENET_RUNS:
        for _ in range(count):
            block, inner, position = f"features.{number}.conv", channels * expansion, 0
            if expansion > 1:
                conv(state, f"{block}.0.0", inner, channels, 1)
                norm(state, f"{block}.0.1", inner)
                position = 1
            conv(state, f"{block}.{position}.0", inner, 1, 3)
            norm(state, f"{block}.{position}.1", inner)
            conv(state, f"{block}.{position + 1}", out, inner, 1)
            norm(state, f"{block}.{position + 2}", out)
            number, channels = number + 1, out
    conv(state, "features.18.0", 1280, 320, 1)
    norm(state, "features.18.1", 1280)
    state |= {"classifier.1.weight": torch.zeros(1000, 1280), "classifier.1.bias": torch.zeros(1000)}
    return state


def mobilenet_v2_maps(state: State, x: Tensor) -> list[Tensor]:
    """The last maps at strides 4, 8, 16 and 32 before the classifier's convolution."""
    x = F.relu6(convolve(state, x, "features.0.0", "features.0.1", stride=2))
    number, maps = 1, []
    for expansion, out, count, first_stride in MOBILENET_RUNS:
        for index in range(count):
            block, stride, start, position = f"features.{number}.conv", first_stride if index == 0 else 1, x, 0
            if expansion > 1:
                x = F.relu6(convolve(state, x, f"{block}.0.0", f"{block}.0.1"))
                position = 1
            depthwise = f"{block}.{position}"
            x = F.relu6(convolve(state, x, f"{depthwise}.0", f"{depthwise}.1", stride, groups=x.shape[1]))
            x = convolve(state, x, f"{block}.{position + 1}", f"{block}.{position + 2}")
            if stride == 1 and start.shape[1] == out:
                x = start + x
            number += 1
            if number - 1 in (3, 6, 13, 17):
                maps.append(x)
    return maps


def resnet(depths: Sequence[int], width: int) -> State:
    """`torchvision.models.resnet50().state_dict()`, which has depths (3, 4, 6, 3) and width 64."""
    state: State = {}
    conv(state, "conv1", width, 3, 7)
    norm(state, "bn1", width)
    channels = width
    for stage, depth in enumerate(depths):
        inner = width << stage
        for index in range(depth):
            block = f"layer{stage + 1}.{index}"
            for part, (out, fan, kernel) in enumerate(
                ((inner, channels, 1), (inner, inner, 3), (4 * inner, inner, 1)), start=1
            ):
                conv(state, f"{block}.conv{part}", out, fan, kernel)
                norm(state, f"{block}.bn{part}", out)
            if index == 0:
                conv(state, f"{block}.downsample.0", 4 * inner, channels, 1)
                norm(state, f"{block}.downsample.1", 4 * inner)
            channels = 4 * inner
    state |= {"fc.weight": torch.zeros(1000, channels), "fc.bias": torch.zeros(1000)}
    return state


def resnet_maps(state: State, depths: Sequence[int], x: Tensor) -> list[Tensor]:
    """The stages' maps at strides 4, 8, 16 and 32; strides are taken by the 3x3 convolutions."""
    x = F.max_pool2d(F.relu(convolve(state, x, "conv1", "bn1", stride=2)), 3, 2, 1)
    maps = []
    for stage, depth in enumerate(depths):
        for index in range(depth):
            block, stride = f"layer{stage + 1}.{index}", 2 if stage and index == 0 else 1
            y = F.relu(convolve(state, x, f"{block}.conv1", f"{block}.bn1"))
            y = F.relu(convolve(state, y, f"{block}.conv2", f"{block}.bn2", stride))
            y = convolve(state, y, f"{block}.conv3", f"{block}.bn3")
            if index == 0:
                x = convolve(state, x, f"{block}.downsample.0", f"{block}.downsample.1", stride)
            x = F.relu(x + y)
        maps.append(x)
    return maps


def assert_maps_equal(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    assert len(found) == len(expected) == 4
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 * want.abs().max().item())


@torch.no_grad()
def test_mobilenet_v2(tmp_path: Path) -> None:
    state, backbone = mobilenet_v2(), MobileNetV2().eval()
    assert len(state) == 314  # 52 convolutions, 52 norms of 5 tensors, the classifier's 2
    torch.save(state, tmp_path / "mobilenet_v2.pth")
    report = import_checkpoint(backbone, tmp_path / "mobilenet_v2.pth")
    assert report.format == "MobileNetV2 of torchvision"
    assert report.missing == report.adapted == []
    skipped = {name for name, _ in report.skipped if not name.endswith("num_batches_tracked")}
    head = {name for name in state if name.startswith(("features.18.", "classifier."))}
    assert skipped == head - {"features.18.1.num_batches_tracked"}
    images = torch.randn(1, 3, 64, 96)
    assert_maps_equal(backbone(images), mobilenet_v2_maps(state, images))


@torch.no_grad()
def test_resnet(tmp_path: Path) -> None:
    depths = (3, 4, 6, 3)
    state, backbone = resnet(depths, 8), ResNet(depths=depths, width=8).eval()
    assert len(state) == 320  # as many as ResNet-50's: 53 convolutions, 53 norms of 5 tensors, the classifier's 2
    torch.save(state, tmp_path / "resnet50.pth")
    report = import_checkpoint(backbone, tmp_path / "resnet50.pth")
    assert report.format == "ResNet of torchvision or timm"
    assert report.missing == report.adapted == []
    assert {name for name, _ in report.skipped if not name.endswith("num_batches_tracked")} == {"fc.weight", "fc.bias"}
    images = torch.randn(1, 3, 64, 96)
    assert_maps_equal(backbone(images), resnet_maps(state, depths, images))
