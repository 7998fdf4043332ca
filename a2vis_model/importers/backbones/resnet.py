"""Tensor names of ResNet-50 in other software, mapped to ours (relative to the backbone)."""

from ..rules import COUNTER, HEAD, Format, Rule, conv_norm, dropped, under


def _torchvision_resnet() -> tuple[Rule, ...]:
    rules = [*conv_norm("conv1", "bn1", "stem"), COUNTER, dropped(r"fc\..*", HEAD)]
    for stage in range(4):
        block, ours = rf"layer{stage + 1}\.(\d+)", rf"stages.{stage}.\1"
        for number, part in enumerate(("reduce", "spatial", "expand"), start=1):
            rules += conv_norm(rf"{block}\.conv{number}", rf"{block}\.bn{number}", f"{ours}.{part}")
        rules += conv_norm(rf"{block}\.downsample\.0", rf"{block}\.downsample\.1", f"{ours}.shortcut")
    return tuple(rules)


def _detectron2_resnet() -> tuple[Rule, ...]:
    rules = [
        *conv_norm(r"stem\.conv1", r"stem\.conv1\.norm", "stem"),
        COUNTER,
        dropped(r"(?:stem\.)?(?:fc|linear)\..*", HEAD),
    ]
    parts = {"conv1": "reduce", "conv2": "spatial", "conv3": "expand", "shortcut": "shortcut"}
    for stage in range(4):
        for theirs, part in parts.items():
            conv = rf"res{stage + 2}\.(\d+)\.{theirs}"
            rules += conv_norm(conv, rf"{conv}\.norm", rf"stages.{stage}.\1.{part}")
    return tuple(rules)


def _transformers_resnet() -> tuple[Rule, ...]:
    parts = {r"layer\.0": "reduce", r"layer\.1": "spatial", r"layer\.2": "expand", "shortcut": "shortcut"}
    layers = {r"embedder\.embedder": "stem"} | {
        rf"encoder\.stages\.(\d+)\.layers\.(\d+)\.{theirs}": rf"stages.\1.\2.{part}" for theirs, part in parts.items()
    }
    rules = [COUNTER, dropped(r"classifier\..*", HEAD)]
    for theirs, ours in layers.items():
        rules += conv_norm(rf"{theirs}\.convolution", rf"{theirs}\.normalization", ours)
    return tuple(rules)


DETECTRON2 = _detectron2_resnet()
"""Rules for its names inside Mask2Former, VITA and GenVIS of detectron2."""
TRANSFORMERS = _transformers_resnet()
"""Rules for its names inside Mask2Former of transformers."""

FORMATS = (
    Format(
        name="ResNet of detectron2",
        marks=(r"(?:backbone\.)?stem\.conv1\.weight", r"(?:backbone\.)?res2\.0\.conv3\.weight"),
        rules=under(DETECTRON2, r"(?:backbone\.)?", "detector.backbone."),
    ),
    Format(
        name="ResNet of torchvision or timm",
        marks=(r"conv1\.weight", r"layer1\.0\.conv3\.weight"),
        rules=under(_torchvision_resnet(), "", "detector.backbone."),
    ),
    Format(
        name="ResNet of transformers",
        marks=(r"(?:resnet\.)?embedder\.embedder\.convolution\.weight",),
        rules=under(TRANSFORMERS, r"(?:resnet\.)?", "detector.backbone."),
    ),
)
