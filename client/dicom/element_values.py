"""Values of elements, cleaned as :mod:`client.header.data_set_values` cleans what pydicom gives; odd ones are unusual.

Values are bytes as written, empty where absent. Each function raises ``Unusual`` for what a full reader has to judge.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import Final

from client.dicom.element_walk import Unusual
from client.header import LARGEST_NUMBER, LONGEST_TEXT, MOST_NUMBERS, MOST_WORDS

UNSIGNED: Final = Struct("<H")
SIGNED: Final = Struct("<h")
_TEXT: Final = re.compile(rb"[ -~]*\0*")
_DECIMAL: Final = rb" *[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *"
_DECIMALS: Final = re.compile(rb"%b(?:\\%b)*\0*" % (_DECIMAL, _DECIMAL))
_INTEGER: Final = re.compile(rb" *[+-]?[0-9]+ *\0*")
_LONGEST_NUMBERS: Final = 256


def _ascii(said: bytes) -> str:
    if _TEXT.fullmatch(said) is None:
        raise Unusual
    return said.rstrip(b"\0 ").decode("ascii")


def text(said: bytes) -> str:
    """The first value as text without space around it."""
    return _ascii(said).partition("\\")[0].strip()[:LONGEST_TEXT]


def words(said: bytes) -> tuple[str, ...]:
    """Every value in upper case."""
    words = _ascii(said)
    return tuple(word.strip().upper()[:LONGEST_TEXT] for word in words.split("\\")[:MOST_WORDS]) if words else ()


def vector(said: bytes) -> tuple[float, ...]:
    """Every value as a number; empty if they are more than six, or one is no number below a million."""
    if not said:
        return ()
    if len(said) > _LONGEST_NUMBERS or _DECIMALS.fullmatch(said) is None:
        raise Unusual
    numbers = tuple(map(float, said.rstrip(b"\0").split(b"\\")))
    if len(numbers) > MOST_NUMBERS or max(numbers) >= LARGEST_NUMBER or min(numbers) <= -LARGEST_NUMBER:
        return ()
    return numbers


def number(said: bytes) -> float | None:
    """The first value as a number."""
    numbers = vector(said)
    return numbers[0] if numbers else None


def positive(said: bytes) -> float | None:
    """The first value as a number above zero."""
    found = number(said)
    return found if found is not None and found > 0 else None


def integer(said: bytes) -> int | None:
    """The only value as a whole number below a million."""
    if not said:
        return None
    if _INTEGER.fullmatch(said) is None or len(said) > _LONGEST_NUMBERS:
        raise Unusual
    whole = int(said.rstrip(b"\0"))
    return whole if abs(whole) < LARGEST_NUMBER else None


def binary(said: bytes, form: Struct = UNSIGNED) -> int | None:
    """The only value of two bytes."""
    if not said:
        return None
    if len(said) != form.size:
        raise Unusual
    return int(form.unpack(said)[0])
