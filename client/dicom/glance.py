"""A first look at ordinary headers: plain Python, bounded, and either right or unsure; the unsure go to the reader.

It follows DICOM PS3.5 chapter 7 in the narrow way in which nearly every scanner writes it. Whatever leaves that way,
even where pydicom knows a way on, is left to the limited process. No length found in a file decides what is allocated:
at most 64 KiB are read, and values are cut from them.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import Final, final

from client.dicom.element_values import integer, text, vector
from client.dicom.element_walk import ElementWalk, Unusual
from client.dicom.plain_file import MAXIMUM_FILE_BYTES, has_prefix, may_be_dicom
from client.dicom.shared_values import IMPLICIT, SharedValues, acquired, cleaned, syntax_of
from client.dicom.wanted_elements import (
    ACQUIRED,
    ACQUISITION,
    INSTANCE,
    META,
    NUMBER,
    POSITION,
    SHARED,
    SLOTS,
    Said,
    wanted_slots,
)
from client.header import ImageHeader

FIRST_BYTES: Final = 16 << 10
MOST_BYTES: Final = 64 << 10
MOST_SERIES: Final = 4096
_PREAMBLE_BYTES: Final = 128
_META_START: Final = b"DICM\x02\x00\x00\x00UL\x04\x00"
_FIRST_META: Final = _PREAMBLE_BYTES + len(_META_START) + 4
_FIRST_GROUP: Final = b"\x08\x00"


class Unsure(Enum):
    """Said of a file that this look is not made for."""

    UNSURE = "unsure"


UNSURE: Final = Unsure.UNSURE


@final
class HeaderGlance:
    """Reads headers one after the other, faster where they resemble each other. Holds identifiers in clear."""

    def __init__(self) -> None:
        self._meta = ElementWalk(META, explicit=True, group=b"\x02\x00")
        self._explicit = ElementWalk(wanted_slots(explicit=True), explicit=True, group=None)
        self._implicit = ElementWalk(wanted_slots(explicit=False), explicit=False, group=None)
        self._series: dict[Said, SharedValues | None] = {}

    def at(self, descriptor: int, size_bytes: int) -> ImageHeader | Unsure | None:
        """The header of an open file, read from its beginning. Gives what :meth:`of` gives.

        Args:
            descriptor: a plain file, opened for reading and not yet read.
            size_bytes: its size.

        Raises:
            OSError: if it cannot be read.
        """
        opening = os.read(descriptor, FIRST_BYTES)
        header = self.of(opening, size_bytes)
        if header is UNSURE and len(opening) < min(size_bytes, MOST_BYTES):
            header = self.of(opening + os.read(descriptor, MOST_BYTES - len(opening)), size_bytes)
        return header

    def of(self, opening: bytes, size_bytes: int) -> ImageHeader | Unsure | None:
        """The header, or None if this is no DICOM image object, or ``UNSURE``.

        Args:
            opening: the file's first bytes.
            size_bytes: the file's size.
        """
        if not has_prefix(opening):
            return UNSURE if may_be_dicom(opening) else None
        try:
            return self._read(opening, size_bytes)
        except Unusual:
            return UNSURE

    def _read(self, opening: bytes, size_bytes: int) -> ImageHeader | None:
        if not opening.startswith(_META_START, _PREAMBLE_BYTES) or size_bytes > MAXIMUM_FILE_BYTES:
            raise Unusual
        values = [b""] * len(SLOTS)
        place = self._meta.take(opening, _FIRST_META, values)
        syntax = syntax_of(values[0])
        explicit = syntax != IMPLICIT
        kind = opening[place + 4 : place + 6]
        # Readers guess from the first element whether VRs are written; its length must not look like one.
        if opening[place : place + 2] != _FIRST_GROUP or (kind.isalpha() and kind.isupper()) != explicit:
            raise Unusual
        place = (self._explicit if explicit else self._implicit).take(opening, place, values)
        # The walk also ends where the bytes do: that is the end of the file, or more has to be read.
        if place == len(opening) and place != size_bytes:
            raise Unusual
        said = Said._make(values[:SHARED])
        series = self._series.get(said, UNSURE)
        if series is UNSURE:
            series = self._remembered(said, syntax)
        if series is None:
            return None
        sop_class, before, after = series
        instance, position, number = text(values[INSTANCE]), vector(values[POSITION]), integer(values[NUMBER])
        acquisition, acquired_s = acquired(values[ACQUISITION], values[ACQUIRED])
        return ImageHeader(sop_class, instance, *before, position, *after, number, acquisition, acquired_s)

    def _remembered(self, said: Said, syntax: str) -> SharedValues | None:
        if len(self._series) >= MOST_SERIES:
            self._series.clear()
        series = self._series[said] = cleaned(said, syntax)
        return series
