"""Walks a folder tree by descriptors: what is swapped for a link while it is walked is not followed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from client.archive.index import Listing

MAXIMUM_DEPTH = 64
_KIND = 0o170000
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def listings(root: Path) -> Iterator[tuple[int, Listing]]:
    """Every folder with its plain files, before its subfolders, in name order; with a descriptor, open until the next.

    Links are passed over, and so is a subfolder that cannot be listed or lies deeper than 64 levels.
    """
    try:
        # The archive's own folder may be named by a link.
        descriptor = os.open(root, _FOLDER_FLAGS & ~os.O_NOFOLLOW)
    except OSError:
        return
    yield from _below(descriptor, root, "", 0)


def open_file(name: str, folder: int) -> tuple[int, int]:
    """Descriptor and size of a plain file in an open folder.

    Raises:
        OSError: if it is a link, a pipe or a device, or cannot be opened.
    """
    descriptor = os.open(name, _FILE_FLAGS, dir_fd=folder)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError("not a plain file")
    return descriptor, status.st_size


def _below(descriptor: int, folder: Path, place: str, depth: int) -> Iterator[tuple[int, Listing]]:
    try:
        listing, subfolders = _listed(descriptor, folder, place)
        if listing.names:
            yield descriptor, listing
        for name in subfolders if depth < MAXIMUM_DEPTH else ():
            try:
                inner = os.open(name, _FOLDER_FLAGS, dir_fd=descriptor)
            except OSError:
                continue
            yield from _below(inner, folder / name, f"{place}/{name}", depth + 1)
    finally:
        os.close(descriptor)


def _listed(descriptor: int, folder: Path, place: str) -> tuple[Listing, list[str]]:
    listed_ns = time.time_ns()
    names: list[str] = []
    files: list[os.stat_result] = []
    subfolders: list[str] = []
    try:
        entries = sorted(os.listdir(descriptor))
    except OSError:
        entries = []
    for name in entries:
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            continue
        kind = status.st_mode & _KIND
        if kind == stat.S_IFREG:
            names.append(name)
            files.append(status)
        elif kind == stat.S_IFDIR:
            subfolders.append(name)
    listing = Listing(
        folder=folder,
        place=place,
        listed_ns=listed_ns,
        names=names,
        sizes_bytes=[status.st_size for status in files],
        modified_ns=[status.st_mtime_ns for status in files],
        changed_ns=[status.st_ctime_ns for status in files],
        inodes=[status.st_ino for status in files],
    )
    return listing, subfolders
