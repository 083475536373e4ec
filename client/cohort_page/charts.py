"""What the page draws: bars of counts, and one dot per case on the scale of a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from client.case import CaseFacts
from client.cohort import LIKENESS, Figure, FigureTable, kvp_band, spacing_band

STRIP_WIDTH = 400.0
STRIP_MARGIN = 8.0


@final
@dataclass(frozen=True)
class Bar:
    """A count; ``share`` is of the largest count beside it."""

    label: str
    count: int
    share: float


@final
@dataclass(frozen=True)
class Strip:
    """A figure over all cases.

    Attributes:
        figure: the figure.
        dots: place of each case, 0 to STRIP_WIDTH, and whether it is outside what is expected.
        band: first and last place of what is expected.
        least, median, greatest: over the cases.
        expected: in words.
        outside: cases outside what is expected.
    """

    figure: Figure
    dots: tuple[tuple[float, bool], ...]
    band: tuple[float, float]
    least: float
    median: float
    greatest: float
    expected: str
    outside: int


def bars(counts: Counter[str]) -> list[Bar]:
    """Bars, largest count first."""
    largest = max(counts.values(), default=1)
    return [Bar(label, count, count / largest) for label, count in counts.most_common()]


def scanner_bars(cases: Sequence[CaseFacts]) -> list[tuple[str, list[Bar]]]:
    """Cases by vendor, tube voltage and distance between slices, each with its heading."""
    return [
        ("Scanner", bars(Counter(facts.manufacturer for facts in cases))),
        ("Tube voltage", bars(Counter(kvp_band(facts.kvp) for facts in cases))),
        ("Slice distance", bars(Counter(spacing_band(facts.slice_mm) for facts in cases))),
    ]


def strips(table: FigureTable) -> list[Strip]:
    """One strip per figure; none without cases, and none of a likeness that was not looked for."""
    shown = [figure for figure in table.figures if figure.field != LIKENESS or any(case.like for case in table.cases)]
    return (
        [_strip(figure, np.array([figure.of(case) for case in table.cases])) for figure in shown] if table.cases else []
    )


def _strip(figure: Figure, values: np.ndarray) -> Strip:
    limits = [limit for limit in (figure.low, figure.high) if np.isfinite(limit)]
    low, high = min([*values, *limits]), max([*values, *limits])
    # A scale without width would divide by nothing.
    width = max(high - low, figure.least_spread)

    def place(value: float) -> float:
        clipped = min(max(value, low), low + width)
        return round(STRIP_MARGIN + (STRIP_WIDTH - 2 * STRIP_MARGIN) * float((clipped - low) / width), 1)

    outside = [bool(not figure.low <= value <= figure.high) for value in values]
    return Strip(
        figure=figure,
        dots=tuple((place(value), bad) for value, bad in zip(values, outside, strict=True)),
        band=(place(figure.low), place(figure.high)) if limits else (0.0, 0.0),
        least=float(values.min()),
        median=float(np.median(values)),
        greatest=float(values.max()),
        expected=" to ".join(_limit(limits, figure)),
        outside=sum(outside),
    )


def _limit(limits: Iterable[float], figure: Figure) -> list[str]:
    known = [f"{limit:g}" for limit in limits]
    if len(known) == 2 or not known:
        return known
    return [f"at least {known[0]}" if np.isfinite(figure.low) else f"at most {known[0]}"]
