"""From element to element in a little-endian data set, in steps of known length; only what is wanted is copied."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct, error
from typing import Final, final

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
DEEPEST_NESTING: Final = 8
# Stands in the slot of a wanted sequence that has items; what is in them only a full reader can say.
PRESENT: Final = b"\1"
SEQUENCE: Final = b"SQ"
MOST_STEPS: Final = 4096

PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"
CHARACTER_SET: Final = b"\x08\x00\x05\x00"
_ITEM: Final = b"\xfe\xff\x00\xe0"
_ITEM_END: Final = b"\xfe\xff\x0d\xe0"
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0"
_META_LENGTH: Final = b"\x02\x00\x00\x00"
# Commands, file information, functional groups, pixels of other kinds and delimiters: not in a slice's data set.
_FOREIGN_GROUPS: Final = frozenset([b"\x00\x00", b"\x02\x00", b"\x00\x52", b"\xe0\x7f", b"\xfe\xff"])
_SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_WORD: Final = Struct("<L")
_HALF: Final = Struct("<H")

# Sequences of undefined length that implicit data sets of CT hold: without a VR only a dictionary can know them.
KNOWN_SEQUENCES: Final = frozenset(
    {
        *(0x00081032, 0x00081049, 0x00081052, 0x00081072, 0x00081084, 0x00081110, 0x00081111, 0x00081115, 0x00081120),
        *(0x00081140, 0x00081199, 0x0008103F, 0x00082112, 0x00082218, 0x00089215, 0x00101002, 0x00120064, 0x00180012),
        *(0x00180014, 0x00189346),
        *(0x00321064, 0x00400008, 0x00400100, 0x00400260, 0x00400275, 0x00400555, 0x0040A170, 0x00880200),
    }
)

# Every one of them reads printable ASCII as ASCII as long as nothing escapes.
CHARACTER_SETS: Final = frozenset(
    {
        *("", "ISO_IR 6", "GB18030", "GBK", "ISO 2022 GBK", "ISO 2022 58"),
        *(f"ISO_IR {n}" for n in (13, 100, 101, 109, 110, 126, 127, 138, 144, 148, 166, 192)),
        *(f"ISO 2022 IR {n}" for n in (6, 13, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 159, 166)),
    }
)


class Unusual(Exception):
    """Bytes that only a full reader can judge."""


@final
class ElementWalk:
    """Walks the top level of data sets that are written one way, faster where element headers recur.

    Args:
        wanted: slots of the wanted elements by tag and VR, each as written; the VR is empty if none is written. Of a
            wanted sequence the slot says whether it has items.
        explicit: whether VRs are written.
        group: the group that is walked, as written: the walk ends at the first element of another; None walks a data
            set up to its pixel data.
    """

    def __init__(self, wanted: Mapping[bytes, Mapping[bytes, int]], *, explicit: bool, group: bytes | None) -> None:
        self._wanted = wanted
        self._explicit = explicit
        self._group = group
        # By the eight bytes an element starts with: how far to the next element; for wanted ones the slot as well.
        self._steps: dict[bytes, int] = {}
        self._takes: dict[bytes, tuple[int, int]] = {}

    def take(self, data: bytes, place: int, values: list[bytes]) -> int:
        """Put the values of wanted elements into their slots; the place of the element that ended the walk.

        Args:
            data: a whole file, or its beginning.
            place: where the first element starts.
            values: one for each slot; of an element that occurs twice the last value stays.

        Raises:
            Unusual: if an element is not as expected, or reaches beyond the data.
        """
        steps, takes = self._steps.get, self._takes.get
        while True:
            head = data[place : place + 8]
            step = steps(head)
            if step is not None:
                place += step
                continue
            taken = takes(head)
            if taken is not None:
                slot, step = taken
                values[slot] = data[place + 8 : place + step]
                place += step
            elif self._ends(data, place, head):
                return place
            else:
                place = self._learned(data, place, head, values)

    def _ends(self, data: bytes, place: int, head: bytes) -> bool:
        if len(head) < 8:
            if place != len(data) or self._group is not None:
                raise Unusual
            return True
        if self._group is not None:
            return head[:2] != self._group
        if head[:4] != PIXEL_DATA:
            return False
        if self._explicit and (head[4:6] not in (b"OB", b"OW") or place + 12 > len(data)):
            raise Unusual
        return True

    def _learned(self, data: bytes, place: int, head: bytes, values: list[bytes]) -> int:
        """Remember a header of fixed length, to be met again at this place, or pass any other element."""
        tag, group = head[:4], head[:2]
        if tag == CHARACTER_SET:
            return self._past_character_set(data, place, head)
        if (group in _FOREIGN_GROUPS and group != self._group) or tag == _META_LENGTH:
            raise Unusual
        wanted = self._wanted.get(tag)
        if self._explicit and head[4:6] in _LONG_VRS:
            end = _past_long(data, place, head)
            return (
                end
                if wanted is None
                else _noted(wanted, head[4:6], end > place + 12 + _tail(data, place + 8), end, values)
            )
        if not self._explicit and head[4:] == b"\xff\xff\xff\xff":
            end = _past_unlabelled(data, place, tag, 0)
            return end if wanted is None else _noted(wanted, SEQUENCE, end > place + 16, end, values)
        step = _fixed_step(head, explicit=self._explicit)
        if wanted is None:
            _make_room(self._steps)
            self._steps[head] = step
        else:
            slot = wanted.get(head[4:6] if self._explicit else b"")
            if slot is None:
                raise Unusual
            _make_room(self._takes)
            self._takes[head] = slot, step
        return place

    def _past_character_set(self, data: bytes, place: int, head: bytes) -> int:
        if self._group or (self._explicit and head[4:6] != b"CS"):
            raise Unusual
        end = place + _fixed_step(head, explicit=self._explicit)
        names = data[place + 8 : end].decode("latin-1").rstrip(" \0").split("\\")
        if end > len(data) or not CHARACTER_SETS.issuperset(names):
            raise Unusual
        return end


def _noted(wanted: Mapping[bytes, int], kind: bytes, has_items: bool, end: int, values: list[bytes]) -> int:
    """Note whether a wanted sequence has items; the place after it."""
    if kind != SEQUENCE or kind not in wanted:
        raise Unusual
    values[wanted[kind]] = PRESENT if has_items else b""
    return end


def _tail(data: bytes, place: int) -> int:
    """Bytes of the delimiter that ends a sequence whose length is written at a place."""
    return 8 if _word(data, place) == UNDEFINED_LENGTH else 0


def _make_room(known: dict[bytes, int] | dict[bytes, tuple[int, int]]) -> None:
    # Hostile files could otherwise fill the memory with headers that never recur.
    if len(known) >= MOST_STEPS:
        known.clear()


def _fixed_step(head: bytes, *, explicit: bool) -> int:
    """Bytes from one element to the next, for a header of eight bytes."""
    if not explicit:
        return 8 + int(_WORD.unpack_from(head, 4)[0])
    if head[4:6] not in _SHORT_VRS:
        raise Unusual
    return 8 + int(_HALF.unpack_from(head, 6)[0])


def _past_long(data: bytes, place: int, head: bytes, depth: int = 0) -> int:
    """Past an explicit element whose length has four bytes."""
    length = _word(data, place + 8)
    if length != UNDEFINED_LENGTH:
        return place + 12 + length
    if head[4:6] != b"SQ":
        raise Unusual
    return _past_items(data, place + 12, depth, explicit=True)


def _past_unlabelled(data: bytes, place: int, tag: bytes, depth: int) -> int:
    """Past an implicit element of undefined length: private, or known to be a sequence."""
    private = tag[0] & 1 and data[place + 8 : place + 12] == _ITEM
    if not private and (int(_HALF.unpack(tag[:2])[0]) << 16 | int(_HALF.unpack(tag[2:])[0])) not in KNOWN_SEQUENCES:
        raise Unusual
    return _past_items(data, place + 8, depth, explicit=False)


def _past_items(data: bytes, place: int, depth: int, *, explicit: bool) -> int:
    """Past the items of a sequence of undefined length, and its end."""
    if depth >= DEEPEST_NESTING:
        raise Unusual
    while True:
        tag, length = data[place : place + 4], _word(data, place + 4)
        place += 8
        if tag == _SEQUENCE_END and length == 0:
            return place
        if tag != _ITEM:
            raise Unusual
        end = None if length == UNDEFINED_LENGTH else place + length
        place = _past_item(data, place, end, depth, explicit=explicit)


def _past_item(data: bytes, place: int, end: int | None, depth: int, *, explicit: bool) -> int:
    """Past the elements of an item: up to its end exactly, or past its delimiter."""
    while place != end:
        head = data[place : place + 8]
        if len(head) < 8 or (end is not None and place > end) or head[:4] == CHARACTER_SET:
            raise Unusual
        if head[:2] == b"\xfe\xff":
            if head[:4] != _ITEM_END or end is not None:
                raise Unusual
            return place + 8
        if explicit and head[4:6] in _LONG_VRS:
            place = _past_long(data, place, head, depth + 1)
        elif not explicit and head[4:] == b"\xff\xff\xff\xff":
            place = _past_unlabelled(data, place, head[:4], depth + 1)
        else:
            place += _fixed_step(head, explicit=explicit)
    return place


def _word(data: bytes, place: int) -> int:
    try:
        return int(_WORD.unpack_from(data, place)[0])
    except error as short:
        raise Unusual from short
