"""Finds DICOM series in a read-only folder tree: reads headers only, trusts no name, follows no link."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import final

from client.archive.folders import listings, open_file
from client.archive.grouping import Series, grouped
from client.archive.index import DAMAGED, PACKED, UNREAD, UNSETTLED, ArchiveIndex, FileFindings, Listing, frames_beyond
from client.archive.index_file import FolderFindings
from client.archive.packed import PACKED_BYTES, is_packed
from client.archive.pseudonym import Pseudonyms
from client.archive.slice_header import slice_header
from client.dicom import UNSURE, Fault, HeaderGlance, ImageHeader, Reader, ReadFile, Unsure, shared_reader
from common.errors import ExitCode, Refusal

# What was read anew is also kept on the way, once it is this many files and more than the index held before.
CHECKPOINT_FILES = 5000
# Storage that kept the process waiting for most of the first files of a folder is read by several threads.
PROBED_FILES = 16
_Seen = ImageHeader | Unsure | Fault | FileFindings | None
# In a whole archive, frames beyond one a file: their headers take memory that no file of their own pays for.
MOST_FRAMES_BEYOND = 1 << 19
_NO_IMAGE = FileFindings(0, (), ())
_DAMAGED = FileFindings(DAMAGED, (), ())
_UNREAD = FileFindings(UNREAD, (), ())
_PACKED = FileFindings(PACKED, (), ())
# The same bytes give these again; whatever else went wrong may go well the next time.
_LASTING = frozenset({Fault.DAMAGED, Fault.TOO_LARGE})


def discover(
    root: Path,
    pseudonyms: Pseudonyms,
    *,
    index: Path | None = None,
    reader: Reader | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    may_enter: Callable[[Path], bool] | None = None,
) -> tuple[Series, ...]:
    """Every DICOM series below a folder, in the order of their pseudonyms.

    Links are not followed, so nothing outside the folder is read. Other files and DICOMDIRs are passed over. Damaged
    DICOM files count as one unreadable series per folder, packed files as another. A file that changes while it is read
    is read again next time.

    Args:
        root: the archive; only read.
        pseudonyms: the site's pseudonyms.
        index: file that keeps what was found, so that the next call reads only what changed; written anew if anything
            did. Calls may share it: the last one to end wins.
        reader: the limited process for headers that are out of the ordinary; by default this process's own.
        workers: files read at a time where the storage keeps this process waiting; elsewhere one is fastest.
        progress: called with the number of files seen so far.
        may_enter: whether this process may list a folder; by default, what the operating system says.

    Raises:
        Refusal: ``ARCHIVE_UNREADABLE`` if the folder is missing or may not be read, ``ARCHIVE_EMPTY`` if it holds no
            DICOM at all, ``CHILD_FAILED`` if the limited process cannot be started, ``DISK_FULL`` or
            ``DISK_UNWRITABLE`` if the index cannot be kept.
    """
    _require_folder(root, may_enter or _may_enter)
    known = ArchiveIndex(index, pseudonyms)
    scan = _Scan(pseudonyms, known, reader or shared_reader(), workers)
    findings: list[FolderFindings] = []
    seen, kept = 0, known.files
    with _collector_resting():
        for descriptor, listing in listings(root):
            findings.append(scan.folder(descriptor, listing))
            seen += len(listing.names)
            if progress is not None:
                progress(seen)
            if scan.files_read > max(CHECKPOINT_FILES, kept):
                known.save(findings)
                scan.files_read, kept = 0, seen
    series = grouped(findings, pseudonyms)
    if not series:
        mend = "name the folder that holds the site's DICOM files"
        raise Refusal(ExitCode.ARCHIVE_EMPTY, "no DICOM file in the archive", where=str(root), mend=mend)
    if scan.has_changed or len(findings) != known.folders:
        known.save(findings)
    return series


@contextmanager
def _collector_resting() -> Iterator[None]:
    """While it lasts Python looks for no reference cycles: headers have none, and looking takes a third of a scan."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@final
class _Scan:
    """Says what folders hold: from the index what has not changed, and by reading the rest.

    Attributes:
        files_read: files whose headers were not in the index.
        has_changed: whether a folder was not as the index knew it.
    """

    def __init__(self, pseudonyms: Pseudonyms, known: ArchiveIndex, reader: Reader, workers: int) -> None:
        self.files_read = 0
        self.has_changed = False
        self._pseudonyms = pseudonyms
        self._known = known
        self._reader = reader
        self._workers = workers
        self._glance = HeaderGlance()
        self._frames_left = MOST_FRAMES_BEYOND

    def folder(self, descriptor: int, listing: Listing) -> FolderFindings:
        """What a listed folder holds, which is open under a descriptor."""
        key, state = self._known.folder_key(listing.place), self._known.state(listing)
        unchanged = self._known.unchanged(key, state, listing)
        if unchanged is not None and (beyond := frames_beyond(unchanged.counts)) <= self._frames_left:
            self._frames_left -= beyond
            return unchanged
        self.has_changed = True
        keys = [self._known.file_key(listing, place) for place in range(len(listing.names))]
        known = (self._known.file(file_key, listing, place) for place, file_key in enumerate(keys))
        files = [file and self._bounded(file) for file in known]
        missing = [place for place, known in enumerate(files) if known is None]
        self.files_read += len(missing)
        read = dict(zip(missing, self._read(descriptor, listing, missing), strict=True))
        found = [known or read[place] for place, known in enumerate(files)]
        settled = [file.is_lasting and listing.is_settled(place) for place, file in enumerate(found)]
        return FolderFindings(
            folder=listing.folder,
            key=key,
            state=state if all(settled) else UNSETTLED,
            file_keys=b"".join(key if sure else UNSETTLED for key, sure in zip(keys, settled, strict=True)),
            counts=[file.count for file in found],
            owners=[owner for file in found for owner in file.owners],
            slices=[header for file in found for header in file.slices],
        )

    def _read(self, descriptor: int, listing: Listing, places: Sequence[int]) -> Iterator[FileFindings]:
        looked = self._looked_at(descriptor, [listing.names[place] for place in places])
        unsure = (
            listing.folder / listing.names[place] for place, at in zip(places, looked, strict=True) if at is UNSURE
        )
        answers = self._reader.headers(unsure)
        for place, at in zip(places, looked, strict=True):
            if isinstance(at, FileFindings):
                yield at
            else:
                yield self._bounded(self._found(listing, place, next(answers) if isinstance(at, Unsure) else at))

    def _bounded(self, file: FileFindings) -> FileFindings:
        """A file as it is, or as one object that is not told apart by frame if the archive holds too many frames."""
        beyond = frames_beyond([file.count])
        if beyond <= self._frames_left:
            self._frames_left -= beyond
            return file
        return FileFindings(1, file.owners[:1], [file.slices[0]._replace(frames=file.count)], is_whole=False)

    def _found(self, listing: Listing, place: int, said: ImageHeader | ReadFile | Fault | None) -> FileFindings:
        if said is None:
            return _NO_IMAGE
        if isinstance(said, Fault):
            return _DAMAGED if said in _LASTING else _UNREAD
        name, size_bytes, modified_ns = listing.names[place], listing.sizes_bytes[place], listing.modified_ns[place]
        images = said.images if isinstance(said, ReadFile) else (said,)
        pairs = [
            slice_header(image, listing.folder, name, size_bytes, modified_ns, self._pseudonyms) for image in images
        ]
        return FileFindings(len(pairs), [owner for owner, _ in pairs], [header for _, header in pairs])

    def _looked_at(self, descriptor: int, names: Sequence[str]) -> list[_Seen]:
        look = partial(self._look, descriptor)
        waits = _waits()
        looked = [look(name) for name in names[:PROBED_FILES]]
        rest = names[PROBED_FILES:]
        if self._workers > 1 and _waits() - waits > PROBED_FILES // 2:
            with ThreadPoolExecutor(self._workers) as pool:
                return [*looked, *pool.map(look, rest)]
        return [*looked, *map(look, rest)]

    def _look(self, folder: int, name: str) -> _Seen:
        try:
            descriptor, size_bytes = open_file(name, folder)
            try:
                header = self._glance.at(descriptor, size_bytes)
                if header is None and is_packed(os.pread(descriptor, PACKED_BYTES, 0)):
                    return _PACKED
                return header
            finally:
                os.close(descriptor)
        except OSError:
            return Fault.CHANGED


def _waits() -> int:
    """How often this thread had to wait, which in reading files means for the storage."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


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
