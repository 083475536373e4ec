"""Values of a pydicom data set, cleaned of everything a hostile or careless writer can put into them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from pydicom import Dataset

LONGEST_TEXT = 256
MOST_WORDS = 32
MOST_NUMBERS = 6
LARGEST_NUMBER = 1e6
SECONDS_A_DAY = 86_400.0

# As these functions clean values, and as the process that asked for them checks what it is told.
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Words = Annotated[tuple[Text, ...], Field(max_length=MOST_WORDS)]
Number = Annotated[float, Field(gt=-LARGEST_NUMBER, lt=LARGEST_NUMBER, allow_inf_nan=False)]
Integer = Annotated[int, Field(gt=-LARGEST_NUMBER, lt=LARGEST_NUMBER)]
Vector = Annotated[tuple[Number, ...], Field(max_length=MOST_NUMBERS)]
TimeOfDay = Annotated[float, Field(ge=0, lt=SECONDS_A_DAY, allow_inf_nan=False)]

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):?([0-5][0-9]):?([0-5][0-9]|60)(\.[0-9]{1,6})?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,9}")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def values(dataset: Dataset, keyword: str) -> list[Any]:
    """Every value of an element; none if it is absent, empty or bytes."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, bytes) or value == "":
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)


def text(dataset: Dataset, keyword: str) -> str:
    """The first value as text without space around it; empty if absent."""
    found = values(dataset, keyword)
    return _clean(found[0]).strip()[:LONGEST_TEXT] if found else ""


def word(dataset: Dataset, keyword: str) -> str:
    """The first value in upper case, without space around it; empty if absent."""
    return text(dataset, keyword).upper()[:LONGEST_TEXT]


def words(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Every value in upper case, without space around it."""
    return tuple(_clean(value).strip().upper()[:LONGEST_TEXT] for value in values(dataset, keyword)[:MOST_WORDS])


def vector(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Every value as a number; empty if one of them is none, or if they are more than six."""
    try:
        found = values(dataset, keyword)
    except (TypeError, ValueError):
        return ()
    return numbers(found, MOST_NUMBERS)


def numbers(found: list[Any], most: int) -> tuple[float, ...]:
    """Values as numbers; empty if one of them is none below a million, or if they are more than so many."""
    try:
        converted = tuple(float(value) for value in found)
    except (TypeError, ValueError):
        return ()
    possible = len(converted) <= most and all(abs(value) < LARGEST_NUMBER for value in converted)
    return converted if possible else ()


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a number."""
    found = vector(dataset, keyword)
    return found[0] if found else None


def positive(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a number above zero."""
    found = number(dataset, keyword)
    return found if found is not None and found > 0 else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The first value as a whole number."""
    found = number(dataset, keyword)
    return None if found is None else int(found)


def said_words(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Every value as it is written, in upper case, without space around it: no value is damaged, none converted."""
    element = dataset.get_item(keyword) if keyword in dataset else None
    value = None if element is None else element.value
    if isinstance(value, bytes):
        written = value.decode("latin-1").rstrip("\0 ")
        found = written.split("\\") if written else []
    else:
        found = [_clean(part) for part in values(dataset, keyword)]
    return tuple(word.strip().upper()[:LONGEST_TEXT] for word in found[:MOST_WORDS])


def said(dataset: Dataset, keyword: str) -> str:
    """The first value as it is written; empty if absent."""
    return next(iter(said_words(dataset, keyword)), "")


def whole_number(written: str) -> int | None:
    """A whole number below a million, or None."""
    found = int(written) if _WHOLE.fullmatch(written) else None
    return found if found is not None and abs(found) < LARGEST_NUMBER else None


def largest(written: tuple[str, ...]) -> float | None:
    """The largest of the values that are numbers, or None."""
    return max((float(value) for value in written if _DECIMAL.fullmatch(value)), default=None)


def time_of_day_s(written: str) -> float | None:
    """Seconds since midnight of a DICOM time (PS3.5 6.2, TM) of at least hours, minutes and seconds, or None."""
    clock = _CLOCK.fullmatch(written)
    if clock is None:
        return None
    hours, minutes, seconds, fraction = clock.groups()
    return min(3600.0 * int(hours) + 60.0 * int(minutes) + int(seconds) + float(fraction or 0), SECONDS_A_DAY - 1e-6)


def _clean(value: object) -> str:
    """A value as text that every encoding can hold."""
    return str(value).encode("utf-8", "replace").decode()
