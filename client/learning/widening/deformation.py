"""Another anatomy: one smooth map from each voxel to the place in the case that it is filled from, sampled once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from client.learning.widening.plan import BRAIN_CENTRE_MM, Plan
from common.geometry import Grid, Pose

AIR_HU = -1000.0
KNOT_MM = 45.0
VENTRICLES_MM = 55.0
# A cubic B-spline displacement whose coefficients stay below the knots' distance over this never folds: Choi and Lee,
# Graph Models 62:411, 2000.
INJECTIVE = 2.48


def deformed(volumes_hu: Tensor, grid: Grid, plans: Sequence[Plan]) -> Tensor:
    """The new heads, trilinear; air comes in from outside.

    Args:
        volumes_hu: (B, 1, z, y, x) float32.
        grid: their grid.
        plans: B plans.
    """
    places = torch.stack([source_places(plan, grid, volumes_hu.device) for plan in plans])
    # Sampling fills the outside with zero, so air is made zero first.
    sampled = functional.grid_sample(
        volumes_hu - AIR_HU, places, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return sampled.add_(AIR_HU)


def source_places(plan: Plan, grid: Grid, device: torch.device) -> Tensor:
    """Where each voxel comes from, (z, y, x, 3) float32: x, y, z from -1 to 1 between the outermost voxel centres.

    The smooth displacement comes first, then the inverse of mirror, size, turn and move, then the ventricles: each of
    them never folds, and so the whole does not. All but the ventricles is one B-spline, because a B-spline repeats a
    linear map of its knots exactly.
    """
    reach_mm = torch.tensor([(n - 1) / 2 * grid.voxel_mm for n in reversed(grid.shape)], dtype=torch.float64)
    counts = [math.ceil((n - 1) * grid.voxel_mm / KNOT_MM) + 3 for n in grid.shape]
    knots = _knots_mm(counts, reach_mm)
    moved = knots + _displacement(plan, counts, reach_mm)
    matrix, shift_mm = _affine(plan)
    coefficients = ((moved - shift_mm) @ matrix.T / reach_mm).float().to(device)
    z, y, x = (_basis(length, count).to(device) for length, count in zip(grid.shape, counts, strict=True))
    # Knots (z, y, x, 3) to voxels, one axis after the other, the largest product last.
    lines = torch.einsum("ik,abkc->abic", x, coefficients)
    planes = torch.einsum("jb,abic->ajic", y, lines)
    places = (z @ planes.flatten(1)).view(*grid.shape, 3)
    return _about_ventricles(places, plan, grid, reach_mm)


def _affine(plan: Plan) -> tuple[Tensor, Tensor]:
    """Inverse of turn times size, with the mirror, and the move: ``source = matrix @ (target - shift)``."""
    pitch, roll, yaw = plan.rotation_deg
    turn = torch.from_numpy(Pose(pitch_deg=pitch, roll_deg=roll, yaw_deg=yaw).rotation)
    forward = turn @ torch.diag(torch.tensor(plan.scale, dtype=torch.float64))
    if plan.flipped:
        forward[:, 0] = -forward[:, 0]
    return torch.linalg.inv(forward), torch.tensor(plan.shift_mm, dtype=torch.float64)


def _knots_mm(counts: Sequence[int], reach_mm: Tensor) -> Tensor:
    """(z, y, x, 3) places of the knots as x, y, z; the second and the last but one lie on the outermost voxels."""
    axes = [(torch.arange(count, dtype=torch.float64) - 1) * (2 / (count - 3)) - 1 for count in counts]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y, z], dim=-1) * reach_mm


def _displacement(plan: Plan, counts: Sequence[int], reach_mm: Tensor) -> Tensor:
    """(z, y, x, 3) B-spline coefficients in mm whose field reaches the plan's peak at a knot."""
    random = torch.Generator().manual_seed(plan.seed)
    drawn = torch.randn(*counts, 3, generator=random, dtype=torch.float64)
    peak = float(_at_knots(drawn).square().sum(dim=-1).max().sqrt())
    spacing_mm = min(2 * float(reach) / (count - 3) for reach, count in zip(reach_mm, reversed(counts), strict=True))
    limit_mm = 0.9 * spacing_mm / INJECTIVE
    return (drawn * (plan.displacement_mm / peak)).clamp(-limit_mm, limit_mm)


def _at_knots(coefficients: Tensor) -> Tensor:
    """The spline's values at all knots but the outermost."""
    values = coefficients
    for axis in range(3):
        count = values.shape[axis]
        left, middle, right = (values.narrow(axis, start, count - 2) for start in range(3))
        values = (left + 4 * middle + right) / 6
    return values


def _basis(length: int, knots: int) -> Tensor:
    """(length, knots) weights of a uniform cubic B-spline at evenly spaced voxels."""
    place = torch.linspace(0, knots - 3, length, dtype=torch.float64)[:, None]
    distance = (place - (torch.arange(knots, dtype=torch.float64) - 1)).abs()
    near = 2 / 3 - distance.square() * (1 - distance / 2)
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far).float()


def _about_ventricles(places: Tensor, plan: Plan, grid: Grid, reach_mm: Tensor) -> Tensor:
    """Space about the ventricles drawn together or apart, in the case's own frame.

    Along a ray from their middle the map is ``r (1 - g (1 - r² / R²)²)`` with ``g = 1 - 1 / size``, and nothing moves
    beyond R; its slope stays positive for sizes from 0.45 upwards.
    """
    if plan.ventricles == 1.0:
        return places
    near = places[_block_about_ventricles(plan, grid)]
    unit = reach_mm.float().to(places.device)
    away_mm = near * unit - torch.tensor(BRAIN_CENTRE_MM, device=places.device)
    left = (1 - away_mm.square().sum(dim=-1, keepdim=True) / VENTRICLES_MM**2).clamp_(min=0)
    near -= away_mm.mul_(left.square_().mul_(1 - 1 / plan.ventricles)).div_(unit)
    return places


def _block_about_ventricles(plan: Plan, grid: Grid) -> tuple[slice, slice, slice]:
    """The voxels, (z, y, x), among which all are that the ventricles' map moves."""
    matrix, shift_mm = _affine(plan)
    middle_mm = torch.linalg.solve(matrix, torch.tensor(BRAIN_CENTRE_MM, dtype=torch.float64)) + shift_mm
    half_mm = VENTRICLES_MM * max(plan.scale) + 2 * plan.displacement_mm
    blocks = []
    for cells, at_mm in zip(grid.shape, reversed(middle_mm.tolist()), strict=True):
        low, high = ((at_mm + side * half_mm) / grid.voxel_mm + (cells - 1) / 2 for side in (-1, 1))
        blocks.append(slice(max(0, math.floor(low)), max(0, math.ceil(high) + 1)))
    return blocks[0], blocks[1], blocks[2]
