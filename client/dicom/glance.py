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
from functools import lru_cache
from typing import Final, NamedTuple, final

from client.dicom.contrast_words import names_agents
from client.dicom.data_set_values import largest, time_of_day_s, whole_number
from client.dicom.derivation import is_computed, may_be_recompressed
from client.dicom.element_values import SIGNED, UNSIGNED, binary, integer, number, positive, text, vector, words
from client.dicom.element_walk import SEQUENCE, ElementWalk, Unusual
from client.dicom.header import ENHANCED_CT_STORAGE, WITHOUT_SERIES, ImageHeader, patient_named
from client.dicom.hounsfield import holds_hu
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
    sign: bytes
    kvp: bytes
    frame_of_reference: bytes
    rescale_type: bytes
    lossy: bytes
    ratio: bytes
    description: bytes
    codes: bytes
    processing: bytes
    characteristics: bytes
    agents: bytes
    routes: bytes
    agent: bytes
    route: bytes
    volume: bytes
    start: bytes
    stop: bytes
    dose: bytes
    rate: bytes
    duration: bytes
    ingredient: bytes
    concentration: bytes


_Before = tuple[str, str, str, str, str, str, tuple[str, ...], str, int, int, int, tuple[float, ...]]
_After = tuple[
    tuple[float, ...], float | None, float | None, float | None, int | None, float | None, bool, bool, bool, str
]
# The SOP class, and what an ImageHeader says between instance and position, and between position and number.
_Series = tuple[str, _Before, _After]

_SHARED: Final = len(_Said._fields)
_OWN: Final = ("instance", "position", "number", "acquisition", "acquired")
_INSTANCE, _POSITION, _NUMBER, _ACQUISITION, _ACQUIRED = range(_SHARED, _SHARED + len(_OWN))
_SLOTS: Final = {name: slot for slot, name in enumerate((*_Said._fields, *_OWN))}
_META: Final = {b"\x02\x00\x10\x00": {b"UI": _SLOTS["syntax"]}, b"\x02\x00\x02\x00": {b"UI": _SLOTS["media_class"]}}
_TAGS: Final = {
    0x00080008: {b"CS": "image_type"},
    0x00080016: {b"UI": "sop_class"},
    0x00080018: {b"UI": "instance"},
    0x00080032: {b"TM": "acquired"},
    0x00080060: {b"CS": "modality"},
    0x00080070: {b"LO": "manufacturer"},
    0x00082111: {b"ST": "description"},
    0x00089215: {b"SQ": "codes"},
    0x00100020: {b"LO": "patient"},
    0x00100021: {b"LO": "issuer"},
    0x00180010: {b"LO": "agent"},
    0x00180012: {b"SQ": "agents"},
    0x00180014: {b"SQ": "routes"},
    0x00180050: {b"DS": "thickness"},
    0x00180060: {b"DS": "kvp"},
    0x00181040: {b"LO": "route"},
    0x00181041: {b"DS": "volume"},
    0x00181042: {b"TM": "start"},
    0x00181043: {b"TM": "stop"},
    0x00181044: {b"DS": "dose"},
    0x00181046: {b"DS": "rate"},
    0x00181047: {b"DS": "duration"},
    0x00181048: {b"CS": "ingredient"},
    0x00181049: {b"DS": "concentration"},
    0x00189363: {b"SQ": "processing"},
    0x00189364: {b"SQ": "characteristics"},
    0x0020000D: {b"UI": "study"},
    0x0020000E: {b"UI": "series"},
    0x00200012: {b"IS": "acquisition"},
    0x00200013: {b"IS": "number"},
    0x00200032: {b"DS": "position"},
    0x00200037: {b"DS": "orientation"},
    0x00200052: {b"UI": "frame_of_reference"},
    0x00280008: {b"IS": "frames"},
    0x00280010: {b"US": "rows"},
    0x00280011: {b"US": "columns"},
    0x00280030: {b"DS": "spacing"},
    0x00280103: {b"US": "sign"},
    0x00280120: {b"US": "padding", b"SS": "signed_padding"},
    0x00281052: {b"DS": "intercept"},
    0x00281053: {b"DS": "slope"},
    0x00281054: {b"LO": "rescale_type"},
    0x00282110: {b"CS": "lossy"},
    0x00282112: {b"DS": "ratio"},
}


def _wanted(*, explicit: bool) -> Mapping[bytes, Mapping[bytes, int]]:
    """Slots by tag and VR as written."""
    wanted = {}
    for tag, names in _TAGS.items():
        written = UNSIGNED.pack(tag >> 16) + UNSIGNED.pack(tag & 0xFFFF)
        slots = {representation: _SLOTS[name] for representation, name in names.items()}
        # Without VRs a sequence is known by its tag, whether or not its length says where it ends.
        kinds = (b"", SEQUENCE) if SEQUENCE in slots else (b"",)
        wanted[written] = slots if explicit else dict.fromkeys(kinds, next(iter(slots.values())))
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
        acquisition, acquired_s = _acquired(values[_ACQUISITION], values[_ACQUIRED])
        return ImageHeader(sop_class, instance, *before, position, *after, number, acquisition, acquired_s)

    def _remembered(self, said: _Said, syntax: str) -> _Series | None:
        if len(self._series) >= MOST_SERIES:
            self._series.clear()
        series = self._series[said] = _cleaned(said, syntax)
        return series


@lru_cache(maxsize=1024)
def _acquired(number: bytes, clock: bytes) -> tuple[int | None, float | None]:
    """Acquisition number and time, as many slices share them."""
    return whole_number(text(number)), time_of_day_s(text(clock))


def _cleaned(said: _Said, syntax: str) -> _Series | None:
    """What the slices of a series share, as :func:`client.dicom.header.image_header` cleans it; None without series."""
    if b"\\" in said.media_class:
        raise Unusual
    sop_class = text(said.sop_class) or text(said.media_class)
    if sop_class in WITHOUT_SERIES:
        return None
    series, image_type = text(said.series), words(said.image_type)
    if not series or not sop_class or sop_class in ENHANCED_CT_STORAGE or (said.frames and integer(said.frames) != 1):
        raise Unusual
    before = (
        text(said.study),
        series,
        patient_named(text(said.patient)),
        text(said.issuer),
        syntax,
        text(said.modality).upper(),
        image_type,
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
        _padding(said, explicit=syntax != _IMPLICIT),
        positive(said.kvp),
        _says_contrast(said),
        _is_computed(said, image_type),
        _holds_hu(said, image_type),
        text(said.frame_of_reference),
    )
    return sop_class, before, after


def _says_contrast(said: _Said) -> bool:
    if any(
        names_agents(words(value))
        for value in (
            said.agent,
            said.route,
            said.volume,
            said.start,
            said.stop,
            said.dose,
            said.rate,
            said.duration,
            said.ingredient,
            said.concentration,
        )
        if value
    ):
        return True
    if said.agents or said.routes:
        raise Unusual
    return False


def _is_computed(said: _Said, image_type: tuple[str, ...]) -> bool:
    description = words(said.description)
    if said.codes and may_be_recompressed(image_type, description):
        raise Unusual
    lossy, ratio = words(said.lossy)[:1] == ("01",), largest(words(said.ratio))
    return is_computed(image_type, lossy=lossy, ratio=ratio, description=description)


def _holds_hu(said: _Said, image_type: tuple[str, ...]) -> bool:
    rescale_type = text(said.rescale_type).upper()
    if said.processing or said.characteristics:
        raise Unusual
    return holds_hu(rescale_type, image_type)


def _syntax(said: bytes) -> str:
    syntax = text(said)
    if syntax != _IMPLICIT and _EXPLICIT.fullmatch(syntax) is None:
        raise Unusual
    return syntax


def _padding(said: _Said, *, explicit: bool) -> int | None:
    if said.signed_padding:
        if said.padding:
            raise Unusual
        return binary(said.signed_padding, SIGNED)
    if explicit or not said.padding:
        return binary(said.padding)
    # Without a VR the pixels' representation says how it is to be read.
    if said.sign not in (b"\0\0", b"\1\0"):
        raise Unusual
    return binary(said.padding, SIGNED if said.sign == b"\1\0" else UNSIGNED)
