"""Weight files: safetensors with the network's configuration inside."""

import json
import os
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .config import ModelConfig, config_from_dict, config_to_dict
from .errors import CheckpointError
from .modeling import VideoNetwork, build_model
from .shipped import check_intact, find_weights

_FORMAT = "a2vis/1"


def save_weights(
    path: str | Path, model: VideoNetwork, config: ModelConfig, *, half: bool = False, notes: str = ""
) -> None:
    """Write a network to a file; the file appears whole or not at all.

    Args:
        path: where to, ending in .safetensors.
        model: the network.
        config: its configuration, stored in the file.
        half: store fp16, half the size.
        notes: free text for whoever finds the file.
    """
    path = Path(path)
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous().clone()
        for name, tensor in model.state_dict().items()
    }
    metadata = {"format": _FORMAT, "config": json.dumps(config_to_dict(config)), "notes": notes}
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    os.close(descriptor)
    try:
        save_file(tensors, temporary, metadata=metadata)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def is_weight_file(path: str | Path) -> bool:
    """Whether a file is one of ours, or may be but is broken, which `load_weights` then says."""
    if Path(path).suffix != ".safetensors":
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("format", "")).startswith("a2vis/")
    except (SafetensorError, OSError):
        return True


def read_config(weights: str | Path) -> ModelConfig:
    """The configuration inside a weight file; see `load_weights`."""
    return _read(find_weights(weights), tensors=False)[0]


def load_weights(weights: str | Path) -> tuple[VideoNetwork, ModelConfig]:
    """Build the network that weights hold, in fp32, prepared for its input size.

    Args:
        weights: the name of a set that comes with the package, such as "onboard", or the path of a file.

    Raises:
        CheckpointError: if the file is missing, truncated, not ours or does not fit its own configuration, or comes
            with the package and is not as it was.
    """
    path = find_weights(weights)
    check_intact(path)
    config, tensors = _read(path, tensors=True)
    try:
        model = build_model(config)
    except RuntimeError as error:  # out of memory, too
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path}: its network cannot be built here ({reason}); is there memory for it?"
        ) from error
    expected = model.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        what = f"lacks {missing[0]!r}" if missing else f"holds the unknown {unknown[0]!r}"
        raise CheckpointError(
            f"{path}: {what} ({len(missing)} missing, {len(unknown)} unknown); written by another version? "
            "Export it again"
        )
    values = {}
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: {name} is {list(tensor.shape)}, its configuration says {list(expected[name].shape)}"
            )
        values[name] = tensor.to(expected[name].dtype)
        if not torch.isfinite(values[name]).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity; use an earlier checkpoint")
    model.load_state_dict(values)
    return model, config


def _read(path: Path, *, tensors: bool) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            config = _config(path, file.metadata() or {})
            content = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(f"{path}: truncated or not a safetensors file ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    return config, content


def _config(path: Path, metadata: dict[str, str]) -> ModelConfig:
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: not an A2VIS weight file; convert it with 'a2vis import-weights' first")
    try:
        return config_from_dict(json.loads(metadata["config"]))
    except (KeyError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its configuration is unusable ({error}); export it again") from error
