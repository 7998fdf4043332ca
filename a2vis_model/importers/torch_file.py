"""Reading files of `torch.save` without running code and without more memory than the file's size."""

import pickle
import re
import zipfile
from typing import IO, Any

import torch

from .pickle_scan import scan_pickle

_ZIP = b"PK\x03\x04"
_LEGACY_PICKLES = 5
"""Number of pickles in a file of torch before 1.6: magic number, version, system, content and the names of storages."""


def load_torch(file: IO[bytes]) -> Any:
    """Read the content of a file, on the CPU.

    Args:
        file: file at its beginning.

    Raises:
        pickle.UnpicklingError: the file asks for more than data.
        Exception: the file is broken; the error may be of any kind.
    """
    length = file.seek(0, 2)
    file.seek(0)
    if file.read(len(_ZIP)) == _ZIP:  # torch.load distinguishes the formats in the same way.
        _scan_zip(file, length)
    else:
        file.seek(0)
        try:
            for _ in range(_LEGACY_PICKLES):
                scan_pickle(file, length)
        except pickle.UnpicklingError as error:
            raise error if "broken" not in str(error) else _broken() from error
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # The text of torch's own error proposes to load such a file unsafely.
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked is None:
            raise _broken() from error
        raise pickle.UnpicklingError(f"it asks for {asked[1]}, which is not data") from error


def _scan_zip(file: IO[bytes], length: int) -> None:
    """Refuse members that are larger than what is stored of them, and scan the pickles."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
        # The last two conditions leave one possible place for the list of members: torch must not find another list
        # than this.
        if packed:
            what = f"{packed[0]!r} is compressed in it"
        elif sum(member.file_size for member in members) > length:
            what = "parts of it overlap"
        elif archive.comment or min((member.header_offset for member in members), default=1):
            what = "something is before or behind its parts"
        else:
            what = ""
        if what:
            raise pickle.UnpicklingError(f"{what}, which torch.save does not do")
        for member in members:
            if member.filename.endswith(".pkl"):
                with archive.open(member) as stream:
                    scan_pickle(stream, member.file_size)


def _broken() -> pickle.UnpicklingError:
    return pickle.UnpicklingError("not written by torch.save, or broken")
