"""Pixels of ordinary uncompressed slices without a full reader: right, or left to pydicom, which takes longer.

Only for the limited process, like all that reads pixels.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from client.dicom.element_walk import PIXEL_DATA, ElementWalk, Unusual
from client.dicom.stored_bits import stored_bits_of

LARGEST_FILE_BYTES: Final = 32 << 20
_START: Final = 128
_META_START: Final = b"DICM\x02\x00\x00\x00UL\x04\x00"
_FIRST_GROUP: Final = b"\x08\x00"
_IMPLICIT: Final = b"1.2.840.10008.1.2"
_EXPLICIT: Final = b"1.2.840.10008.1.2.1"
_HALF: Final = Struct("<H")
_WORD: Final = Struct("<L")

_NAMES: Final = {
    b"\x28\x00\x02\x00": b"US",  # samples per pixel
    b"\x28\x00\x04\x00": b"CS",  # photometric interpretation
    b"\x28\x00\x08\x00": b"IS",  # number of frames
    b"\x28\x00\x10\x00": b"US",  # rows
    b"\x28\x00\x11\x00": b"US",  # columns
    b"\x28\x00\x00\x01": b"US",  # bits allocated
    b"\x28\x00\x01\x01": b"US",  # bits stored
    b"\x28\x00\x03\x01": b"US",  # pixel representation
}
_MONOCHROME: Final = (b"MONOCHROME1", b"MONOCHROME2")


@final
class PlainPixels:
    """Reads slices one after the other, faster where their headers resemble each other."""

    def __init__(self) -> None:
        slots = {tag: (kind, slot) for slot, (tag, kind) in enumerate(_NAMES.items())}
        explicit = {tag: {kind: slot} for tag, (kind, slot) in slots.items()}
        implicit = {tag: {b"": slot} for tag, (_, slot) in slots.items()}
        self._meta = ElementWalk({b"\x02\x00\x10\x00": {b"UI": 0}}, explicit=True, group=b"\x02\x00")
        self._walks = {
            _EXPLICIT: ElementWalk(explicit, explicit=True, group=None),
            _IMPLICIT: ElementWalk(implicit, explicit=False, group=None),
        }

    def values(self, content: bytes, rows: int, columns: int) -> NDArray[Any] | None:
        """Stored values, (row, column) 16-bit integers, or None if only a full reader can judge.

        Args:
            content: the whole file.
            rows, columns: size it must have.
        """
        try:
            return self._values(content, rows, columns)
        except Unusual:
            return None

    def _values(self, content: bytes, rows: int, columns: int) -> NDArray[Any]:
        if not content.startswith(_META_START, _START):
            raise Unusual
        syntax = [b""]
        place = self._meta.take(content, _START + len(_META_START) + 4, syntax)
        walk = self._walks.get(syntax[0].rstrip(b"\0"))
        kind = content[place + 4 : place + 6]
        explicit = syntax[0].rstrip(b"\0") == _EXPLICIT
        # Readers guess from the first element whether VRs are written; its length must not look like one.
        if (
            walk is None
            or content[place : place + 2] != _FIRST_GROUP
            or (kind.isalpha() and kind.isupper()) != explicit
        ):
            raise Unusual
        said = [b""] * len(_NAMES)
        place = walk.take(content, place, said)
        samples, photometric, frames, said_rows, said_columns, allocated, stored, sign = said
        ordinary = (
            photometric.rstrip(b" ") in _MONOCHROME
            and frames.strip(b" ") in (b"", b"1")
            and (_number(samples), _number(said_rows), _number(said_columns)) == (1, rows, columns)
            and _number(allocated) == 16
            and 1 <= _number(stored) <= 16
            and _number(sign) in (0, 1)
        )
        start, length = _pixel_data(content, place, explicit=explicit)
        if not ordinary or length != 2 * rows * columns or start + length > len(content):
            raise Unusual
        values = np.frombuffer(content, "<i2" if _number(sign) else "<u2", rows * columns, start)
        return stored_bits_of(values.reshape(rows, columns), _number(stored))


def _number(said: bytes) -> int:
    if len(said) != _HALF.size:
        raise Unusual
    return int(_HALF.unpack(said)[0])


def _pixel_data(content: bytes, place: int, *, explicit: bool) -> tuple[int, int]:
    """Where the value of Pixel Data starts, and its length."""
    head = 12 if explicit else 8
    if content[place : place + 4] != PIXEL_DATA or len(content) < place + head:
        raise Unusual
    return place + head, int(_WORD.unpack_from(content, place + head - 4)[0])
