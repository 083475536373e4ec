"""Judges a series by its content: its scale first, then what alignment found."""

from __future__ import annotations

from client.archive import VerdictCode
from client.case.alignment import Alignment
from client.case.decoding import SliceStack

LARGEST_CUT_SHARE = 0.2

AIR_LOW_HU = (-1150.0, -800.0)
DENSE_HIGH_HU = 100.0
WRAPPED_SHARE = 1.0
SKULL_SHARE = 0.7
BRAIN_SEEN_SHARE = 0.9
BRAIN_LIKE_SHARE = 0.7
BRAIN_MEDIAN_HU = (0.0, 80.0)
EMPTY_SKULL_HU = -150.0
LARGEST_RESIDUAL_HU = 220.0


def judge_scale(stack: SliceStack) -> VerdictCode:
    """``HU_IMPLAUSIBLE`` unless the darkest values are air and the brightest are denser than water; then wrapped ones.

    Catches values stored without their offset of 1024, the commonest fault of converted archives. Air is judged by its
    median: sharp kernels and photon counting scatter it by a hundred HU and more.
    """
    air = AIR_LOW_HU[0] <= stack.raw_low_hu <= AIR_LOW_HU[1]
    if not air or stack.raw_high_hu <= DENSE_HIGH_HU:
        return VerdictCode.HU_IMPLAUSIBLE
    return VerdictCode.VALUES_WRAPPED if stack.wrapped_share >= WRAPPED_SHARE else VerdictCode.ACCEPTED


def judge_alignment(alignment: Alignment, cut_share: float = 0.0) -> VerdictCode:
    """``ACCEPTED``, or why what was aligned is no whole head, lying as recorded.

    Where another axis orientation explains the content better, the record is contradicted if the head would be accepted
    either way round: what is no head in any orientation has none to contradict. A phantom that has skull, brain and
    face in true HU passes: content cannot tell it from a patient.

    Args:
        alignment: how the head lies.
        cut_share: share of the head's slices in which it is cut by the field of view.
    """
    verdict, turned = _judge_pose(alignment, cut_share), alignment.turned
    if turned is not None and VerdictCode.ACCEPTED in (verdict, _judge_pose(turned, cut_share=0.0)):
        return VerdictCode.ORIENTATION_CONTRADICTS
    return verdict


def _judge_pose(alignment: Alignment, cut_share: float) -> VerdictCode:
    """The verdict on one pose: skull, field of view, extent, contents, then fit."""
    if alignment.skull_share < SKULL_SHARE:
        return VerdictCode.NOT_A_HEAD
    if cut_share > LARGEST_CUT_SHARE:
        return VerdictCode.FIELD_OF_VIEW_CUT
    if alignment.brain_seen_share < BRAIN_SEEN_SHARE:
        return VerdictCode.INCOMPLETE_HEAD
    if alignment.brain_median_hu < EMPTY_SKULL_HU:
        return VerdictCode.NOT_A_HEAD
    if not BRAIN_MEDIAN_HU[0] <= alignment.brain_median_hu <= BRAIN_MEDIAN_HU[1]:
        return VerdictCode.HU_IMPLAUSIBLE
    if alignment.brain_like_share < BRAIN_LIKE_SHARE:
        return VerdictCode.NOT_A_HEAD
    return VerdictCode.ACCEPTED if alignment.residual_hu <= LARGEST_RESIDUAL_HU else VerdictCode.NOT_ALIGNED
