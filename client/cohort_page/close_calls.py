"""The cases that passed narrowly as the page shows them: by figure, worst first, each with the picture that tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from client.cohort import LIKENESS, REASONS, Figure, FigureTable, Pass
from client.cohort_page.thumbnails import Thumbnail

# The worst of a figure; the others are marked among all cases.
MOST_SHOWN: Final = 6


@final
@dataclass(frozen=True)
class CloseCall:
    """A case that is near a limit.

    Attributes:
        place: of the case in the table.
        figure, limit: as shown, with the unit.
        share: of the way to the limit.
        verdict, reason: what it nearly was.
        beside: patient of the case that it is like, if that is the figure.
    """

    place: int
    figure: str
    limit: str
    share: float
    verdict: str
    reason: str
    beside: str


@final
@dataclass(frozen=True)
class CloseCalls:
    """The cases near the limit of one figure, worst first.

    Attributes:
        figure: the figure, with what to look at.
        shown: the worst of them.
        count: how many there are.
    """

    figure: Figure
    shown: tuple[CloseCall, ...]
    count: int

    def picture_of(self, pictures: Sequence[Thumbnail]) -> Thumbnail:
        """The picture of a case in which the figure shows."""
        return next(picture for picture in pictures if picture.title == self.figure.picture)


def close_calls(table: FigureTable) -> Iterator[CloseCalls]:
    """By figure, that with the worst case first; none where nothing passed narrowly."""
    for figure, passes in table.narrow:
        yield CloseCalls(figure, tuple(_call(figure, one, table) for one in passes[:MOST_SHOWN]), len(passes))


def nearest(table: FigureTable) -> tuple[Figure, CloseCall] | None:
    """The nearest to a limit that any case comes; None without cases."""
    figure, passes = table.passes[0]
    return (figure, _call(figure, passes[0], table)) if passes else None


def _call(figure: Figure, one: Pass, table: FigureTable) -> CloseCall:
    side = "at least" if one.limit < figure.low else "at most"
    return CloseCall(
        place=one.case,
        figure=figure.with_unit(one.value),
        limit=f"{side} {figure.with_unit(one.limit)}",
        share=one.share,
        verdict=one.verdict.value,
        reason=REASONS[one.verdict],
        beside=table.cases[one.case].like if figure.field == LIKENESS else "",
    )
