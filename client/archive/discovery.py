"""Finds DICOM series in a read-only folder tree: reads headers only, trusts no name, follows no link."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

from client.archive.header import DamagedFile, SliceHeader, read_header
from client.archive.pseudonym import Pseudonyms
from common.errors import ExitCode, Refusal

MAXIMUM_DEPTH = 64


@final
@dataclass(frozen=True)
class Series:
    """The image objects of one series, in no order.

    Attributes:
        series, patient: pseudonyms. A patient without an identifier is known by the study.
        slices: one header per readable object.
        unreadable: whether this stands for damaged DICOM files whose series is unknown.
    """

    series: str
    patient: str
    slices: tuple[SliceHeader, ...]
    unreadable: bool = False


def discover(
    root: Path, pseudonyms: Pseudonyms, *, may_enter: Callable[[Path], bool] | None = None
) -> tuple[Series, ...]:
    """Every DICOM series below a folder, in the order of their pseudonyms.

    Links are not followed, so nothing outside the folder is read. Other files and DICOMDIRs are passed over. Damaged
    DICOM files count as one unreadable series per folder.

    Args:
        root: the archive; only read.
        pseudonyms: the site's pseudonyms.
        may_enter: whether this process may list a folder; by default, what the operating system says.

    Raises:
        Refusal: ``ARCHIVE_UNREADABLE`` if the folder is missing or may not be read, ``ARCHIVE_EMPTY`` if it holds no
            DICOM at all.
    """
    _require_folder(root, may_enter or _may_enter)
    found: dict[str, list[SliceHeader]] = defaultdict(list)
    patients: dict[str, str] = {}
    damaged: dict[str, int] = defaultdict(int)
    for path in _files(root):
        try:
            headers = read_header(path, pseudonyms) or ()
        except DamagedFile:
            damaged[pseudonyms.of("folder", str(path.parent))] += 1
            continue
        for series, patient, slice_header in headers:
            found[series].append(slice_header)
            patients.setdefault(series, patient)
    if not found and not damaged:
        mend = "name the folder that holds the site's DICOM files"
        raise Refusal(ExitCode.ARCHIVE_EMPTY, "no DICOM file in the archive", where=str(root), mend=mend)
    readable = [Series(name, patients[name], tuple(slices)) for name, slices in sorted(found.items())]
    return (*readable, *(Series(name, name, (), unreadable=True) for name in sorted(damaged)))


def _may_enter(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _require_folder(root: Path, may_enter: Callable[[Path], bool]) -> None:
    mend = "name an existing folder and give this user the right to read it"
    try:
        is_folder = root.is_dir()
    except OSError as error:
        what = f"archive folder unreachable ({type(error).__name__})"
        raise Refusal(ExitCode.ARCHIVE_UNREADABLE, what, where=str(root), mend=mend) from error
    if not is_folder:
        raise Refusal(ExitCode.ARCHIVE_UNREADABLE, "archive folder is missing", where=str(root), mend=mend)
    if not may_enter(root):
        raise Refusal(ExitCode.ARCHIVE_UNREADABLE, "archive folder may not be read", where=str(root), mend=mend)


def _files(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Regular files below a folder in name order; a subfolder that cannot be listed is passed over."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth < MAXIMUM_DEPTH:
                yield from _files(Path(entry.path), depth + 1)
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
