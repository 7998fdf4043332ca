"""Import weights that others trained: detectors, VITA, GenVIS and backbones."""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import CheckpointError
from ..preprocessing import PIXEL_MEAN, PIXEL_STD
from .formats import FORMATS, Format, detect_format
from .reading import read_checkpoint
from .report import ImportReport
from .rules import Translation, translate

__all__ = ["FORMATS", "Format", "ImportReport", "detect_format", "import_checkpoint", "read_checkpoint"]

# Rules name tensors as a video network does. A detector or a backbone by itself has the same without these.
_ROOTS = ("", "detector.", "detector.backbone.")


def import_checkpoint(model: nn.Module, path: str | Path) -> ImportReport:
    """Load into a network whatever a foreign weight file has of it.

    Args:
        model: a video network, a detector or a backbone, changed in place; untouched if an error is raised.
        path: see `read_checkpoint`; its format is found out from its names.

    Returns:
        what was loaded, adapted, skipped and left as it was.

    Raises:
        CheckpointError: the file is unreadable, of an unknown format, or has nothing that fits.
    """
    path = Path(path)
    state = read_checkpoint(path)
    try:
        found = detect_format(state.keys())
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    translation = translate(state, found.rules)
    if found.pixels is not None:
        _renormalise(translation.tensors, *found.pixels)
    report = ImportReport(path=path, format=found.name, skipped=list(translation.skipped))
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


def _renormalise(tensors: dict[str, tuple[str, Tensor]], mean: float, std: float) -> None:
    """Fold another normalisation of pixels into the first convolution, so that it reads ours.

    Exact but for the image's border: padding with zeros means another grey there.
    """
    names = [f"{_ROOTS[-1]}stem.{leaf}" for leaf in ("conv.weight", "norm.running_mean")]
    if not all(name in tensors for name in names):
        return
    (weight_name, weight), (mean_name, running_mean) = (tensors[name] for name in names)
    if weight.dim() != 4 or weight.shape[1] != len(PIXEL_STD) or running_mean.shape != weight.shape[:1]:
        return  # of another architecture; what does not fit the model will be skipped
    weight = weight.float()
    scale = torch.tensor(PIXEL_STD) / std
    shift = (torch.tensor(PIXEL_MEAN) - mean) / std
    tensors[names[0]] = weight_name, weight * scale[:, None, None]
    tensors[names[1]] = mean_name, running_mean - weight.sum(dim=(2, 3)) @ shift


def _fit(own: Mapping[str, Tensor], translation: Translation, report: ImportReport) -> dict[str, Tensor]:
    """New values of our tensors, noting in the report what each one is."""
    root = max(_ROOTS, key=lambda prefix: sum(prefix + name in translation.tensors for name in own))
    values: dict[str, Tensor] = {}
    homeless: dict[str, str] = {}
    housed: set[str] = set()
    for full_name, (foreign, value) in translation.tensors.items():
        name = full_name.removeprefix(root)
        target = own.get(name) if full_name.startswith(root) else None
        if target is None:
            homeless[foreign] = "the model has no such part"
        elif value.shape == target.shape:
            values[name] = value
            report.loaded.append(name)
            housed.add(foreign)
        elif name.endswith(".bias_table") and _is_resizable(value, target):
            values[name] = _resized_bias_table(value, target.shape[0])
            report.adapted.append((name, "position biases resized to another window"))
            housed.add(foreign)
        elif ".class_head." in name and value.shape[:1] > (0,) and value.shape[1:] == target.shape[1:]:
            # Other classes mean nothing here, but "no object", the last row, is the same everywhere.
            values[name] = torch.cat([target[:-1], value[-1:].to(target)])
            report.adapted.append((name, f"{len(value) - 1} other classes, not {len(target) - 1}: no-object row alone"))
            housed.add(foreign)
        else:
            homeless[foreign] = f"shape {tuple(value.shape)} does not fit {tuple(target.shape)}"
    # A tensor that several of our names take is skipped only where none of them could.
    report.skipped += [(name, reason) for name, reason in homeless.items() if name not in housed]
    return values


def _is_resizable(table: Tensor, target: Tensor) -> bool:
    square = table.dim() == 2 and round(len(table) ** 0.5) ** 2 == len(table) > 0
    return square and table.shape[1] == target.shape[1]


def _resized_bias_table(table: Tensor, rows: int) -> Tensor:
    """Interpolate a table of relative position biases, [(2w - 1)**2, heads], for another window."""
    old, new = round(len(table) ** 0.5), round(rows**0.5)
    grid = table.float().t().reshape(1, -1, old, old)
    resized = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return resized.reshape(-1, rows).t()
