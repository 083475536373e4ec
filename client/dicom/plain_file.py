"""Opens files of an archive that may hold anything under any name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MAXIMUM_FILE_BYTES = 1 << 30
_PREAMBLE_BYTES = 128
OPENING_BYTES = _PREAMBLE_BYTES + 4


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading unless it is a link, a pipe or a device.

    Raises:
        OSError: if it is, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    stream = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError("not a plain file")
    return stream


def may_be_dicom(opening: bytes) -> bool:
    """Whether a file that opens so has DICOM's prefix, or starts as a data set without one, as old archives do."""
    return has_prefix(opening) or _begins_as_data_set(opening)


def has_prefix(opening: bytes) -> bool:
    """Whether a file that opens so is DICOM by its prefix (PS3.10)."""
    return opening[_PREAMBLE_BYTES:OPENING_BYTES] == b"DICM"


def _begins_as_data_set(opening: bytes) -> bool:
    """Whether the first element is of group 0002 or 0008, in either byte order."""
    if len(opening) < _PREAMBLE_BYTES:
        return False
    little = opening[:2] in (b"\x02\x00", b"\x08\x00") and opening[3] == 0
    big = opening[:2] in (b"\x00\x02", b"\x00\x08") and opening[2] == 0
    return little or big
