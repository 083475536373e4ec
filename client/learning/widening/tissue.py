"""Other bone and other brain: thickness and density of the skull, soft tissue's variation, findings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from client.learning.widening.plan import Finding, FindingKind, Plan
from common.geometry import Grid

# Bone is what lies above the ramp: soft tissue, blood and contrast medium keep their values.
BONE_RAMP_HU = (120.0, 320.0)
SOFT_RAMPS_HU = (-40.0, -10.0, 90.0, 120.0)
TISSUE_HU = 40.0
VARIATION_MM = 25.0
_INFARCT_EDGE_VOXELS = 3.0


def with_other_skull(volume_hu: Tensor, grid: Grid, plan: Plan) -> Tensor:
    """Bone made thicker or thinner, then denser or lighter.

    Thicker bone takes over a share of each voxel next to it, thinner bone gives such a share to the tissue next to it;
    half of the change lies on each side. It is at most one voxel on each side.

    Args:
        volume_hu: (z, y, x).
        grid: its grid.
        plan: thickness and density.
    """
    share = min(abs(plan.skull_mm) / 2 / grid.voxel_mm, 1.0)
    if share > 0:
        thicker = plan.skull_mm > 0
        around = _greatest_around(volume_hu) if thicker else -_greatest_around(-volume_hu)
        if thicker:
            # Next to what is no bone nothing grows.
            change = (around - volume_hu).mul_(_ramp(around, *BONE_RAMP_HU))
        else:
            change = (around.clamp_(min=TISSUE_HU) - volume_hu).clamp_(max=0).mul_(_ramp(volume_hu, *BONE_RAMP_HU))
        volume_hu = volume_hu + change.mul_(share)
    if plan.bone != 1.0:
        volume_hu = volume_hu + (volume_hu * _ramp(volume_hu, *BONE_RAMP_HU)).mul_(plan.bone - 1)
    return volume_hu


def with_other_brain(volume_hu: Tensor, grid: Grid, plan: Plan, brain_hu: float, random: torch.Generator) -> Tensor:
    """Soft tissue with a smooth variation of SD ``brain_hu`` and the plan's finding; bone, fat and air stay.

    Args:
        volume_hu: (z, y, x).
        grid: its grid.
        plan: the finding.
        brain_hu: SD of the variation.
        random: on the volume's device.
    """
    if not brain_hu and plan.finding is None:
        return volume_hu
    soft = soft_tissue(volume_hu)
    if brain_hu:
        volume_hu = volume_hu + _variation(grid, random).mul_(brain_hu).mul_(soft)
    if plan.finding is not None:
        volume_hu = with_finding(volume_hu, grid, plan.finding, soft)
    return volume_hu


def with_finding(volume_hu: Tensor, grid: Grid, finding: Finding, soft: Tensor) -> Tensor:
    """A finding in place of the soft tissue it covers.

    Args:
        volume_hu: (z, y, x).
        grid: its grid.
        finding: what and where.
        soft: (z, y, x), how far each voxel is soft tissue, 0 to 1.
    """
    z, y, x = (
        torch.from_numpy(grid.centres_mm(axis)).to(volume_hu).sub_(finding.centre_mm[2 - axis]) for axis in range(3)
    )
    across, back, up = finding.radii_mm
    radius = ((z / up).square()[:, None, None] + (y / back).square()[:, None] + (x / across).square()).sqrt_()
    outside_mm = radius.sub_(1).mul_(min(finding.radii_mm))
    edge_mm = grid.voxel_mm * (_INFARCT_EDGE_VOXELS if finding.kind is FindingKind.INFARCT else 1.0)
    covered = (0.5 - outside_mm / edge_mm).clamp_(0, 1).mul_(soft)
    if finding.kind is FindingKind.INFARCT:
        return volume_hu + covered * finding.hu
    return volume_hu + covered * (finding.hu - volume_hu)


def soft_tissue(volume_hu: Tensor) -> Tensor:
    """How far each voxel is soft tissue, 0 to 1."""
    rise_from, rise_to, fall_from, fall_to = SOFT_RAMPS_HU
    return _ramp(volume_hu, rise_from, rise_to).sub_(_ramp(volume_hu, fall_from, fall_to))


def _variation(grid: Grid, random: torch.Generator) -> Tensor:
    """(z, y, x) smooth noise of about unit SD."""
    knots = [max(2, round(length / VARIATION_MM)) for length in grid.extent_mm]
    drawn = torch.randn(1, 1, *knots, generator=random, device=random.device)
    field = functional.interpolate(drawn, size=grid.shape, mode="trilinear", align_corners=True)[0, 0]
    # Between knots a trilinear mean of eight has less than unit variance: (2 / 3)³ on average.
    return field.mul_(1.5**1.5)


def _ramp(volume_hu: Tensor, low_hu: float, high_hu: float) -> Tensor:
    return volume_hu.sub(low_hu).mul_(1 / (high_hu - low_hu)).clamp_(0, 1)


def _greatest_around(volume_hu: Tensor) -> Tensor:
    """The greatest value among a voxel and its 26 neighbours."""
    greatest = volume_hu
    for axis in range(3):
        last = greatest.shape[axis] - 1
        pairs = torch.maximum(greatest.narrow(axis, 0, last), greatest.narrow(axis, 1, last))
        middle = torch.maximum(pairs.narrow(axis, 0, last - 1), pairs.narrow(axis, 1, last - 1))
        greatest = torch.cat([pairs.narrow(axis, 0, 1), middle, pairs.narrow(axis, last - 1, 1)], dim=axis)
    return greatest
