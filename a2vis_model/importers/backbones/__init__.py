"""Foreign names of each backbone's weights: one module each, with the same name as its own in `modeling.backbones`."""

from importlib import import_module, util
from types import ModuleType

from ...backbone_config import BACKBONES


def key_maps() -> list[ModuleType]:
    """Return the key maps of all backbones that have one, in the table's order.

    Each has FORMATS, and where the backbone is part of foreign detectors, DETECTRON2 or TRANSFORMERS.
    """
    names = [f"{__name__}.{entry.module.partition(':')[0]}" for entry in BACKBONES.values()]
    return [import_module(name) for name in dict.fromkeys(names) if util.find_spec(name) is not None]
