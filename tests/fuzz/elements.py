"""Finds the elements of a DICOM file roughly, so that mutations can aim at them; takes any bytes."""

from __future__ import annotations

from dataclasses import dataclass

_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UN", b"UT", b"UC", b"UR", b"SV", b"UV"})
_META = 132
_MOST = 500
UNDEFINED = 0xFFFFFFFF
_DELIMITERS = frozenset({(0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)})


@dataclass(frozen=True)
class Element:
    """Where an element lies.

    Attributes:
        start: its first byte.
        tag: group and element.
        vr_at: where its value representation stands, or None.
        length_at, length_bytes: where its length stands, and how wide.
        value_at: first byte of its value.
        end: first byte after it; after its header if it holds items.
    """

    start: int
    tag: tuple[int, int]
    vr_at: int | None
    length_at: int
    length_bytes: int
    value_at: int
    end: int


def elements(content: bytes) -> list[Element]:
    """Elements, items and fragments in the order of the file, those inside sequences too, as far as they make sense."""
    found: list[Element] = []
    place = _META if content[128:132] == b"DICM" else 0
    while place + 8 <= len(content) and len(found) < _MOST:
        element = _at(content, place)
        if element is None or element.end > len(content):
            break
        found.append(element)
        place = element.end
    return found


def _at(content: bytes, start: int) -> Element | None:
    tag = (
        int.from_bytes(content[start : start + 2], "little"),
        int.from_bytes(content[start + 2 : start + 4], "little"),
    )
    vr = content[start + 4 : start + 6]
    if tag not in _DELIMITERS and vr.isalpha() and vr.isupper():
        wide = vr in _LONG
        length_at, length_bytes = (start + 8, 4) if wide else (start + 6, 2)
        vr_at: int | None = start + 4
    else:
        length_at, length_bytes, vr_at = start + 4, 4, None
    value_at = length_at + length_bytes
    if value_at > len(content):
        return None
    length = int.from_bytes(content[length_at:value_at], "little")
    holds_items = length == UNDEFINED or vr == b"SQ" or (tag in _DELIMITERS and tag[1] != 0xE000)
    # Items of encapsulated pixel data hold bytes, all others hold elements.
    inside = holds_items or (tag == (0xFFFE, 0xE000) and _looks_like_elements(content, value_at))
    return Element(start, tag, vr_at, length_at, length_bytes, value_at, value_at if inside else value_at + length)


def _looks_like_elements(content: bytes, place: int) -> bool:
    group = int.from_bytes(content[place : place + 2], "little")
    return group in {0x0008, 0x0018, 0x0020, 0x0028, 0x0040} and content[place + 4 : place + 6].isupper()
