"""The verdicts on poses, each with its reason and with what the site's engineer can do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, final


@final
class PoseVerdict(StrEnum):
    """What is said of a pose, in the order it is judged."""

    FAILED = "pose_failed"
    UNCERTAIN = "pose_uncertain"
    FOUND = "pose_found"


_V = PoseVerdict

# Mean local correlation of film and DRR. Of one person's film and CT it is above 0.94; of two persons' about 0.8 at
# most, up to 0.9 where the scan is of the vault alone. Procedural heads, more alike than persons, reach 0.94.
LEAST_LIKENESS: Final = 0.91
SURE_LIKENESS: Final = 0.94
# How far the second best restart may lie from the best.
MOST_SPREAD_DEG, MOST_SPREAD_MM = 1.0, 1.0
# A head lies about where the stated distances put it; a distance that is stated a tenth wrong moves it by a tenth.
MOST_DEPTH_MM: Final = 50.0

REASONS: Final[dict[PoseVerdict, str]] = {
    _V.FAILED: "in no pose does the CT look like the film: another person's, another date's, or a film read wrongly",
    _V.UNCERTAIN: "CT and film are only roughly alike, searches end in different poses, or stated distances are wrong",
    _V.FOUND: "found",
}
MENDS: Final[dict[PoseVerdict, str]] = {
    _V.FAILED: "check that film and CT are of one patient and of the same weeks; look at the film's sides and polarity",
    _V.UNCERTAIN: "look at film and DRR side by side, and at the distances that the device writes",
}
"""What can be done; a verdict without an entry needs nothing done."""


def pose_verdict(likeness: float, spread_deg: float, spread_mm: float, depth_mm: float) -> PoseVerdict:
    """The verdict on one view's pose.

    Args:
        likeness: mean local correlation of film and DRR in the best pose.
        spread_deg, spread_mm: angle and distance across the beam between the best restart and the second best.
        depth_mm: of the head along the beam, from where the distances put it.
    """
    if not likeness >= LEAST_LIKENESS:
        return _V.FAILED
    limits = (spread_deg, MOST_SPREAD_DEG), (spread_mm, MOST_SPREAD_MM), (abs(depth_mm), MOST_DEPTH_MM)
    is_sure = likeness >= SURE_LIKENESS and all(figure <= most for figure, most in limits)
    return _V.FOUND if is_sure else _V.UNCERTAIN
