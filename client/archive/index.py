"""What was found in an archive, kept on the site's disk, so that a second look reads only what changed.

Folders and files are known by keyed hashes of names, sizes, times and inodes; of a slice there is what its header says
under pseudonyms. A damaged or foreign index, or another release's, counts as none.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import add
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from client.archive.index_file import (
    HASH_BYTES,
    NO_NUMBER,
    NO_TIME,
    Columns,
    FolderFindings,
    Kind,
    read_index,
    write_index,
)
from client.archive.pseudonym import Pseudonyms
from client.archive.slice_header import Owner, SliceHeader, Vector

# A file that was changed less than this before it was listed could change again within the same tick of its clock.
SETTLED_NS = 100_000_000
UNSETTLED = bytes(HASH_BYTES)
DAMAGED, UNREAD, PACKED = -1, -2, -3


@final
@dataclass(frozen=True, slots=True)
class Listing:
    """The plain files of a folder, as the operating system lists them.

    Attributes:
        folder: the folder.
        place: where it lies below the archive's root.
        listed_ns: when the listing began.
        names: names of the files, ascending; what follows is of each file, in this order.
        sizes_bytes: size.
        modified_ns, changed_ns: times of the last change of its content and of its state.
        inodes: inode.
    """

    folder: Path
    place: str
    listed_ns: int
    names: Sequence[str]
    sizes_bytes: Sequence[int]
    modified_ns: Sequence[int]
    changed_ns: Sequence[int]
    inodes: Sequence[int]

    def part(self, file: int) -> Listing:
        """The listing of one file alone."""
        numbers = (self.sizes_bytes, self.modified_ns, self.changed_ns, self.inodes)
        return Listing(self.folder, self.place, self.listed_ns, [self.names[file]], *([of[file]] for of in numbers))

    def is_settled(self, file: int) -> bool:
        """Whether any later change of a file is sure to show in its numbers."""
        latest_ns = self.listed_ns - SETTLED_NS
        return self.changed_ns[file] < latest_ns and not latest_ns <= self.modified_ns[file] <= self.listed_ns


@final
@dataclass(frozen=True, slots=True)
class FileFindings:
    """What one file holds.

    Attributes:
        count: slices, ``DAMAGED``, ``PACKED``, or ``UNREAD`` if it could not be read this time.
        owners: pseudonyms of series and patient of each slice.
        slices: the headers.
        is_whole: whether no frame was left out.
    """

    count: int
    owners: Sequence[Owner]
    slices: Sequence[SliceHeader]
    is_whole: bool = True

    @property
    def is_lasting(self) -> bool:
        """Whether reading the same bytes again would give the same, whatever else the archive holds."""
        return self.is_whole and self.count != UNREAD


@final
class ArchiveIndex:
    """The index of an archive.

    Args:
        path: its file; with None nothing is known and nothing kept.
        pseudonyms: the site's pseudonyms, whose secret keys every hash.
    """

    def __init__(self, path: Path | None, pseudonyms: Pseudonyms) -> None:
        self._path = path
        self._key = "".join(pseudonyms.of("archive index", half) for half in ("1", "2")).encode()
        self._keyed = hashlib.blake2b(key=self._key, digest_size=HASH_BYTES)
        read = None if path is None else read_index(path, self._key)
        self._kept = None if read is None else _Kept(*read)

    @property
    def files(self) -> int:
        """How many files are known."""
        return 0 if self._kept is None else len(self._kept.counts)

    @property
    def folders(self) -> int:
        """How many folders with files are known."""
        return 0 if self._kept is None else len(self._kept.folders)

    def folder_key(self, place: str) -> bytes:
        """Keyed hash of a folder's place below the root."""
        return self._hash(repr(place).encode())

    def state(self, listing: Listing) -> bytes:
        """Keyed hash of a folder's files."""
        names = "\0".join(listing.names).encode(errors="surrogatepass")
        numbers = (listing.sizes_bytes, listing.modified_ns, listing.changed_ns, listing.inodes)
        try:
            content = b"".join(array("q", values).tobytes() for values in numbers)
        except OverflowError:
            content = repr(numbers).encode()
        return self._hash(b"%d\0%b\0%b" % (len(listing.names), names, content))

    def file_key(self, listing: Listing, file: int) -> bytes:
        """Keyed hash of a file."""
        numbers = (listing.sizes_bytes, listing.modified_ns, listing.changed_ns, listing.inodes)
        return self._hash(repr((listing.names[file], *(values[file] for values in numbers))).encode())

    def unchanged(self, key: bytes, state: bytes, listing: Listing) -> FolderFindings | None:
        """What a folder holds, if it is in the state in which it was read; else None."""
        kept = self._kept
        place = None if kept is None else kept.folders.get(key)
        if kept is None or place is None or kept.state(place) != state:
            return None
        first, last = kept.files[place], kept.files[place + 1]
        owners, slices = kept.slices(first, last, listing)
        return FolderFindings(
            listing.folder, key, state, kept.keys(first, last), kept.counts[first:last], owners, slices
        )

    def file(self, key: bytes, listing: Listing, file: int) -> FileFindings | None:
        """What a file holds, wherever it lay when it was read; None if it is not known."""
        kept = self._kept
        place = None if kept is None else kept.places.get(key)
        if kept is None or place is None:
            return None
        owners, slices = kept.slices(place, place + 1, listing.part(file))
        return FileFindings(kept.counts[place], owners, slices)

    def save(self, findings: Sequence[FolderFindings]) -> None:
        """Keep what was found, in place of what was known.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``; the index before stays.
        """
        if self._path is not None:
            write_index(self._path, self._key, findings)

    def _hash(self, content: bytes) -> bytes:
        keyed = self._keyed.copy()
        keyed.update(content)
        return keyed.digest()


@final
class _Kept:
    """Columns of an index as lists, from which values are taken by the folder."""

    def __init__(self, columns: Columns, kinds: Sequence[Kind]) -> None:
        self.folders = {key: place for place, key in enumerate(_split(columns["folder_key"].tobytes()))}
        self.files = [0, *accumulate(columns["folder_files"].tolist())]
        self.counts: list[int] = columns["file_count"].tolist()
        self._states = columns["folder_state"].tobytes()
        self._keys = columns["file_key"].tobytes()
        self._starts: list[int] = [0, *np.maximum(columns["file_count"], 0).cumsum().tolist()]
        self._owners = [kind.owner for kind in kinds]
        self._shared = [kind.shared for kind in kinds]
        self._odd_positions = {place: kind.position for place, kind in enumerate(kinds) if kind.position is not None}
        self._kinds: list[int] = columns["slice_kind"].tolist()
        self._instances = columns["slice_instance"].tobytes().hex(" ", HASH_BYTES).split()
        self._positions: list[Vector] = list(zip(*columns["slice_position"].T.tolist(), strict=True))
        self._numbers = _present(columns["slice_number"], NO_NUMBER)
        self._frames: list[int] = columns["slice_frame"].tolist()
        self._acquisitions = _present(columns["slice_acquisition"], NO_NUMBER)
        self._acquired_s = _present(columns["slice_acquired"], NO_TIME)

    @cached_property
    def places(self) -> dict[bytes, int]:
        """Places of files by their keys."""
        places = {key: place for place, key in enumerate(_split(self._keys))}
        places.pop(UNSETTLED, None)
        return places

    def state(self, folder: int) -> bytes:
        """State in which a folder was read; one that no listing has if that is not certain."""
        return self._states[folder * HASH_BYTES : (folder + 1) * HASH_BYTES]

    def keys(self, first: int, last: int) -> bytes:
        """Keys of files, one after the other."""
        return self._keys[first * HASH_BYTES : last * HASH_BYTES]

    def slices(self, first: int, last: int, listing: Listing) -> tuple[list[Owner], list[SliceHeader]]:
        """Owners and headers of the slices of files that are listed now."""
        part = slice(self._starts[first], self._starts[last])
        kinds, positions = self._kinds[part], self._positions[part]
        if self._odd_positions:
            pairs = zip(kinds, positions, strict=True)
            positions = [self._odd_positions.get(kind, position) for kind, position in pairs]
        names, sizes_bytes, modified_ns = listing.names, listing.sizes_bytes, listing.modified_ns
        counts = self.counts[first:last]
        if counts.count(1) != len(counts):
            places = [place for place, count in enumerate(counts) for _ in range(count)]
            names = [names[place] for place in places]
            sizes_bytes = [sizes_bytes[place] for place in places]
            modified_ns = [modified_ns[place] for place in places]
        folders = [listing.folder] * len(names)
        said = (self._instances[part], positions, self._numbers[part], self._frames[part])
        acquired = (self._acquisitions[part], self._acquired_s[part])
        own = zip(folders, names, sizes_bytes, modified_ns, *said, *acquired, strict=True)
        headers = list(map(SliceHeader._make, map(add, own, map(self._shared.__getitem__, kinds))))
        return list(map(self._owners.__getitem__, kinds)), headers


def frames_beyond(counts: Sequence[int]) -> int:
    """How many frames files hold beyond one each."""
    return sum(count - 1 for count in counts if count > 1)


def _present(column: NDArray[Any], absent: float) -> list[Any]:
    """Values of a column, None in place of the one that stands for an absent value."""
    values: list[Any] = column.tolist()
    return [None if value == absent else value for value in values] if (column == absent).any() else values


def _split(hashes: bytes) -> Iterator[bytes]:
    return (hashes[place : place + HASH_BYTES] for place in range(0, len(hashes), HASH_BYTES))
