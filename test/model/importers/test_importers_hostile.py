"""Weight files made to do harm cost no more than their size, and are refused in one line."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from a2vis_model.errors import CheckpointError
from a2vis_model.importers import read_checkpoint, reading
from a2vis_model.training.checkpoint import Checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")


def nested_tuple() -> bytes:
    """Opcodes of a tuple of two equal tuples of two equal tuples, 60 deep: 2^60 values to whoever hashes it."""
    return b"K\x00" + b"2\x86" * 60


def legacy(content: bytes) -> bytes:
    """A pickle as in the files of torch.save before 1.6."""
    head = (pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    return b"".join(head) + content + pickle.dumps([], 2)


def zipped(content: bytes) -> bytes:
    """A pickle as in the files of torch.save."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


PICKLES = {
    # Where C's unpickler makes a table of 2^31 places.
    "memo": (b"\x80\x02Nr\xff\xff\xff\x7f.", "numbers a value 2147483647"),
    "tuple key": (b"\x80\x02}" + nested_tuple() + b"K\x01s.", "far more of its values than it holds"),
    "tuple in many keys": (b"\x80\x02}(" + nested_tuple() + b"K\x01u.", "far more of its values than it holds"),
    "tuple as argument": (
        b"\x80\x02ccollections\nOrderedDict\n" + nested_tuple() + b"\x85R.",
        "far more of its values than it holds",
    ),
    "set": (b"\x80\x04\x8f(" + nested_tuple() + b"\x90.", "opcode EMPTY_SET"),
    "state of a function": (
        b"\x80\x02c_codecs\nencode\nN}X\x0c\x00\x00\x00__defaults__Ns\x86b.",
        "asks for _codecs.encode, which is not data",
    ),
    "state of a tensor": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01tR(K\x01tb.",
        "asks for torch._utils._rebuild_tensor_v2, which is not data",
    ),
    # A megabyte of text, encoded again and again.
    "copies": (
        b"\x80\x02c_codecs\nencode\nq\x00X\x00\x00\x10\x00"
        + b"x" * (1 << 20)
        + b"X\x06\x00\x00\x00latin1\x86q\x010]"
        + b"(h\x00h\x01Re" * 1000
        + b".",
        "far more of its values than it holds",
    ),
}


@pytest.mark.parametrize("name", PICKLES)
@pytest.mark.parametrize(("extension", "pack"), [("pkl", bytes), ("pth", zipped), ("pt", legacy)])
def test_pickles_that_do_harm_without_running_anything_are_refused(
    name: str, extension: str, pack: Any, tmp_path: Path
) -> None:
    content, said = PICKLES[name]
    path = tmp_path / f"weights.{extension}"
    path.write_bytes(pack(content))
    before = psutil.Process().memory_info().vms
    with pytest.raises(CheckpointError, match=rf"not readable as \.{extension} \(.*{said}.*get the file again"):
        read_checkpoint(path)
    assert psutil.Process().memory_info().vms < before + (1 << 30)
    assert reading._encode.__defaults__ is None


def test_what_the_scan_takes_for_allowed_is_what_weight_files_have(tmp_path: Path) -> None:
    """Shared values, optimiser state, Python 2's dictionaries: all that a real file holds beside its weights."""
    weights = {f"layer{i}.weight": torch.randn(3, 3) for i in range(50)}
    moments = {i: {"exp_avg": torch.zeros(3, 3), "step": torch.tensor(7.0)} for i in range(50)}
    content = {"model": weights, "optimizer": {"state": moments, "param_groups": [{"params": list(range(50))}]}}
    for legacy_format in (False, True):
        torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=not legacy_format)
        assert read_checkpoint(tmp_path / "weights.pth").keys() == weights.keys()
    shared = np.ones((100, 100), np.float32)
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps({"model": {"a": shared, "b": shared, "c": shared[:1]}}))
    assert len(read_checkpoint(tmp_path / "weights.pkl")) == 3


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pth"
    torch.save({"model": {"a": torch.zeros(1000)}}, path)
    return path


def repacked(path: Path, compression: int, comment: bytes = b"", before: bytes = b"") -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(file, "w", compression) as new:
        new.comment = comment
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    path.write_bytes(before + file.getvalue())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compression": zipfile.ZIP_DEFLATED}, "is compressed in it, which torch.save does not do"),
        ({"compression": zipfile.ZIP_STORED, "comment": b"x" * 100}, "something is before or behind its parts"),
        ({"compression": zipfile.ZIP_STORED, "before": b"PK\x03\x04"}, "something is before or behind its parts"),
    ],
)
def test_archives_that_grow_when_they_are_read_are_refused(saved: Path, changes: dict[str, Any], said: str) -> None:
    repacked(saved, zipfile.ZIP_STORED)
    assert read_checkpoint(saved)["a"].shape == (1000,)
    repacked(saved, **changes)
    with pytest.raises(CheckpointError, match=said):
        read_checkpoint(saved)


def test_archives_whose_parts_overlap_are_refused(saved: Path) -> None:
    """One part that is listed many times is as large as many."""
    with zipfile.ZipFile(saved) as archive:
        size = max(member.file_size for member in archive.infolist())
    with zipfile.ZipFile(saved, "a") as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        for _ in range(saved.stat().st_size // size + 1):
            archive.filelist.append(largest)
            archive._didModify = True
    with pytest.raises(CheckpointError, match="parts of it overlap"):
        read_checkpoint(saved)


@pytest.mark.parametrize("pack", [zipped, legacy])
def test_training_checkpoints_are_read_with_the_same_care(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(pack(PICKLES["tuple key"][0]))
    with pytest.raises(CheckpointError, match="far more of its values than it holds"):
        Checkpoint.load(path)
