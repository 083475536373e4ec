"""The figures of a case: what is expected of a head, where its limit is, and what to look at between the two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np

from client.archive import VerdictCode
from client.case import FAR_OFF_RESIDUAL_HU, SUSPICIOUS_STEP_MM, Case, CaseFacts, Limit, limits_of
from client.cohort.examination import Findings
from client.cohort.likeness import ARE_TWO_HEADS, MAY_BE_ONE_HEAD, skull_pattern
from common.study import CohortSettings

LIKENESS: Final = "likeness"
# Beyond the shortest scanned length that a study takes.
SPARE_COVERAGE_MM: Final = 25.0


@final
@dataclass(frozen=True)
class Figure:
    """A figure of a case, which is compared among cases and held against a limit.

    Attributes:
        field: its name among the case's facts, or ``likeness``.
        label, unit: as shown.
        least_spread: the smallest scale that differences are measured by, so that equal cases give no outliers.
        low, high: what is expected of a head; infinite where nothing is. Every limit lies further out.
        rising: whether only high values are suspicious.
        compared: whether being far from the other cases is suspicious; scanners differ, heads should not.
        look: what to look at in a case that is near its limit; empty for a figure without one.
        picture: the picture in which that shows.
    """

    field: str
    label: str
    unit: str
    least_spread: float
    low: float = -math.inf
    high: float = math.inf
    rising: bool = False
    compared: bool = True
    look: str = ""
    picture: str = "sagittal, bone"

    def of(self, case: Measured) -> float:
        """The figure of a case."""
        return case.values[self.field]

    def with_unit(self, value: float) -> str:
        """A value of the figure as text, a minus sign as a hyphen."""
        return f"{value:g}{' ' if self.unit not in ('', '°') else ''}{self.unit}"


@final
@dataclass(frozen=True)
class Measured:
    """The figures of a case and the limits that they were held against, by the figures' fields.

    Attributes:
        values: one for each figure.
        limits: of those that are judged.
        like: pseudonym of the patient whose case it is most like, where that was compared.
    """

    values: Mapping[str, float]
    limits: Mapping[str, Limit]
    like: str = ""


_LEAN = "whether the head's back and face lean in the sagittal picture as no head does: a tilt told wrongly, or lost"
_FIGURES = (
    Figure("air_hu", "air, median", "HU", 8.0, -1060.0, -940.0, look="whether a converter changed the rescale"),
    Figure(
        "wrapped_share", "signs of values that wrapped around", "", 0.1, high=0.25, rising=True, compared=False,
        look="metal and what is beside it: bone, brain or a hole that is none", picture="axial, bone",
    ),
    Figure(
        "brain_median_hu", "brain, median", "HU", 3.0, 15.0, 60.0, picture="axial, brain",
        look="bleeding, swelling or contrast over much of the brain; else whether a converter changed the rescale",
    ),
    Figure("bone_hu", "bone, 95th percentile", "HU", 80.0, 800.0, 2200.0),
    Figure(
        "skull_share", "share of the vault with bone", "", 0.02, 0.85,
        look="parts of the skull that were taken out, or a head that was aligned wrongly",
    ),
    Figure(
        "brain_like_share", "share of the brain that looks like brain", "", 0.02, 0.85, picture="axial, brain",
        look="large bleeding, air or metal where brain should be, or a head that was aligned wrongly",
    ),
    Figure(
        "residual_hu", "residual to the template", "HU", 8.0, high=FAR_OFF_RESIDUAL_HU, rising=True,
        look="implants, large defects, an unusual position, or slices that lean",
    ),
    Figure(
        "orientation_margin", "margin of the recorded orientation", "", 0.05, 0.05, compared=False,
        look="whether face, vertex and sides are where the letters say",
    ),
    Figure("pitch_deg", "pitch, chin up positive", "°", 4.0, -30.0, 30.0),
    Figure("turn_deg", "turn against the template", "°", 4.0, high=35.0, rising=True),
    Figure("tilt_deg", "gantry tilt", "°", 2.0, -30.0, 30.0, compared=False, look=_LEAN),
    Figure("slice_mm", "mean slice distance", "mm", 0.5, compared=False),
    Figure("coverage_mm", "scanned length", "mm", 10.0, look="whether vertex and skull base were scanned"),
    Figure("brain_seen_share", "share of the brain scanned", "", 0.02, 0.98, look="a vertex or skull base cut off"),
    Figure(
        "cut_share", "share of slices cut by the field", "", 0.05, high=0.05, rising=True, picture="axial, bone",
        look="a straight or round edge through the scalp, mostly at the back or at the nose",
    ),
    Figure("shear_deg", "shear of the slices to the back", "°", 2.0, -3.0, 3.0, look=_LEAN),
    Figure(
        "slant_deg", "shear of the slices to the left", "°", 2.0, -3.0, 3.0, picture="coronal, bone",
        look="whether the head leans to one side in the coronal picture",
    ),
    Figure(
        "step_back_mm", "greatest step to the back or front", "mm", 0.5, high=SUSPICIOUS_STEP_MM[0], rising=True,
        look="a step in the outline from one slice to the next: the patient moved, or a block lies elsewhere",
    ),
    Figure(
        "step_left_mm", "greatest step to the side", "mm", 0.5, high=SUSPICIOUS_STEP_MM[1], rising=True,
        look="a step in the outline from one slice to the next: the patient moved, or a block lies elsewhere",
        picture="coronal, bone",
    ),
    Figure(
        "unseen_share", "share of recorded steps not in the images", "", 0.1, high=0.25, rising=True, compared=False,
        look="a step in the outline where positions record one that the images do not show",
    ),
    Figure(
        "alternation", "unlikeness of neighbouring slices", "", 0.1, high=0.8, rising=True, compared=False,
        look="fringes like a comb along the outline: two scans in turn, or a patient who moved",
    ),
    Figure(
        LIKENESS, "likeness to another case known by its study", "", 0.01, high=ARE_TWO_HEADS, compared=False,
        look="whether both show one patient, whose identifier is missing or shared", picture="lateral DRR",
    ),
)  # fmt: skip


def figures_for(study: CohortSettings) -> tuple[Figure, ...]:
    """Every figure; how long a scan is expected to be follows from what the study asks for."""
    expected_mm = study.minimum_coverage_mm + SPARE_COVERAGE_MM
    return tuple(replace(figure, low=expected_mm) if figure.field == "coverage_mm" else figure for figure in _FIGURES)


def measured(findings: Findings, cases: Sequence[Case]) -> list[Measured]:
    """The figures of cases.

    Args:
        findings: what the archive holds: cases known by their studies alone are held against each other.
        cases: the accepted cases in the order of ``findings.cases``.
    """
    unnamed = [index for index, file in enumerate(findings.cases) if file.is_by_study]
    likeness = _likeness(unnamed, cases, findings.study.grid.voxel_mm)
    made = []
    for index, case in enumerate(cases):
        values, limits = _values(case.facts), dict(limits_of(case.facts, findings.study.cohort))
        values[LIKENESS], like = likeness.get(index, (0.0, ""))
        if like:
            limits[LIKENESS] = Limit(VerdictCode.DUPLICATE_OF_PATIENT, high=MAY_BE_ONE_HEAD)
        made.append(Measured(values, limits, like))
    return made


def _values(facts: CaseFacts) -> dict[str, float]:
    return {figure.field: float(getattr(facts, figure.field)) for figure in _FIGURES if figure.field != LIKENESS}


def _likeness(among: Sequence[int], cases: Sequence[Case], voxel_mm: float) -> dict[int, tuple[float, str]]:
    """Of each of several cases the greatest likeness to another of them, and to whose."""
    if len(among) < 2:
        return {}
    patterns = np.stack([skull_pattern(cases[index], voxel_mm) for index in among])
    found = {}
    for place, index in enumerate(among):
        likeness = patterns @ patterns[place]
        likeness[place] = -1.0
        most = int(likeness.argmax())
        found[index] = round(float(likeness[most]), 3), cases[among[most]].pseudonym
    return found
