"""Which cases to look at first: figures far from the site's other cases, or outside what a head is expected to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from client.case import CaseFacts

ROBUST_Z = 3.5
FEWEST_CASES = 5
_NORMAL_MAD = 0.6745


@final
@dataclass(frozen=True)
class Figure:
    """A figure of a case that is compared among cases.

    Attributes:
        field: its name among the case's facts.
        label, unit: as shown.
        least_spread: the smallest scale that differences are measured by, so that equal cases give no outliers.
        low, high: what is expected of a head; infinite where nothing is.
        rising: whether only high values are suspicious.
        compared: whether being far from the other cases is suspicious; scanners differ, heads should not.
    """

    field: str
    label: str
    unit: str
    least_spread: float
    low: float = -np.inf
    high: float = np.inf
    rising: bool = False
    compared: bool = True

    def of(self, facts: CaseFacts) -> float:
        """The figure of a case."""
        return float(getattr(facts, self.field))


FIGURES = (
    Figure("air_hu", "air, 1st percentile", "HU", 8.0, -1060.0, -940.0),
    Figure("brain_median_hu", "brain, median", "HU", 3.0, 15.0, 60.0),
    Figure("bone_hu", "bone, 95th percentile", "HU", 80.0, 800.0, 2200.0),
    Figure("residual_hu", "residual to the template", "HU", 8.0, high=180.0, rising=True),
    Figure("orientation_margin", "margin of the recorded orientation", "", 0.05, 0.05, compared=False),
    Figure("pitch_deg", "pitch, chin up positive", "°", 4.0, -30.0, 30.0),
    Figure("turn_deg", "turn against the template", "°", 4.0, high=35.0, rising=True),
    Figure("tilt_deg", "gantry tilt", "°", 2.0, -30.0, 30.0, compared=False),
    Figure("slice_mm", "mean slice distance", "mm", 0.5, compared=False),
    Figure("coverage_mm", "scanned length", "mm", 10.0),
    Figure("brain_seen_share", "share of the brain scanned", "", 0.02, 0.98),
    Figure("shear_deg", "shear of the slices to the back", "°", 2.0, -4.0, 4.0),
    Figure("slant_deg", "shear of the slices to the left", "°", 2.0, -3.5, 3.5),
    Figure("step_mm", "greatest step between slices", "mm", 0.5, high=2.5, rising=True),
    Figure("cut_share", "share of slices cut by the field", "", 0.05, high=0.05, rising=True),
)


@final
@dataclass(frozen=True)
class Standing:
    """How a case stands among the others.

    Attributes:
        score: greatest robust z-score over 3.5, at least 1 if a figure is outside what is expected.
        why: one line for each figure that makes it an outlier.
    """

    score: float
    why: tuple[str, ...]

    @property
    def is_outlier(self) -> bool:
        """Whether anything makes it one."""
        return bool(self.why)


def standings(cases: Sequence[CaseFacts]) -> list[Standing]:
    """How each case stands.

    The robust z-score of a figure is 0.6745 (x − median) / MAD over the site's cases (Iglewicz and Hoaglin, How to
    Detect and Handle Outliers, 1993), the MAD being at least the figure's least spread; beyond ±3.5 a case is an
    outlier. With fewer than five cases only the expected ranges count.
    """
    scores = [0.0] * len(cases)
    why: list[list[str]] = [[] for _ in cases]
    for figure in FIGURES:
        values = np.array([figure.of(facts) for facts in cases])
        for index, (value, z) in enumerate(zip(values, _robust_z(values, figure), strict=True)):
            outside = not figure.low <= value <= figure.high
            scores[index] = max(scores[index], abs(z) / ROBUST_Z, float(outside))
            if outside or abs(z) > ROBUST_Z:
                why[index].append(_reason(figure, value, z, outside=outside))
    return [Standing(score, tuple(reasons)) for score, reasons in zip(scores, why, strict=True)]


def _robust_z(values: np.ndarray, figure: Figure) -> np.ndarray:
    if len(values) < FEWEST_CASES or not figure.compared:
        return np.zeros(len(values))
    away = values - np.median(values)
    z: np.ndarray = _NORMAL_MAD * away / max(float(np.median(np.abs(away))), figure.least_spread)
    return np.maximum(z, 0) if figure.rising else z


def _reason(figure: Figure, value: float, z: float, *, outside: bool) -> str:
    said = f"{figure.label} {value:g}{' ' if figure.unit not in ('', '°') else ''}{figure.unit}"
    if outside:
        bound = f"at least {figure.low:g}" if value < figure.low else f"at most {figure.high:g}"
        said += f", expected {bound}"
    return f"{said} (robust z {z:+.1f})" if abs(z) > ROBUST_Z else said
