"""Which cases to look at first: figures far from the site's other cases, or outside what a head is expected to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from client.cohort import Figure, FigureTable, Pass

ROBUST_Z = 3.5
FEWEST_CASES = 5
_NORMAL_MAD = 0.6745


@final
@dataclass(frozen=True)
class Standing:
    """How a case stands among the others.

    Attributes:
        score: greatest robust z-score over 3.5; if a figure is outside what is expected, at least 1 and its share of
            the way to the limit.
        why: one line for each figure that makes it an outlier.
    """

    score: float
    why: tuple[str, ...]

    @property
    def is_outlier(self) -> bool:
        """Whether anything makes it one."""
        return bool(self.why)


def standings(table: FigureTable) -> list[Standing]:
    """How each case stands.

    The robust z-score of a figure is 0.6745 (x − median) / MAD over the site's cases (Iglewicz and Hoaglin, How to
    Detect and Handle Outliers, 1993), the MAD being at least the figure's least spread; beyond ±3.5 a case is an
    outlier. With fewer than five cases only the expected ranges count.
    """
    passes = {(figure.field, one.case): one for figure, found in table.passes for one in found}
    scores = [0.0] * len(table.cases)
    why: list[list[str]] = [[] for _ in table.cases]
    for figure in table.figures:
        values = np.array([figure.of(case) for case in table.cases])
        for index, (value, z) in enumerate(zip(values, _robust_z(values, figure), strict=True)):
            outside, passed = not figure.low <= value <= figure.high, passes.get((figure.field, index))
            nearness = 1.0 + (passed.share if passed else 0.0) if outside else 0.0
            scores[index] = max(scores[index], abs(z) / ROBUST_Z, nearness)
            if outside or abs(z) > ROBUST_Z:
                why[index].append(_reason(figure, value, z, passed, outside=outside))
    return [Standing(score, tuple(reasons)) for score, reasons in zip(scores, why, strict=True)]


def _robust_z(values: np.ndarray, figure: Figure) -> np.ndarray:
    if len(values) < FEWEST_CASES or not figure.compared:
        return np.zeros(len(values))
    away = values - np.median(values)
    z: np.ndarray = _NORMAL_MAD * away / max(float(np.median(np.abs(away))), figure.least_spread)
    return np.maximum(z, 0) if figure.rising else z


def _reason(figure: Figure, value: float, z: float, passed: Pass | None, *, outside: bool) -> str:
    said = f"{figure.label} {figure.with_unit(value)}"
    if outside:
        bound = f"at least {figure.low:g}" if value < figure.low else f"at most {figure.high:g}"
        said += f", expected {bound}"
    if passed is not None and passed.is_narrow:
        said += f", refused {'below' if value < figure.low else 'beyond'} {passed.limit:g}"
    return f"{said} (robust z {z:+.1f})" if abs(z) > ROBUST_Z else said
