"""Import of weights trained with other software: detectors, VITA, GenVIS and backbones."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import CheckpointError
from .formats import FORMATS, detect_format
from .pixels import PIXEL_KEYS, pixels_of, read_our_pixels
from .reading import read_checkpoint
from .report import ImportReport
from .rules import Format, Translation, translate

__all__ = ["FORMATS", "Format", "ImportReport", "detect_format", "import_checkpoint", "read_checkpoint"]

# Rules use the tensor names of a video network. A detector or a backbone alone has the same names without these
# prefixes.
_ROOTS = ("", "detector.", "detector.backbone.")


def import_checkpoint(model: nn.Module, path: str | Path) -> ImportReport:
    """Load the tensors of a foreign weight file that fit a network.

    Args:
        model: a video network, a detector or a backbone, changed in place; untouched if an error is raised.
        path: weight file (see `read_checkpoint`); its format is detected from the tensor names.

    Returns:
        What was loaded, adapted, skipped and left unchanged.

    Raises:
        CheckpointError: the file is unreadable, of an unknown format, or has nothing that fits.
    """
    path = Path(path)
    notes: list[str] = []
    state = read_checkpoint(path, notes)
    try:
        found = detect_format(state.keys())
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    translation = translate({name: state[name] for name in state if name not in PIXEL_KEYS}, found.rules)
    pixels = pixels_of(state) or found.pixels
    if pixels is not None and not pixels.is_ours:
        notes.append(f"trained on {pixels}: the first layer is adapted to our pixels")
        read_our_pixels(translation.tensors, pixels)
    report = ImportReport(path=path, format=found.name, notes=notes, skipped=list(translation.skipped))
    own = model.state_dict()
    values = _fit(own, translation, report)
    if not values:
        reasons = sorted({reason for _, reason in report.skipped})
        raise CheckpointError(
            f"{path}: {found.name}, but nothing in it fits the model ({'; '.join(reasons[:3])}); "
            "give weights of the same architecture"
        )
    with torch.no_grad():
        for name, value in values.items():
            own[name].copy_(value)
    report.missing = [name for name in own if name not in values]
    return report


def _fit(own: Mapping[str, Tensor], translation: Translation, report: ImportReport) -> dict[str, Tensor]:
    """Compute new values of our tensors and note in the report what happened to each."""
    root = max(_ROOTS, key=lambda prefix: sum(prefix + name in translation.tensors for name in own))
    values: dict[str, Tensor] = {}
    rejected: dict[str, str] = {}
    used: set[str] = set()
    for full_name, (foreign, value) in translation.tensors.items():
        name = full_name.removeprefix(root)
        target = own.get(name) if full_name.startswith(root) else None
        if target is None:
            rejected[foreign] = "the model has no such part"
        elif value.shape == target.shape:
            values[name] = value
            report.loaded.append(name)
            used.add(foreign)
        elif name.endswith(".bias_table") and _is_resizable(value, target):
            values[name] = _resized_bias_table(value, target.shape[0])
            report.adapted.append((name, "position biases resized to another window"))
            used.add(foreign)
        elif ".class_head." in name and value.shape[:1] > (0,) and value.shape[1:] == target.shape[1:]:
            # Other classes have no counterpart here, but "no object", the last row, is the same everywhere.
            values[name] = torch.cat([target[:-1], value[-1:].to(target)])
            report.adapted.append((name, f"{len(value) - 1} other classes, not {len(target) - 1}: no-object row alone"))
            used.add(foreign)
        else:
            rejected[foreign] = f"shape {tuple(value.shape)} does not fit {tuple(target.shape)}"
    # A tensor that several of our names take is skipped only where none of them could use it.
    report.skipped += [(name, reason) for name, reason in rejected.items() if name not in used]
    return values


def _is_resizable(table: Tensor, target: Tensor) -> bool:
    square = table.dim() == 2 and round(len(table) ** 0.5) ** 2 == len(table) > 0
    return square and table.shape[1] == target.shape[1]


def _resized_bias_table(table: Tensor, rows: int) -> Tensor:
    """Interpolate a table of relative position biases, [(2w - 1)**2, heads], for another window size."""
    old, new = round(len(table) ** 0.5), round(rows**0.5)
    grid = table.float().t().reshape(1, -1, old, old)
    resized = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return resized.reshape(-1, rows).t()
