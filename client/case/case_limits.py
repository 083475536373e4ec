"""Up to where each figure of a case is accepted, and the verdict beyond: the constants by which series are judged.

What is not here cannot be near its limit in an accepted case: bone where the vault is leaves no doubt that something is
denser than water, and a brain within its HU none that the skull is not empty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from client.archive import MAXIMUM_TILT_DEG, VerdictCode
from client.case.acceptance import (
    AIR_LOW_HU,
    BRAIN_LIKE_SHARE,
    BRAIN_MEDIAN_HU,
    BRAIN_SEEN_SHARE,
    LARGEST_CUT_SHARE,
    LARGEST_RESIDUAL_HU,
    SKULL_SHARE,
    WRAPPED_SHARE,
)
from client.case.alignment import LEAST_MARGIN
from client.case.case import CaseFacts
from client.case.interleaving import MOST_UNLIKE
from client.case.placement import (
    LARGEST_SHEAR_DEG,
    LARGEST_STEP_MM,
    LARGEST_UNSEEN_SHARE,
    contradicted_by_lean,
    largest_shear_deg,
)
from common.study import CohortSettings


@final
@dataclass(frozen=True)
class Limit:
    """What a figure must not leave.

    Attributes:
        verdict: on a series whose figure lies beyond.
        low, high: the last that is accepted either way, infinite where any is.
    """

    verdict: VerdictCode
    low: float = -math.inf
    high: float = math.inf


_CONTENT: Mapping[str, Limit] = {
    "air_hu": Limit(VerdictCode.HU_IMPLAUSIBLE, *AIR_LOW_HU),
    "wrapped_share": Limit(VerdictCode.VALUES_WRAPPED, high=WRAPPED_SHARE),
    "alternation": Limit(VerdictCode.INTERLEAVED_SCANS, high=MOST_UNLIKE),
    "orientation_margin": Limit(VerdictCode.ORIENTATION_CONTRADICTS, low=LEAST_MARGIN),
    "skull_share": Limit(VerdictCode.NOT_A_HEAD, low=SKULL_SHARE),
    "cut_share": Limit(VerdictCode.FIELD_OF_VIEW_CUT, high=LARGEST_CUT_SHARE),
    "brain_seen_share": Limit(VerdictCode.INCOMPLETE_HEAD, low=BRAIN_SEEN_SHARE),
    "brain_median_hu": Limit(VerdictCode.HU_IMPLAUSIBLE, *BRAIN_MEDIAN_HU),
    "brain_like_share": Limit(VerdictCode.NOT_A_HEAD, low=BRAIN_LIKE_SHARE),
    "residual_hu": Limit(VerdictCode.NOT_ALIGNED, high=LARGEST_RESIDUAL_HU),
    "slant_deg": Limit(VerdictCode.POSITIONS_CONTRADICT, -LARGEST_SHEAR_DEG, LARGEST_SHEAR_DEG),
    "step_back_mm": Limit(VerdictCode.POSITIONS_CONTRADICT, high=LARGEST_STEP_MM[0]),
    "step_left_mm": Limit(VerdictCode.POSITIONS_CONTRADICT, high=LARGEST_STEP_MM[1]),
    "unseen_share": Limit(VerdictCode.POSITIONS_CONTRADICT, high=LARGEST_UNSEEN_SHARE),
    "tilt_deg": Limit(VerdictCode.TILT_BEYOND_LIMITS, -MAXIMUM_TILT_DEG, MAXIMUM_TILT_DEG),
}


def limits_of(facts: CaseFacts, study: CohortSettings) -> Mapping[str, Limit]:
    """The limits that a case's figures were held against, by the names they have among its facts.

    Args:
        facts: of the case: how far slices may lean depends on the tilt that they state.
        study: its limits.
    """
    shear_deg = largest_shear_deg(facts.tilt_deg, facts.stated_tilt_deg)
    return {
        **_CONTENT,
        "shear_deg": Limit(contradicted_by_lean(facts.tilt_deg, facts.stated_tilt_deg), -shear_deg, shear_deg),
        "coverage_mm": Limit(VerdictCode.COVERAGE_TOO_SHORT, low=study.minimum_coverage_mm),
    }
