"""Which cases passed narrowly: by each figure that is judged, how far a case is on the way to where it is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from client.archive import VerdictCode
from client.case import Case, Limit
from client.cohort.examination import Findings
from client.cohort.figures import Figure, Measured, figures_for, measured

# From here on a case passed narrowly: beyond half of the way from what is expected of a head to the limit.
NARROW_SHARE: Final = 0.5


@final
@dataclass(frozen=True)
class Pass:
    """How near a figure of a case is to its limit.

    Attributes:
        case: place of the case among those looked at.
        value: the figure.
        limit: the limit on its side.
        share: of the way from what is expected to the limit: 0 where all is as expected, 1 at the limit.
        verdict: on what lies beyond.
    """

    case: int
    value: float
    limit: float
    share: float
    verdict: VerdictCode

    @property
    def is_narrow(self) -> bool:
        """Whether it passed narrowly."""
        return self.share >= NARROW_SHARE


@final
@dataclass(frozen=True)
class FigureTable:
    """Every figure of every case, and how near each is to its limit.

    Attributes:
        figures: as shown.
        cases: the figures of each case.
        passes: by the figures that are judged, of each case, nearest its limit first; the nearest figure first.
    """

    figures: tuple[Figure, ...]
    cases: tuple[Measured, ...]
    passes: tuple[tuple[Figure, tuple[Pass, ...]], ...]

    @property
    def narrow(self) -> list[tuple[Figure, list[Pass]]]:
        """The passes that were narrow, worst first, by figure, that of the worst first."""
        kept = ((figure, [one for one in passes if one.is_narrow]) for figure, passes in self.passes)
        return [(figure, passes) for figure, passes in kept if passes]

    @property
    def narrow_counts(self) -> dict[str, int]:
        """Cases that passed narrowly, by the field of every figure that is judged."""
        return {figure.field: sum(one.is_narrow for one in passes) for figure, passes in self.passes}

    @property
    def narrow_cases(self) -> frozenset[int]:
        """Places of the cases that passed narrowly by any figure."""
        return frozenset(one.case for _, passes in self.narrow for one in passes)


def figure_table(findings: Findings, cases: Sequence[Case]) -> FigureTable:
    """The figures of an archive's cases.

    Args:
        findings: what the archive holds.
        cases: the accepted cases in the order of ``findings.cases``.
    """
    return held_against_limits(figures_for(findings.study.cohort), measured(findings, cases))


def held_against_limits(figures: Sequence[Figure], cases: Sequence[Measured]) -> FigureTable:
    """A table of measured cases."""
    judged = [figure for figure in figures if figure.look]
    passes = [(figure, tuple(sorted(_passes(figure, cases), key=lambda one: -one.share))) for figure in judged]
    passes.sort(key=lambda pair: -pair[1][0].share if pair[1] else 0.0)
    return FigureTable(tuple(figures), tuple(cases), tuple(passes))


def way_to_limit(figure: Figure, value: float, limit: Limit) -> tuple[float, float]:
    """The share of the way from what is expected of a head to the limit on a value's side, and that limit."""
    sides = []
    if math.isfinite(limit.low):
        sides.append(((figure.low - value) / (figure.low - limit.low), limit.low))
    if math.isfinite(limit.high):
        sides.append(((value - figure.high) / (limit.high - figure.high), limit.high))
    share, nearest = max(sides)
    return min(max(share, 0.0), 1.0), nearest


def _passes(figure: Figure, cases: Sequence[Measured]) -> Iterator[Pass]:
    for index, case in enumerate(cases):
        limit = case.limits.get(figure.field)
        if limit is not None:
            share, nearest = way_to_limit(figure, figure.of(case), limit)
            yield Pass(index, figure.of(case), nearest, share, limit.verdict)
