"""What was aimed at: a fit of gain and offset that pays where it should, and an SD that can be taken at its word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.measure import Goal
from benchmarks.robustness.calibration import Calibration, expected_share
from benchmarks.robustness.mismatch import DENSER_BONE, EXACT, GAIN, SCATTER_SHARE, RobustnessRow

# What a gain and an offset of each view can mend; distances and shifts are not among it.
MENDED = (f"gain {GAIN:g}", f"bone {DENSER_BONE - 1:.0%} denser", f"scatter of {SCATTER_SHARE:.0%}")
MOST_COST_DB = 0.3
# How far the shares within one and two SD may lie from the likelihood's own.
TOLERANCES = {1: 0.10, 2: 0.05}

# PSNR in dB by mismatch.
Column = Mapping[str, float]


def psnr_of(rows: Sequence[RobustnessRow]) -> dict[str, float]:
    """A column of the table."""
    return {row.mismatch: row.psnr_db for row in rows}


def fit_goals(name: str, plain: Column, affine: Column) -> list[Goal]:
    """With the fit, less is lost where it can mend; where the radiographs are right it costs little."""
    goals = []
    for mismatch in MENDED:
        lost, lost_with_fit = plain[EXACT] - plain[mismatch], affine[EXACT] - affine[mismatch]
        told = f"loses {lost_with_fit:.2f} dB, {lost:.2f} without (goal less)"
        goals.append(Goal(f"{name}, {mismatch}", told, lost_with_fit < lost))
    cost = plain[EXACT] - affine[EXACT]
    told = f"{cost:+.2f} dB (goal at most +{MOST_COST_DB:g})"
    return [*goals, Goal(f"{name}, cost of the fit", told, cost <= MOST_COST_DB)]


def sd_goals(found: Calibration, likelihood: str) -> list[Goal]:
    """The truth lies within one and two SD as often as the likelihood says, and the error grows with the SD."""
    goals = []
    for deviations, share in ((1, found.within_1_sd), (2, found.within_2_sd)):
        expected, tolerance = expected_share(likelihood, deviations), TOLERANCES[deviations]
        told = f"{share:.1%} (goal {expected:.1%} ± {tolerance:.0%})"
        goals.append(Goal(f"voxels within {deviations} SD", told, abs(share - expected) <= tolerance))
    errors = ", ".join(f"{error:.0f}" for error in found.error_hu)
    return [*goals, Goal("error by fifths of the SD", f"{errors} HU (goal rising)", found.errs_where_it_doubts)]
