"""Judges whether slices lie where their images say: tilt, orientation and positions against content."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from client.archive import Plan, VerdictCode
from client.case.acceptance import LARGEST_RESIDUAL_HU, judge_alignment
from client.case.alignment import Alignment, align
from client.case.decoding import SliceStack
from client.case.stack_geometry import StackGeometry

# A shear of the whole head beyond this is none that anatomy has; where a tilt is stated, half of it decides.
LARGEST_SHEAR_DEG = 6.0
LEAST_SHEAR_DEG = 3.5
# A tilt this small is left as it is recorded.
LEAST_TILT_DEG = 2.0
# What must be left of the residual where the shear is fitted with the pose, or after aligning anew without it.
UNSHEARED_SHARE, REALIGNED_SHARE = 0.95, 0.97
# Whole heads that lie as they say leave less than this; gantries that are tilted lean about so.
FAR_OFF_RESIDUAL_HU, USUAL_TILT_DEG, FAR_OFF_SHARE = 138.0, 15.0, 0.94
# Along rows, in which faces and occiputs change from slice to slice, and along columns.
LARGEST_STEP_MM = (4.0, 2.5)
LARGEST_UNSEEN_SHARE = 0.5
_MAY_BE_TURNED = (VerdictCode.NOT_A_HEAD, VerdictCode.HU_IMPLAUSIBLE)

Array = NDArray[np.float64]


def judge_placement(
    verdict: VerdictCode,
    geometry: StackGeometry,
    plan: Plan,
    alignment: Alignment,
    stack: SliceStack,
    brain_guesses_mm: Sequence[Array],
) -> VerdictCode:
    """The verdict that alignment came to, or which of tilt and positions the images contradict.

    A tilt that is only stated is believed by the images alone: scanners state it also for slices that they have
    resampled upright.

    Args:
        verdict: from the alignment: what is no head by it may be one whose tilt is recorded the wrong way round.
        geometry, alignment: of the head.
        plan: its slices, with the tilt that they record and state.
        stack, brain_guesses_mm: what was aligned; it is aligned anew, placed otherwise, where something is suspicious.
    """
    if verdict in (VerdictCode.ACCEPTED, VerdictCode.NOT_ALIGNED) or _leans_rather_than_turned(alignment):
        return _contradiction(geometry, plan, alignment, stack, brain_guesses_mm) or verdict
    may_be_turned = alignment.residual_hu < LARGEST_RESIDUAL_HU and verdict in _MAY_BE_TURNED
    if not may_be_turned or abs(plan.tilt_deg) < LEAST_TILT_DEG:
        return verdict
    turned = judge_alignment(align(_tilt_turned(stack), brain_guesses_mm))
    return VerdictCode.TILT_CONTRADICTS if turned is VerdictCode.ACCEPTED else verdict


def _leans_rather_than_turned(alignment: Alignment) -> bool:
    """Whether slices that lean explain a head better than another orientation of its axes, where one explains it."""
    turned = alignment.turned
    return turned is not None and alignment.unsheared_share * alignment.residual_hu < turned.residual_hu


def _contradiction(
    geometry: StackGeometry, plan: Plan, alignment: Alignment, stack: SliceStack, brain_guesses_mm: Sequence[Array]
) -> VerdictCode | None:
    stated = stated_tilt_deg(plan)
    leaning = contradicted_by_lean(plan.tilt_deg, stated)
    limit = largest_shear_deg(plan.tilt_deg, stated)
    leans, slants = abs(geometry.shear_deg) > limit, abs(geometry.slant_deg) > LARGEST_SHEAR_DEG
    if (leans or slants) and _is_sheared(alignment, stack, brain_guesses_mm):
        backward = abs(geometry.shear_deg) > abs(geometry.slant_deg)
        return leaning if backward else VerdictCode.POSITIONS_CONTRADICT
    if alignment.residual_hu > FAR_OFF_RESIDUAL_HU:
        # So poor a fit may hide a lean that small steps from it do not find.
        slope = math.tan(math.radians(stated if stated > LEAST_TILT_DEG else USUAL_TILT_DEG))
        shares = [_realigned_share((0.0, lean), alignment, stack, brain_guesses_mm) for lean in (slope, -slope)]
        if min(shares) < FAR_OFF_SHARE:
            return leaning
    unseen = geometry.unseen_share > LARGEST_UNSEEN_SHARE
    stepped = any(step > largest for step, largest in zip(geometry.step_mm, LARGEST_STEP_MM, strict=True))
    return VerdictCode.POSITIONS_CONTRADICT if unseen or stepped else None


def _tilt_turned(stack: SliceStack) -> SliceStack:
    """The stack with its slices tilted the other way, each about the middle of its image."""
    rows, columns = stack.hu.shape[1:]
    down, across = (step * np.array([1.0, 1.0, -1.0]) for step in (stack.row_mm, stack.column_mm))
    shift = (rows - 1) / 2 * (stack.row_mm - down) + (columns - 1) / 2 * (stack.column_mm - across)
    return replace(stack, row_mm=down, column_mm=across, origins_mm=stack.origins_mm + shift)


def largest_shear_deg(tilt_deg: float, stated_deg: float) -> float:
    """The shear to the back beyond which slices lean, by the tilt that they record and the size of the stated one."""
    if abs(stated_deg - abs(tilt_deg)) > LEAST_TILT_DEG:
        return min(LARGEST_SHEAR_DEG, max(LEAST_SHEAR_DEG, stated_deg / 2))
    return LARGEST_SHEAR_DEG


def contradicted_by_lean(tilt_deg: float, stated_deg: float) -> VerdictCode:
    """What slices that lean back contradict: their tilt if they tell of any, else their positions."""
    tilted = max(stated_deg, abs(tilt_deg)) > LEAST_TILT_DEG
    return VerdictCode.TILT_CONTRADICTS if tilted else VerdictCode.POSITIONS_CONTRADICT


def stated_tilt_deg(plan: Plan) -> float:
    """The size of the gantry's tilt as the slices state it: its sign differs among vendors."""
    stated = [abs(header.tilt_deg) for header in plan.slices if header.tilt_deg is not None]
    return float(np.median(stated)) if stated else 0.0


def _is_sheared(alignment: Alignment, stack: SliceStack, brain_guesses_mm: Sequence[Array]) -> bool:
    """Whether the template fits clearly better with the shear that was found, or without it in the slices."""
    if alignment.unsheared_share < UNSHEARED_SHARE:
        return True
    return _realigned_share(alignment.shear, alignment, stack, brain_guesses_mm) < REALIGNED_SHARE


def _realigned_share(
    shear: tuple[float, float], alignment: Alignment, stack: SliceStack, brain_guesses_mm: Sequence[Array]
) -> float:
    """What is left of the residual once each slice is moved back by a shear."""
    heights = stack.origins_mm[:, 2] - alignment.pose.centre_mm[2]
    moved = stack.origins_mm.copy()
    moved[:, :2] -= heights[:, None] * np.array(shear)
    return align(replace(stack, origins_mm=moved), brain_guesses_mm).residual_hu / alignment.residual_hu
