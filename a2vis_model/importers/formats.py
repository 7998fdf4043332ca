"""Which foreign formats are known: whole detectors, and the backbones by themselves."""

from collections.abc import Collection

from ..errors import CheckpointError
from . import head_keymaps as heads
from .backbones import key_maps
from .rules import Format, Rule, under

_BACKBONE = "detector.backbone."


def _of_backbones(name: str) -> tuple[Rule, ...]:
    """The rules of that name of all backbones that have any."""
    return tuple(rule for key_map in key_maps() for rule in getattr(key_map, name, ()))


FORMATS = (
    Format(
        name="Mask2Former, VITA or GenVIS of detectron2",
        marks=(r"(?:sem_seg_head|vita_module)\..*",),
        rules=(*under(_of_backbones("DETECTRON2"), r"backbone\.", _BACKBONE), *heads.MASK2FORMER_DETECTRON2),
    ),
    Format(
        name="Mask2Former of transformers",
        marks=(r"(?:model\.)?pixel_level_module\..*",),
        rules=(
            *under(_of_backbones("TRANSFORMERS"), r"(?:model\.)?pixel_level_module\.encoder\.", _BACKBONE),
            *heads.MASK2FORMER_TRANSFORMERS,
        ),
    ),
    *(found for key_map in key_maps() for found in key_map.FORMATS),
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
