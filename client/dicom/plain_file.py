"""Opens files of an archive that may hold anything under any name."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MAXIMUM_FILE_BYTES = 1 << 30


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
