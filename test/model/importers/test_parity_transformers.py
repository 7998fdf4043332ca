"""transformers' Mask2Former, Swin and ResNet, random weights imported, give the same numbers as ours."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from a2vis_model.importers import import_checkpoint
from a2vis_model.modeling import Detector, FrameDecoder, PixelDecoder
from a2vis_model.modeling.backbones import ResNet, Swin

transformers = pytest.importorskip("transformers")

STAGES = ["stage1", "stage2", "stage3", "stage4"]
HEIGHT, WIDTH = 64, 96

# Networks this small are fastest on one thread, much so on a busy machine.
torch.set_num_threads(1)


def randomise(module: nn.Module) -> None:
    """Give every tensor, norms and statistics included, a value that shows when it is lost or mixed up."""
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif any(part in name for part in ("level_embed", "queries_", "bias_table")):
            value.normal_()
        elif value.dim() > 1:
            value.normal_(std=value[0].numel() ** -0.5)
        elif value.is_floating_point():
            value.normal_(std=0.2).add_(1.0 if "norm" in name and name.endswith("weight") else 0.0)


def swin_config(window: int = 3) -> Any:
    return transformers.SwinConfig(
        embed_dim=16,
        depths=[2, 2, 2, 2],
        num_heads=[2, 2, 4, 4],
        window_size=window,
        drop_path_rate=0.0,
        out_features=STAGES,
    )


def resnet_config() -> Any:
    return transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[32, 64, 128, 256],
        depths=[1, 2, 1, 1],
        layer_type="bottleneck",
        downsample_in_bottleneck=False,
        out_features=STAGES,
    )


def our_backbone(name: str) -> Any:
    if name == "swin":
        return Swin(embed_dim=16, depths=(2, 2, 2, 2), heads=(2, 2, 4, 4), window=3)
    return ResNet(depths=(1, 2, 1, 1), width=8)


def our_detector(backbone: str) -> Detector:
    module = our_backbone(backbone)
    return Detector(
        backbone=module,
        pixel_decoder=PixelDecoder(
            in_channels=module.channels,
            dim=32,
            mask_dim=32,
            layers=2,
            heads=4,
            points=4,
            ffn_dim=48,
            attended=3,
            groups=32,
            separable=False,
            sampling="grid_sample",
        ),
        frame_decoder=FrameDecoder(classes=5, queries=7, dim=32, mask_dim=32, layers=4, levels=3, heads=4, ffn_dim=64),
    )


def write(model: Any, folder: Path, layout: str) -> Path:
    """Save as transformers names weights in files (4.x and the hub), or as it names modules since 5."""
    if layout == "file":
        model.save_pretrained(folder)
    else:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


def assert_close(got: Tensor, expected: Tensor) -> None:
    scale = expected.abs().max().item()
    assert scale > 1e-2
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("layout", ["file", "module"])
@pytest.mark.parametrize("name", ["swin", "resnet"])
def test_backbone_maps_are_equal(name: str, layout: str, tmp_path: Path) -> None:
    reference = (
        transformers.SwinBackbone(swin_config()) if name == "swin" else transformers.ResNetBackbone(resnet_config())
    ).eval()
    randomise(reference)
    backbone = our_backbone(name).eval()
    report = import_checkpoint(backbone, write(reference, tmp_path, layout))
    assert report.missing == []
    # 24 x 16 cells at stride 4 and 3 x 2 at stride 32: windows of 3 need padding both ways.
    backbone.prepare(HEIGHT, WIDTH)
    images = torch.randn(2, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        for got, expected in zip(backbone(images), reference(images).feature_maps, strict=True):
            assert_close(got, expected)


@pytest.mark.parametrize("layout", ["file", "module"])
@pytest.mark.parametrize("name", ["swin", "resnet"])
def test_detections_are_equal(name: str, layout: str, tmp_path: Path) -> None:
    reference = transformers.Mask2FormerForUniversalSegmentation(
        transformers.Mask2FormerConfig(
            backbone_config=swin_config() if name == "swin" else resnet_config(),
            feature_size=32,
            mask_feature_size=32,
            hidden_dim=32,
            encoder_feedforward_dim=48,
            encoder_layers=2,
            # transformers counts the prediction before the first layer too.
            decoder_layers=5,
            dim_feedforward=64,
            num_attention_heads=4,
            num_queries=7,
            num_labels=5,
        )
    ).eval()
    randomise(reference)
    detector = our_detector(name).eval()
    report = import_checkpoint(detector, write(reference, tmp_path, layout))
    assert report.missing == []
    assert report.adapted == []
    detector.prepare(HEIGHT, WIDTH)
    images = torch.randn(2, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        expected = reference(images)
        detections = detector.detections(detector(images))
    assert_close(detections.classes, expected.class_queries_logits)
    assert_close(detections.masks, expected.masks_queries_logits)


def test_parity_notices_a_lost_weight(tmp_path: Path) -> None:
    """The comparison above is sharp enough to see one bias go."""
    reference = transformers.SwinBackbone(swin_config()).eval()
    randomise(reference)
    backbone = our_backbone("swin").eval()
    import_checkpoint(backbone, write(reference, tmp_path, "module"))
    backbone.prepare(HEIGHT, WIDTH)
    images = torch.randn(1, 3, HEIGHT, WIDTH)
    with torch.no_grad():
        backbone.stages[1].blocks[1].attention.bias_table[0, 0] += 1.0
        with pytest.raises(AssertionError, match="not close"):
            assert_close(backbone(images)[1], reference(images).feature_maps[1])
