"""Mutations that know DICOM, and blind ones. Each takes bytes and a source of chance, and gives bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from random import Random

from tests.fuzz.elements import UNDEFINED, Element, elements

Mutation = Callable[[bytes, Random], bytes]

LARGEST_BYTES = 4 << 20
_BOMB_BYTES = 256 << 20
_ITEM, _ITEM_END, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_PIXELS = (0x7FE0, 0x0010)
_NUMBERS = {
    (0x0028, 0x0002), (0x0028, 0x0006), (0x0028, 0x0010), (0x0028, 0x0011), (0x0028, 0x0100), (0x0028, 0x0101),
    (0x0028, 0x0102), (0x0028, 0x0103), (0x0028, 0x0120), (0x0028, 0x0121),
}  # fmt: skip
_TEXTS = {
    (0x0008, 0x0005), (0x0008, 0x0008), (0x0008, 0x0016), (0x0008, 0x0060), (0x0010, 0x0020), (0x0018, 0x0010),
    (0x0018, 0x0050), (0x0018, 0x0060), (0x0020, 0x000D), (0x0020, 0x000E), (0x0020, 0x0013), (0x0020, 0x0032),
    (0x0020, 0x0037), (0x0028, 0x0004), (0x0028, 0x0008), (0x0028, 0x0030), (0x0028, 0x1052), (0x0028, 0x1053),
}  # fmt: skip
_HOSTILE_NUMBERS = (0, 1, 2, 3, 7, 8, 12, 15, 16, 17, 31, 32, 33, 64, 255, 256, 2048, 2049, 16384, 32767, 32768, 65535)
_HOSTILE_TEXTS = (
    b"", b" ", b"\0\0", b"nan", b"inf", b"-inf", b"1e400", b"-1e-400", b"0", b"-0", b"1" * 400, b"\\" * 40, b"1\\2",
    b"1\\2\\3\\4\\5\\6\\7\\8", b"0x10", b"1_000", "\u0661\u0662".encode(), b"\xff\xfe\xfd", b"\x1b$B\x1b(B",
    b"../../etc", b"999999999999", b"-1", b"2147483648", b"CT\nINJECTED", b"<script>", b"%s%n", b"1.2.3." + b"9" * 80,
)  # fmt: skip
_CHARSETS = (
    b"ISO_IR 192",
    b"GB18030 ",
    b"ISO 2022 IR 87",
    b"\\ISO 2022 IR 149",
    b"NO SUCH ",
    b"ISO_IR 13",
    b"\\\\\\\\",
)
_SYNTAXES = (
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51", b"1.2.840.10008.1.2.4.57", b"1.2.840.10008.1.2.4.70",
    b"1.2.840.10008.1.2.4.80", b"1.2.840.10008.1.2.4.81", b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.91",
    b"1.2.840.10008.1.2.4.100", b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.5", b"1.2.3", b"",
)  # fmt: skip
_VRS = (b"SQ", b"UN", b"OB", b"OW", b"OF", b"US", b"SS", b"UL", b"FD", b"DS", b"IS", b"UI", b"PN", b"AT", b"UT", b"ZZ")


def flip_bytes(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 16)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def flip_header_bits(content: bytes, rng: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(min(len(changed), 2000))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(1, len(content) + 1)]


def remove_span(content: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randint(1, 64) :]


def insert_span(content: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + rng.choice((rng.randbytes(rng.randint(1, 64)), b"\xff" * 8, bytes(12))) + content[start:]


def repeat_span(content: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(content))
    span = content[start : start + rng.randint(1, 200)]
    return content[:start] + span * rng.randint(2, 20) + content[start + len(span) :]


def duplicate_element(content: bytes, rng: Random) -> bytes:
    one = _any(content, rng)
    return content if one is None else content[: one.end] + content[one.start : one.end] + content[one.end :]


def remove_element(content: bytes, rng: Random) -> bytes:
    one = _any(content, rng)
    return content if one is None else content[: one.start] + content[one.end :]


def move_element(content: bytes, rng: Random) -> bytes:
    one, other = _any(content, rng), _any(content, rng)
    if one is None or other is None or other.start < one.end:
        return content
    moved = content[one.start : one.end]
    return content[: one.start] + content[one.end : other.start] + moved + content[other.start :]


def wrong_length(content: bytes, rng: Random) -> bytes:
    one = _any(content, rng)
    if one is None:
        return content
    length = int.from_bytes(content[one.length_at : one.value_at], "little")
    wrong = rng.choice(
        (0, 1, length + 1, length - 1, length + 2, length * 2, 0xFFFF, 0x7FFFFFFF, UNDEFINED, 0xFFFFFFFE)
    )
    return _replaced(content, one.length_at, (wrong % 256**one.length_bytes).to_bytes(one.length_bytes, "little"))


def wrong_vr(content: bytes, rng: Random) -> bytes:
    explicit = [element for element in elements(content) if element.vr_at is not None]
    if not explicit:
        return content
    return _replaced(content, rng.choice(explicit).vr_at or 0, rng.choice(_VRS))


def wrong_tag(content: bytes, rng: Random) -> bytes:
    one = _any(content, rng)
    if one is None:
        return content
    group, number = rng.choice(
        sorted(_NUMBERS | _TEXTS | {_PIXELS, (0x0029, 0x1010), (0x0009, 0x0010), (0xFFFE, 0xE000)})
    )
    return _replaced(content, one.start, struct.pack("<HH", group, number))


def wrong_number(content: bytes, rng: Random) -> bytes:
    chosen = [element for element in elements(content) if element.tag in _NUMBERS]
    if not chosen:
        return content
    return _replaced(content, rng.choice(chosen).value_at, struct.pack("<H", rng.choice(_HOSTILE_NUMBERS)))


def wrong_text(content: bytes, rng: Random) -> bytes:
    return _with_value(content, rng, _TEXTS, rng.choice(_HOSTILE_TEXTS))


def wrong_frames(content: bytes, rng: Random) -> bytes:
    frames = rng.choice((b"0", b"-1", b"2", b"40", b"100000", b"2147483647", b"4294967296", b"1\\2", b"x"))
    changed = _with_value(content, rng, {(0x0028, 0x0008)}, frames)
    if changed != content:
        return changed
    return _inserted(content, (0x0028, 0x0008), b"IS", frames)


def other_charset(content: bytes, rng: Random) -> bytes:
    changed = _with_value(content, rng, {(0x0008, 0x0005)}, rng.choice(_CHARSETS))
    return _with_value(changed, rng, {(0x0010, 0x0020), (0x0008, 0x0070)}, rng.randbytes(12))


def swap_syntax(content: bytes, rng: Random) -> bytes:
    return _with_value(content, rng, {(0x0002, 0x0010)}, rng.choice(_SYNTAXES))


def nested_sequences(content: bytes, rng: Random) -> bytes:
    depth = rng.choice((2, 20, 70, 200, 1200, 5000))
    tag = struct.pack("<HH", 0x0008, rng.choice((0x1140, 0x1115, 0x1032)))
    undefined = struct.pack("<I", UNDEFINED)
    opening = (tag + b"SQ\0\0" + undefined + _ITEM + undefined) * depth
    closing = (_ITEM_END + bytes(4) + _SEQUENCE_END + bytes(4)) * (
        depth if rng.random() < 0.7 else rng.randint(0, depth)
    )
    one = _any(content, rng)
    place = one.start if one else len(content) // 2
    return content[:place] + opening + closing + content[place:]


def long_sequence(content: bytes, rng: Random) -> bytes:
    items = (_ITEM + bytes(4)) * rng.choice((10, 1000, 50_000))
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, len(items)) + items
    one = _any(content, rng)
    place = one.start if one else len(content) // 2
    return content[:place] + sequence + content[place:]


def private_block(content: bytes, rng: Random) -> bytes:
    group = rng.choice((0x0009, 0x0019, 0x0029, 0x7FE1, 0x0001, 0x0003))
    value = rng.randbytes(rng.randint(0, 40) * 2)
    header = struct.pack("<HH2sHI", group, 0x1010, rng.choice((b"UN", b"OB", b"SQ", b"UT")), 0, len(value))
    creator = struct.pack("<HH2sH", group, 0x0010, b"LO", 8) + b"FUZZER  "
    one = _any(content, rng)
    place = one.start if one else len(content)
    return content[:place] + rng.choice((creator, b"")) + header + value + content[place:]


def broken_fragments(content: bytes, rng: Random) -> bytes:
    """Items of encapsulated pixel data: lengths, table of offsets, delimiters, and what is inside the code stream."""
    at = content.rfind(struct.pack("<HH", *_PIXELS))
    items = [place for place in _places(content, _ITEM) if place > at > 0]
    if not items:
        return content
    place = rng.choice(items)
    kind = rng.randrange(6)
    if kind == 0:
        return _replaced(content, place + 4, struct.pack("<I", rng.choice((0, 1, 7, 0x10000, UNDEFINED, 0x7FFFFFFF))))
    if kind == 1:
        return content[:place] + content[place + 8 :]
    if kind == 2:
        return content[:place] + _ITEM + struct.pack("<I", 4) + rng.randbytes(4) + content[place:]
    if kind == 3:
        return content.replace(_SEQUENCE_END + bytes(4), b"", 1)
    if kind == 4:
        return content[:place] + (_ITEM + bytes(4)) * rng.choice((3, 300, 30_000)) + content[place:]
    changed = bytearray(content)
    for _ in range(rng.randint(1, 12)):
        # The first bytes after an item's header hold the coder's own header: sizes, depths, tables.
        changed[min(place + 8 + rng.randrange(120), len(changed) - 1)] = rng.choice(
            (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))
        )
    return bytes(changed)


def deflated(content: bytes, rng: Random) -> bytes:
    """The data set deflated as it is, broken, or padded to a bomb."""
    begin = _data_set_start(content)
    if begin is None:
        return content
    meta = _with_value(content[:begin], rng, {(0x0002, 0x0010)}, b"1.2.840.10008.1.2.1.99")
    packer = zlib.compressobj(9, wbits=-15)
    packed = packer.compress(content[begin:])
    kind = rng.random()
    if kind < 0.08:
        # An element that fills a whole quarter of a gibibyte with zeros.
        packed += packer.compress(struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, _BOMB_BYTES))
        packed += packer.flush(zlib.Z_FULL_FLUSH) + _packed_zeros()
    packed += packer.flush()
    if kind > 0.6:
        packed = flip_bytes(packed, rng) if kind > 0.8 else truncate(packed, rng)
    return meta + packed


@lru_cache(maxsize=1)
def _packed_zeros() -> bytes:
    packer = zlib.compressobj(9, wbits=-15)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(_BOMB_BYTES >> 20))
    return zeros + packer.flush(zlib.Z_FULL_FLUSH)


def damaged_meta(content: bytes, rng: Random) -> bytes:
    kind = rng.randrange(5)
    if kind == 0:
        return content[132:]
    if kind == 1:
        return content[rng.randrange(1, 132) :]
    if kind == 2:
        return _replaced(content, 140, rng.randbytes(4))
    if kind == 3:
        begin = _data_set_start(content)
        return content if begin is None else content[:132] + content[begin:]
    return content[:128] + b"DICM" * 3 + content[132:]


def junk_behind(content: bytes, rng: Random) -> bytes:
    return content + rng.choice((rng.randbytes(50), bytes(3000), content, b"\xff" * 100))


BLIND: tuple[Mutation, ...] = (flip_bytes, flip_header_bits, truncate, remove_span, insert_span, repeat_span)
AIMED: tuple[Mutation, ...] = (
    duplicate_element, remove_element, move_element, wrong_length, wrong_length, wrong_vr, wrong_tag, wrong_number,
    wrong_number, wrong_text, wrong_text, wrong_frames, other_charset, swap_syntax, nested_sequences, long_sequence,
    private_block, broken_fragments, broken_fragments, deflated, damaged_meta, junk_behind,
)  # fmt: skip


def mutated(content: bytes, rng: Random) -> tuple[bytes, list[str]]:
    """One to four mutations, aimed more often than blind, and their names; at most 4 MiB and never empty."""
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        mutation = rng.choice(AIMED if rng.random() < 0.75 else BLIND)
        changed = mutation(content, rng)
        if 0 < len(changed) <= LARGEST_BYTES:
            content = changed
            names.append(mutation.__name__)
    return content, names


def _any(content: bytes, rng: Random) -> Element | None:
    found = elements(content)
    return rng.choice(found) if found else None


def _replaced(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


def _with_value(content: bytes, rng: Random, tags: set[tuple[int, int]], value: bytes) -> bytes:
    """Another value for one of the elements with these tags, with its length, padded to an even one."""
    chosen = [element for element in elements(content) if element.tag in tags]
    if not chosen:
        return content
    one = rng.choice(chosen)
    value += b" " * (len(value) % 2)
    length = len(value).to_bytes(one.length_bytes, "little")
    return content[: one.length_at] + length + value + content[one.end :]


def _inserted(content: bytes, tag: tuple[int, int], vr: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    found = elements(content)
    after = next((element for element in found if element.tag > tag), None)
    if after is None:
        return content
    if after.vr_at is None:
        header = struct.pack("<HHI", *tag, len(value))
    else:
        header = struct.pack("<HH2sH", *tag, vr, len(value))
    return content[: after.start] + header + value + content[after.start :]


def _data_set_start(content: bytes) -> int | None:
    found = [element for element in elements(content) if element.tag[0] == 0x0002]
    return found[-1].end if found and content[128:132] == b"DICM" else None


def _places(content: bytes, wanted: bytes) -> list[int]:
    found, place = [], content.find(wanted)
    while place >= 0:
        found.append(place)
        place = content.find(wanted, place + 1)
    return found
