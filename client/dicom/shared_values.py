"""What the slices of a series share, from values as written to what a header says of them; odd ones are unusual."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from client.dicom.element_values import SIGNED, UNSIGNED, binary, integer, number, positive, text, vector, words
from client.dicom.element_walk import Unusual
from client.dicom.wanted_elements import Said
from client.header import (
    ENHANCED_CT_STORAGE,
    WITHOUT_SERIES,
    holds_hu,
    is_computed,
    largest,
    may_be_recompressed,
    names_agents,
    patient_named,
    time_of_day_s,
    whole_number,
)

IMPLICIT: Final = "1.2.840.10008.1.2"
_EXPLICIT: Final = re.compile(r"1\.2\.840\.10008\.1\.2\.(1|5|4\.[0-9]{1,3})")

_Before = tuple[str, str, str, str, str, str, tuple[str, ...], str, int, int, int, tuple[float, ...]]
_After = tuple[
    tuple[float, ...],
    float | None,
    float | None,
    float | None,
    int | None,
    int | None,
    float | None,
    float | None,
    bool,
    bool,
    bool,
    str,
]
# The SOP class, and what an ImageHeader says between instance and position, and between position and number.
SharedValues = tuple[str, _Before, _After]


@lru_cache(maxsize=1024)
def acquired(number: bytes, clock: bytes) -> tuple[int | None, float | None]:
    """Acquisition number and time, as many slices share them."""
    return whole_number(text(number)), time_of_day_s(text(clock))


def cleaned(said: Said, syntax: str) -> SharedValues | None:
    """What the slices of a series share, as :func:`client.header.image_header` cleans it; None without series."""
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
        _padding(said.padding, said.signed_padding, said.sign, explicit=syntax != IMPLICIT),
        _padding(said.limit, said.signed_limit, said.sign, explicit=syntax != IMPLICIT),
        number(said.tilt),
        positive(said.kvp),
        _says_contrast(said),
        _is_computed(said, image_type),
        _holds_hu(said, image_type),
        text(said.frame_of_reference),
    )
    return sop_class, before, after


def _says_contrast(said: Said) -> bool:
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


def _is_computed(said: Said, image_type: tuple[str, ...]) -> bool:
    description = words(said.description)
    if said.codes and may_be_recompressed(image_type, description):
        raise Unusual
    lossy, ratio = words(said.lossy)[:1] == ("01",), largest(words(said.ratio))
    return is_computed(image_type, lossy=lossy, ratio=ratio, description=description)


def _holds_hu(said: Said, image_type: tuple[str, ...]) -> bool:
    rescale_type = text(said.rescale_type).upper()
    if said.processing or said.characteristics:
        raise Unusual
    return holds_hu(rescale_type, image_type)


def syntax_of(said: bytes) -> str:
    """The transfer syntax, if it is one that a glance can follow."""
    syntax = text(said)
    if syntax != IMPLICIT and _EXPLICIT.fullmatch(syntax) is None:
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
