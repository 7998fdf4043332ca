"""Foreign weight files: what is read and what is refused."""

import collections
import os
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published_names import State, save

from a2vis_model.errors import CheckpointError
from a2vis_model.importers import read_checkpoint
from a2vis_model.machine import file_hash
from a2vis_model.weights import is_weight_file

# Networks this small are fastest on one thread, much so on a busy machine.
torch.set_num_threads(1)


# What torch says of a foreign pickle before it refuses it.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


def tensors() -> State:
    return {"layer.weight": torch.randn(2, 3), "layer.bias": torch.arange(3), "scalar": torch.tensor(2.0)}


def write_safetensors(path: Path) -> State:
    save(tensors_ := tensors(), path)
    return tensors_


def write_torch(path: Path, wrapper: str | None = None) -> State:
    state = tensors()
    torch.save({wrapper: state, "iteration": 7, "optimizer": {"lr": 1.0}} if wrapper else state, path)
    return state


def write_zoo(path: Path, protocol: int = 4, *, as_tensors: bool = False) -> State:
    state = tensors()
    stored: Any = state if as_tensors else {name: value.numpy() for name, value in state.items()}
    with path.open("wb") as file:
        content = {"model": collections.OrderedDict(stored), "__author__": "me", "matching_heuristics": True}
        pickle.dump(content, file, protocol=protocol)
    return state


WRITERS: dict[str, Callable[[Path], State]] = {
    "weights.safetensors": write_safetensors,
    "weights.pth": write_torch,
    "model.pt": lambda path: write_torch(path, "model"),
    "state_dict.bin": lambda path: write_torch(path, "state_dict"),
    "protocol2.pkl": lambda path: write_zoo(path, 2),
    "protocol3.pkl": lambda path: write_zoo(path, 3),
    "protocol4.pkl": lambda path: write_zoo(path, 4),
    "protocol5.pkl": lambda path: write_zoo(path, 5),
    "tensors.pkl": lambda path: write_zoo(path, as_tensors=True),
}


@pytest.mark.parametrize("name", WRITERS)
def test_reads_every_container(name: str, tmp_path: Path) -> None:
    expected = WRITERS[name](tmp_path / name)
    found = read_checkpoint(tmp_path / name)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)


def test_reads_arrays_of_other_layouts(tmp_path: Path) -> None:
    arrays = {
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "big endian": np.arange(4, dtype=">f4"),
        "half": np.ones((2, 2), np.float16),
        "number": np.float64(3.0),
    }
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(arrays))
    found = read_checkpoint(path)
    for name, array in arrays.items():
        assert found[name].tolist() == array.tolist()


def test_reads_arrays_that_python_2_pickled(tmp_path: Path) -> None:
    values = np.array([-2.5, 1e30], "<f4")
    path = tmp_path / "weights.pkl"
    path.write_bytes(
        b"\x80\x02}U\x06weightcnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02\x85cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x08" + values.tobytes() + b"tbs."
    )
    assert read_checkpoint(path)["weight"].tolist() == values.tolist()


class Malicious:
    """Runs a command where it is unpickled carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.marker}'",)


class MaliciousEval(Malicious):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.marker)!r}, 'w')",)


class MaliciousObject(Malicious):
    """Hides in an array of objects."""

    def __reduce__(self) -> tuple[Any, ...]:
        array = np.empty(1, object)
        array[0] = Malicious(self.marker)
        return np.array, (array,)


@pytest.mark.parametrize("kind", [Malicious, MaliciousEval, MaliciousObject])
@pytest.mark.parametrize("extension", ["pkl", "pth"])
def test_never_runs_what_a_file_contains(kind: type[Malicious], extension: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / f"weights.{extension}"
    content = {"model": {"layer.weight": kind(marker)}}
    if extension == "pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"weights\.(pkl|pth): .*(asks for|not weights)"):
        read_checkpoint(path)
    assert not marker.exists()
    if extension == "pkl":
        pickle.loads(path.read_bytes())
        assert marker.exists(), "the file of this test is harmless, so the test shows nothing"


def test_refuses_a_tensor_larger_than_its_storage(tmp_path: Path) -> None:
    class Lie:
        def __reduce__(self) -> tuple[Any, ...]:
            storage = torch.ones(3).untyped_storage()
            typed = torch.storage.TypedStorage(wrap_storage=storage, dtype=torch.float32, _internal=True)
            return torch._utils._rebuild_tensor_v2, (typed, 0, (100,), (1,), False, {})

    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"a": Lie()}))
    with pytest.raises(CheckpointError, match="out of bounds"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "protocol4.pkl", "tensors.pkl"])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.99])
def test_a_truncated_file_is_one_clear_error(name: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(CheckpointError, match=rf"{name}: not readable as .*; get the file again"):
        read_checkpoint(path)


@pytest.mark.parametrize("extension", ["safetensors", "pth", "pt", "bin", "pkl"])
@pytest.mark.parametrize(
    "data",
    [
        b"# Model zoo\n\nDownload the weights here.\n",
        b"<!DOCTYPE html><html><body>404</body></html>",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
        struct.pack("<Q", 2**62) + b"{}",  # A safetensors header longer than any file.
        b"\x80\x04\x8e" + struct.pack("<Q", 2**61) + b"abc",  # Pickled bytes longer than any file.
    ],
    ids=["text", "html", "png", "huge header", "huge bytes"],
)
def test_a_foreign_file_is_one_clear_error(data: bytes, extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{extension}"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"not readable as .*; get the file again"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        ("weights.safetensors", "pth"),
        ("weights.safetensors", "pkl"),
        ("weights.pth", "safetensors"),
        ("weights.pth", "pkl"),
        ("protocol4.pkl", "safetensors"),
        ("protocol4.pkl", "pth"),
    ],
)
def test_a_wrong_extension_is_one_clear_error(content: str, extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"renamed.{extension}"
    WRITERS[content](path)
    with pytest.raises(CheckpointError, match="correct its extension"):
        read_checkpoint(path)


def test_names_a_missing_file_a_folder_and_an_unknown_extension(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"weights\.pth: there is no such file"):
        read_checkpoint(tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_checkpoint(tmp_path)
    (tmp_path / "weights.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"\.onnx is not a kind .* one of \.safetensors, \.pth"):
        read_checkpoint(tmp_path / "weights.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.ones(1), "notes": "hello", "b": 3}, "notes, b is not a tensor"),
        ({"a": torch.ones(1), 4: torch.ones(1)}, "4 is not a tensor of real numbers under a name"),
        ({"a": torch.ones(1), "sparse": torch.eye(2).to_sparse()}, "sparse is not a tensor"),
        ({"waves": torch.ones(1, dtype=torch.complex64)}, "waves is not a tensor of real numbers"),
        ({"meta": torch.ones(1, device="meta")}, "meta is not a tensor"),
        ({"model": {"w": torch.zeros(1).expand(2**42)}}, "w repeats the same few values; save contiguous"),
        ({"model": {}}, "found nothing"),
        ([torch.ones(1)], "found a list"),
        (torch.ones(1), "found a Tensor"),
        (
            {"fine": torch.ones(2), "bad": torch.tensor([1.0, torch.nan]), "worse": torch.tensor(-torch.inf)},
            "NaN or infinite values in bad, worse;",
        ),
    ],
)
def test_names_what_is_no_usable_tensor(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=re.escape(str(path)) + f": .*{message}"):
        read_checkpoint(path)


@pytest.mark.parametrize("extension", ["pth", "pkl"])
def test_a_file_that_contains_itself_is_refused(extension: str, tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    path = tmp_path / f"weights.{extension}"
    if extension == "pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match="model is not a tensor"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pkl"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    os.mkfifo(path)
    assert is_weight_file(path) == (suffix == ".safetensors")
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_checkpoint(path)
    with pytest.raises(OSError, match="is not a regular file"):
        file_hash(path)
