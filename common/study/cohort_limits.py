"""The section of a study that says which cases a site may use."""

from __future__ import annotations

from typing import Literal, final

from common.study.section import Count, Fraction, Positive, Section


@final
class CohortSettings(Section):
    """Which cases a site may use and how it splits them.

    Attributes:
        minimum_cases: fewest accepted cases for a site to take part.
        validation_fraction: share of patients a training site keeps for internal validation.
        max_slice_mm: thickest slice spacing accepted.
        minimum_coverage_mm: shortest scanned length along the patient accepted.
        contrast: ``none`` refuses series that name a contrast agent; ``any`` takes them.
    """

    minimum_cases: Count = 3
    validation_fraction: Fraction = 0.2
    max_slice_mm: Positive = 8.0
    minimum_coverage_mm: Positive = 100.0
    contrast: Literal["any", "none"] = "any"
