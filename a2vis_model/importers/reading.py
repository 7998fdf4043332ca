"""Read foreign weight files without running anything they contain."""

import collections
import io
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from ..errors import CheckpointError
from .pickle_scan import scan_pickle
from .torch_file import load_torch
from .wrapping import unwrap


def read_checkpoint(path: str | Path, notes: list[str] | None = None) -> dict[str, Tensor]:
    """Read the named tensors of a weight file, on the CPU and as stored.

    Args:
        path: `.safetensors`; `.pth`, `.pt` or `.bin` written by `torch.save`; `.pkl` as in detectron2's model
            zoo. Weights may lie under "model" or "state_dict", beside optimiser state and the like, and their names
            may have prefixes; see `wrapping`.
        notes: list to which a text is appended for each wrapper that was removed and each choice that was made.

    Raises:
        CheckpointError: the file is missing, broken, of another kind, asks for code to be run or for far more memory
            than its size, holds anything but named finite tensors, or tensors larger than the file's content.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; check the path")
    readers: dict[str, Callable[[Path], Any]] = {
        ".safetensors": safetensors.torch.load_file,
        ".pth": _read_torch,
        ".pt": _read_torch,
        ".bin": _read_torch,
        ".pkl": _read_pickle,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise CheckpointError(
            f"{path}: {path.suffix or 'no extension'} is not a kind of weight file known here; give one of "
            f"{', '.join(readers)}"
        )
    try:
        content = reader(path)
    except Exception as error:  # A reader of a broken file can fail anywhere, with any error.
        raise CheckpointError(
            f"{path}: not readable as {path.suffix} ({_one_line(error)}); get the file again, or correct its "
            "extension if it is of another kind, or save its weights alone as .safetensors"
        ) from error
    weights, found = unwrap(content)
    if notes is not None:
        notes += found
    return _checked(weights, path)


def _read_torch(path: Path) -> Any:
    with path.open("rb") as file:
        return load_torch(file)


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        scan_pickle(file, path.stat().st_size)
        file.seek(0)
        # Latin-1 keeps the bytes of arrays that Python 2 pickled as text.
        return _ArrayUnpickler(file, encoding="latin1").load()


def _checked(content: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping) or not content:
        found = "nothing" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise CheckpointError(f"{path}: expected tensors under names, found {found}; give a file of weights")
    tensors = {
        name: torch.from_numpy(value.array) if isinstance(value, _Array) else value for name, value in content.items()
    }
    foreign = [str(name) for name, value in tensors.items() if not (isinstance(name, str) and _usable(value))]
    if foreign:
        raise CheckpointError(
            f"{path}: {_some(foreign)} is not a tensor of real numbers under a name; save the weights alone, as "
            ".safetensors"
        )
    swollen = [name for name, value in tensors.items() if _bytes(value) > value.untyped_storage().nbytes()]
    if swollen:
        raise CheckpointError(
            f"{path}: {_some(swollen)} repeats the same few values; save contiguous tensors, which hold all of theirs"
        )
    broken = [name for name, value in tensors.items() if not value.float().isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: NaN or infinite values in {_some(broken)}; get an intact file")
    return tensors


def _usable(value: Any) -> bool:
    """Return whether a value is a plain tensor of real numbers."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return not (value.is_quantized or value.is_complex() or value.is_nested)


def _bytes(value: Tensor) -> int:
    return value.numel() * value.element_size()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _one_line(error: Exception) -> str:
    first_sentence = " ".join(str(error).split()).split(". ")[0]
    return first_sentence.rstrip(".")[:200] or type(error).__name__


class _DType:
    """Stand-in for `numpy.dtype` in pickles: plain numbers only."""

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch("f[248]|i[1248]|u1|b1", code):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not weights")
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """Stand-in for `numpy.ndarray` in pickles, filled from checked bytes."""

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray[Any, np.dtype[Any]] = np.empty(0, np.float32)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self._fill(raw, dtype, shape, "F" if fortran else "C")

    @classmethod
    def from_buffer(cls, raw: bytes, dtype: _DType, shape: tuple[int, ...], order: str) -> "_Array":
        array = cls()
        array._fill(raw, dtype, shape, order)
        return array

    @classmethod
    def from_scalar(cls, dtype: _DType, raw: bytes | str) -> "_Array":
        array = cls()
        array._fill(raw, dtype, (), "C")
        return array

    def _fill(self, raw: bytes | str, dtype: _DType, shape: tuple[int, ...], order: str) -> None:
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        values = np.frombuffer(data, dtype.value).reshape(shape, order="F" if order == "F" else "C")
        # A contiguous copy in this machine's byte order, the only form that torch takes.
        self.array = values.astype(dtype.value.newbyteorder("="), order="C")


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r} are not weights")
    return text.encode("latin1")


def _storage_from_bytes(data: bytes) -> Any:
    return load_torch(io.BytesIO(data))


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    # as_strided refuses what lies outside the storage, where torch's own function would enlarge the storage.
    return torch.empty(0, dtype=storage.dtype).set_(storage).as_strided(size, stride, offset)


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    # Tensors in a plain pickle, as in Mask2Former's converted Swin weights.
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage_from_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _Array.from_scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _Array.from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler of containers, arrays and tensors; any other name in a file is refused, not imported."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return the constructor for a name that is allowed.

        Raises:
            pickle.UnpicklingError: the name is not allowed.
        """
        make = _ALLOWED.get((module, name))
        if make is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not data")
        return make
