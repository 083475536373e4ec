"""Files that survive a kill: written beside their place, synced, renamed. Failures become refusals."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors

from common.errors import ExitCode, Refusal

if TYPE_CHECKING:
    from torch import Tensor

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def disk_refusals(where: Path) -> Iterator[None]:
    """Turns operating-system failures while writing ``where`` into refusals.

    Raises:
        Refusal: ``DISK_FULL`` if there is no space left, ``DISK_UNWRITABLE`` for any other failure.
    """
    try:
        yield
    except OSError as error:
        raise _disk_refusal(error, where) from error
    except safetensors.SafetensorError as error:
        # safetensors reports the operating system's failure as text only.
        full = "No space left" in str(error) or "File too large" in str(error)
        raise _disk_refusal(OSError(errno.ENOSPC if full else errno.EIO, str(error)), where) from error


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``; the old file is untouched and no temporary file stays.
    """
    with disk_refusals(path), _replacing(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())


def write_tensors(path: Path, tensors: Mapping[str, Tensor], *, mode: int = 0o600) -> None:
    """Write tensors as safetensors, atomically; raises as :func:`write_atomic` does."""
    # Torch takes seconds to import, and most commands write no tensors.
    from safetensors.torch import save_file

    with disk_refusals(path), _replacing(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
        temporary.chmod(mode)
        sync(temporary)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, on the CPU.

    Raises:
        Refusal: ``RUN_INVALID`` if the file is missing or damaged.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        mend = "restore the file, or remove it to go back to the state before it"
        raise Refusal(ExitCode.RUN_INVALID, "weights file missing or damaged", where=str(path), mend=mend) from error


def append_line(path: Path, line: str, *, mode: int = 0o600) -> None:
    """Append one line and sync it to disk before returning; raises as :func:`write_atomic` does."""
    with disk_refusals(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
        try:
            _write_all(descriptor, f"{line}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(path: Path, *, mode: int = 0o700) -> Path:
    """Create a folder and its parents; raises as :func:`write_atomic` does."""
    with disk_refusals(path):
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    return path


@contextmanager
def whole_folder(path: Path, *, mode: int = 0o700) -> Iterator[Path]:
    """A folder that is there with everything in it, or not at all: filled beside its place, synced, renamed.

    Yields the folder to fill, and what a killed process left of one is taken away first. One process at a time may fill
    a place.

    Raises:
        Refusal: ``USAGE`` if there is something of its name other than an empty folder, ``DISK_FULL`` or
            ``DISK_UNWRITABLE``; nothing is then left of it.
    """
    path = path.absolute()
    parent = make_folder(path.parent)
    temporary = parent / f".{path.name}.tmp"
    with disk_refusals(path):
        expect_no_content(path)
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(mode=mode)
            yield temporary
            for place in (*temporary.rglob("*"), temporary):
                sync(place)
            # Of an empty folder the name is taken over, of a full one never.
            temporary.rename(path)
            sync(parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def expect_no_content(path: Path) -> None:
    """A folder that may be made, or an empty one.

    Raises:
        Refusal: ``USAGE`` if there is something else of its name; ``DISK_UNWRITABLE`` if that cannot be seen.
    """
    with disk_refusals(path):
        if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
            raise Refusal(ExitCode.USAGE, "folder is not empty", where=str(path), mend="name a new folder")


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _disk_refusal(error: OSError, where: Path) -> Refusal:
    if error.errno in _FULL:
        mend = "free space on this disk, then start again: what was finished is kept"
        return Refusal(ExitCode.DISK_FULL, "no space left on the disk", where=str(where), mend=mend)
    mend = "give this user the right to write there, or name another folder"
    what = f"cannot write ({os.strerror(error.errno) if error.errno else type(error).__name__})"
    return Refusal(ExitCode.DISK_UNWRITABLE, what, where=str(where), mend=mend)
