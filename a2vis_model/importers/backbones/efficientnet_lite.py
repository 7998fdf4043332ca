"""Tensor names of EfficientNet-Lite0 in other software, mapped to ours (relative to the backbone)."""

from ..pixels import Pixels
from ..rules import COUNTER, HEAD, Format, Rule, block_names, conv_norm, dropped, under


def _efficientnet_lite() -> tuple[Rule, ...]:
    parts = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    rules = [
        *conv_norm("_conv_stem", "_bn0", "stem"),
        COUNTER,
        dropped(r"(?:_conv_head|_bn1|_fc)\..*", HEAD),
    ]
    for number, ours in enumerate(block_names((3, 2, 6, 5))):
        for part, (conv, norm) in parts.items():
            rules += conv_norm(rf"_blocks\.{number}\.{conv}", rf"_blocks\.{number}\.{norm}", f"{ours}.{part}")
    return tuple(rules)


FORMATS = (
    Format(
        name="EfficientNet-Lite0 of efficientnet-lite-pytorch",
        marks=(r"_conv_stem\.weight", r"_blocks\.15\._project_conv\.weight"),
        # With squeeze-and-excitation it is a full EfficientNet; with more blocks, a larger Lite model.
        absent=r".*\._se_reduce\..*|_blocks\.16\..*",
        rules=under(_efficientnet_lite(), "", "detector.backbone."),
        pixels=Pixels((127.0,) * 3, (128.0,) * 3),
    ),
)
