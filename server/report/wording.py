"""Numbers, intervals, ranges and amounts as the report prints them, with true minus signs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from server.report.statistics import Interval

NONE = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: float | None, decimals: int = 0) -> str:
    """A number with fixed decimals; a dash where there is none."""
    if value is None:
        return NONE
    text = f"{value:.{decimals}f}"
    # Rounding may leave a negative zero.
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float | None, decimals: int = 0) -> str:
    """A difference with its sign."""
    text = number(value, decimals)
    return f"+{text}" if value is not None and float(f"{value:.{decimals}f}") > 0 else text


def significant(value: float) -> str:
    """Two significant digits without an exponent where that stays short: ``720``, ``0.0016``, ``9.0 × 10⁻⁶``."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(float(f"{value:.1e}"))))
    if -5 < power < 5:
        return number(round(value, 1 - power), max(1 - power, 0))
    return f"{number(value / 10.0**power, 1)} × 10{str(power).translate(_SUPERSCRIPT)}"


def interval(value: Interval | None, decimals: int = 0) -> str:
    """``[low, high]``."""
    return NONE if value is None else f"[{number(value.low, decimals)}, {number(value.high, decimals)}]"


def grouped(value: int) -> str:
    """An integer with its thousands set apart by narrow no-break spaces."""
    return f"{value:,}".replace(",", "\u202f")


def ranges(numbers: Iterable[int]) -> str:
    """Round numbers with runs joined: ``1, 3–5``."""
    runs = (list(run) for _, run in groupby(enumerate(sorted(set(numbers))), key=lambda pair: pair[1] - pair[0]))
    ends = [(run[0][1], run[-1][1]) for run in runs]
    return ", ".join(str(a) if a == b else f"{a}, {b}" if b == a + 1 else f"{a}–{b}" for a, b in ends)


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 site``, ``3 sites``."""
    return f"{grouped(count)} {noun if count == 1 else plural or f'{noun}s'}"


def amount(size_bytes: float) -> str:
    """Bytes in decimal units: ``12.4 MB``."""
    size, unit = float(size_bytes), 0
    while size >= 1000 and unit < len(_BYTE_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.{1 if unit else 0}f} {_BYTE_UNITS[unit]}"


def duration(seconds: float) -> str:
    """``42 s``, ``12 min``, ``3 h``, ``3 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
