"""A first look at ordinary headers: plain Python, bounded, and either right or unsure; the unsure go to the reader.

It follows DICOM PS3.5 chapter 7 in the narrow way in which nearly every scanner writes it. Whatever leaves that way,
even where pydicom knows a way on, is left to the limited process. No length found in a file decides what is allocated:
at most 64 KiB are read, and values are cut from them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple, final

from client.dicom.element_values import SIGNED, UNSIGNED, binary, integer, number, positive, text, vector, words
from client.dicom.element_walk import ElementWalk, Unusual
from client.dicom.enhanced import ENHANCED_CT_STORAGE
from client.dicom.header import WITHOUT_SERIES, ImageHeader, names_agent
from client.dicom.plain_file import MAXIMUM_FILE_BYTES, has_prefix, may_be_dicom

FIRST_BYTES: Final = 16 << 10
MOST_BYTES: Final = 64 << 10
MOST_SERIES: Final = 4096
_PREAMBLE_BYTES: Final = 128
_META_START: Final = b"DICM\x02\x00\x00\x00UL\x04\x00"
_FIRST_META: Final = _PREAMBLE_BYTES + len(_META_START) + 4
_FIRST_GROUP: Final = b"\x08\x00"
_IMPLICIT: Final = "1.2.840.10008.1.2"
_EXPLICIT: Final = re.compile(r"1\.2\.840\.10008\.1\.2\.(1|5|4\.[0-9]{1,3})")


class Unsure(Enum):
    """Said of a file that this look is not made for."""

    UNSURE = "unsure"


UNSURE: Final = Unsure.UNSURE


@final
class _Said(NamedTuple):
    """Values, as written, that all slices of a series share; empty where absent."""

    syntax: bytes
    media_class: bytes
    sop_class: bytes
    study: bytes
    series: bytes
    patient: bytes
    issuer: bytes
    modality: bytes
    image_type: bytes
    manufacturer: bytes
    rows: bytes
    columns: bytes
    frames: bytes
    orientation: bytes
    spacing: bytes
    thickness: bytes
    slope: bytes
    intercept: bytes
    padding: bytes
    signed_padding: bytes
    limit: bytes
    signed_limit: bytes
    tilt: bytes
    sign: bytes
    kvp: bytes
    agent: bytes


_Before = tuple[str, str, str, str, str, str, tuple[str, ...], str, int, int, int, tuple[float, ...]]
_Real = float | None
_After = tuple[tuple[float, ...], _Real, _Real, _Real, int | None, int | None, _Real, _Real, bool]
# The SOP class, and what an ImageHeader says between instance and position, and between position and number.
_Series = tuple[str, _Before, _After]

_SHARED: Final = len(_Said._fields)
_INSTANCE, _POSITION, _NUMBER = range(_SHARED, _SHARED + 3)
_SLOTS: Final = {name: slot for slot, name in enumerate((*_Said._fields, "instance", "position", "number"))}
_META: Final = {b"\x02\x00\x10\x00": {b"UI": _SLOTS["syntax"]}, b"\x02\x00\x02\x00": {b"UI": _SLOTS["media_class"]}}
_TAGS: Final = {
    0x00080008: {b"CS": "image_type"},
    0x00080016: {b"UI": "sop_class"},
    0x00080018: {b"UI": "instance"},
    0x00080060: {b"CS": "modality"},
    0x00080070: {b"LO": "manufacturer"},
    0x00100020: {b"LO": "patient"},
    0x00100021: {b"LO": "issuer"},
    0x00180010: {b"LO": "agent"},
    0x00180050: {b"DS": "thickness"},
    0x00180060: {b"DS": "kvp"},
    0x00181120: {b"DS": "tilt"},
    0x0020000D: {b"UI": "study"},
    0x0020000E: {b"UI": "series"},
    0x00200013: {b"IS": "number"},
    0x00200032: {b"DS": "position"},
    0x00200037: {b"DS": "orientation"},
    0x00280008: {b"IS": "frames"},
    0x00280010: {b"US": "rows"},
    0x00280011: {b"US": "columns"},
    0x00280030: {b"DS": "spacing"},
    0x00280103: {b"US": "sign"},
    0x00280120: {b"US": "padding", b"SS": "signed_padding"},
    0x00280121: {b"US": "limit", b"SS": "signed_limit"},
    0x00281052: {b"DS": "intercept"},
    0x00281053: {b"DS": "slope"},
}


def _wanted(*, explicit: bool) -> Mapping[bytes, Mapping[bytes, int]]:
    """Slots by tag and VR as written."""
    wanted = {}
    for tag, names in _TAGS.items():
        written = UNSIGNED.pack(tag >> 16) + UNSIGNED.pack(tag & 0xFFFF)
        slots = {representation: _SLOTS[name] for representation, name in names.items()}
        wanted[written] = slots if explicit else {b"": next(iter(slots.values()))}
    return wanted


@final
class HeaderGlance:
    """Reads headers one after the other, faster where they resemble each other. Holds identifiers in clear."""

    def __init__(self) -> None:
        self._meta = ElementWalk(_META, explicit=True, group=b"\x02\x00")
        self._explicit = ElementWalk(_wanted(explicit=True), explicit=True, group=None)
        self._implicit = ElementWalk(_wanted(explicit=False), explicit=False, group=None)
        self._series: dict[_Said, _Series | None] = {}

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
        values = [b""] * len(_SLOTS)
        place = self._meta.take(opening, _FIRST_META, values)
        syntax = _syntax(values[0])
        explicit = syntax != _IMPLICIT
        kind = opening[place + 4 : place + 6]
        # Readers guess from the first element whether VRs are written; its length must not look like one.
        if opening[place : place + 2] != _FIRST_GROUP or (kind.isalpha() and kind.isupper()) != explicit:
            raise Unusual
        place = (self._explicit if explicit else self._implicit).take(opening, place, values)
        # The walk also ends where the bytes do: that is the end of the file, or more has to be read.
        if place == len(opening) and place != size_bytes:
            raise Unusual
        said = _Said._make(values[:_SHARED])
        series = self._series.get(said, UNSURE)
        if series is UNSURE:
            series = self._remembered(said, syntax)
        if series is None:
            return None
        sop_class, before, after = series
        instance, position, number = text(values[_INSTANCE]), vector(values[_POSITION]), integer(values[_NUMBER])
        return ImageHeader(sop_class, instance, *before, position, *after, number)

    def _remembered(self, said: _Said, syntax: str) -> _Series | None:
        if len(self._series) >= MOST_SERIES:
            self._series.clear()
        series = self._series[said] = _cleaned(said, syntax)
        return series


def _cleaned(said: _Said, syntax: str) -> _Series | None:
    """What the slices of a series share, as :func:`client.dicom.header.image_header` cleans it; None without series."""
    if b"\\" in said.media_class:
        raise Unusual
    sop_class = text(said.sop_class) or text(said.media_class)
    if sop_class in WITHOUT_SERIES:
        return None
    series = text(said.series)
    if not series or not sop_class or sop_class in ENHANCED_CT_STORAGE or (said.frames and integer(said.frames) != 1):
        raise Unusual
    before = (
        text(said.study),
        series,
        text(said.patient),
        text(said.issuer),
        syntax,
        text(said.modality).upper(),
        words(said.image_type),
        text(said.manufacturer).upper(),
        binary(said.rows) or 0,
        binary(said.columns) or 0,
        1,
        vector(said.orientation),
    )
    after = (
        vector(said.spacing),
        positive(said.thickness),
        number(said.slope) or None,
        number(said.intercept),
        _padding(said.padding, said.signed_padding, said.sign, explicit=syntax != _IMPLICIT),
        _padding(said.limit, said.signed_limit, said.sign, explicit=syntax != _IMPLICIT),
        number(said.tilt),
        positive(said.kvp),
        names_agent(text(said.agent)),
    )
    return sop_class, before, after


def _syntax(said: bytes) -> str:
    syntax = text(said)
    if syntax != _IMPLICIT and _EXPLICIT.fullmatch(syntax) is None:
        raise Unusual
    return syntax


def _padding(unsigned: bytes, signed: bytes, sign: bytes, *, explicit: bool) -> int | None:
    """A value in the pixels' own representation: padding, or the limit of its range."""
    if signed:
        if unsigned:
            raise Unusual
        return binary(signed, SIGNED)
    if explicit or not unsigned:
        return binary(unsigned)
    # Without a VR the pixels' representation says how it is to be read.
    if sign not in (b"\0\0", b"\1\0"):
        raise Unusual
    return binary(unsigned, SIGNED if sign == b"\1\0" else UNSIGNED)
