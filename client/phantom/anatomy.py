"""Procedural heads: a skull, its contents and its soft tissue painted from implicit shapes in half a second.

Canonical pose: the Frankfurt plane (lower orbital rims, ear canals) is horizontal at z = -20 mm, the mid-sagittal
plane is x = 0, and the origin is about the centre of the head's bounding box from vertex to chin and nose to occiput.
The average head spans x -79..79 with the ears, y -112..98, z -113..103 mm; the neck continues below. Proportions follow
adult craniometry (cranial length 177, breadth 144, basion to bregma 133, nasion to gnathion 117 mm, bone to bone).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from client.phantom.head_bones import paint_face_bones, paint_skull_base, paint_spine, paint_vault
from client.phantom.head_contents import paint_airways, paint_brain, paint_orbits, paint_sinuses
from client.phantom.head_plan import HeadPlan
from client.phantom.head_surface import cranial_cavity, paint_soft_tissue
from client.phantom.shapes import Canvas, Field

if TYPE_CHECKING:
    from common.geometry import Grid

LOWEST_HU = -1024
HIGHEST_HU = 3071
AIR_HU = -1000.0
_FACE_BELOW_MM = -20.0


def procedural_head(seed: int, grid: Grid) -> NDArray[np.int16]:
    """One head of an endless family; equal seeds give equal heads.

    Args:
        seed: at least 0; decides anatomy, pose and findings.
        grid: voxels to fill; its centre is the head's centre.

    Returns:
        HU of shape ``grid.shape``, (z, y, x) with indices growing to superior, posterior and left; air is -1000.
    """
    return painted_head(HeadPlan.drawn(seed), grid)


def template_head(grid: Grid) -> NDArray[np.int16]:
    """The average procedural head: symmetric, in canonical pose, without findings, containing no patient.

    Args:
        grid: voxels to fill; its centre is the head's centre.

    Returns:
        HU of shape ``grid.shape`` as in :func:`procedural_head`.
    """
    return painted_head(HeadPlan(), grid)


def painted_head(plan: HeadPlan, grid: Grid) -> NDArray[np.int16]:
    """The head of a plan; grid and result as in :func:`procedural_head`."""
    x, y, z = anatomical_coordinates(plan, grid)
    canvas = Canvas(x, y, z, edge_mm=grid.voxel_mm, background_hu=AIR_HU)
    cavity = cranial_cavity(canvas)
    paint_soft_tissue(canvas, cavity, plan)
    paint_vault(canvas, cavity.distance, plan)
    paint_brain(canvas, cavity.distance, plan)
    paint_spine(canvas, plan)
    paint_skull_base(canvas, plan)
    paint_face_bones(canvas, plan)
    paint_orbits(canvas, plan)
    paint_sinuses(canvas, plan)
    paint_airways(canvas, plan)
    np.clip(canvas.hu, LOWEST_HU, HIGHEST_HU, out=canvas.hu)
    return np.rint(canvas.hu, out=canvas.hu).astype(np.int16)


def anatomical_coordinates(plan: HeadPlan, grid: Grid) -> tuple[Field, Field, Field]:
    """Coordinates of every voxel in the average head's frame: waves, pose, size and face length undone.

    Args:
        plan: the head.
        grid: the voxels.

    Returns:
        x, y and z in mm, float32, each of shape ``grid.shape``; the map never folds.
    """
    axes = [((np.arange(n) - (n - 1) / 2) * grid.voxel_mm).astype(np.float32) for n in reversed(grid.shape)]
    moved = _displaced(plan, axes, grid.shape)
    inverse = np.linalg.inv(rotation_matrix(plan.rotation_deg) * np.array(plan.scale))
    out: list[Field] = []
    for row in inverse.tolist():
        total = moved[0] * row[0]
        total += moved[1] * row[1]
        total += moved[2] * row[2]
        total -= sum(m * t for m, t in zip(row, plan.translation_mm, strict=True))
        out.append(total)
    x, y, z = out
    if plan.face_height != 1.0:
        below = np.minimum(z - _FACE_BELOW_MM, 0.0)
        below *= 1.0 / plan.face_height - 1.0
        z += below
    return x, y, z


def _displaced(plan: HeadPlan, axes: list[Field], shape: tuple[int, int, int]) -> list[Field]:
    x, y, z = axes
    grids: list[Field] = [
        np.broadcast_to(x[None, None, :], shape).copy(),
        np.broadcast_to(y[None, :, None], shape).copy(),
        np.broadcast_to(z[:, None, None], shape).copy(),
    ]
    for wave in plan.waves:
        factors = [np.cos(k * axis + p) for axis, k, p in zip(axes, wave.per_mm, wave.phase, strict=True)]
        plane = factors[1][:, None] * factors[0][None, :] * wave.amplitude_mm
        grids[wave.axis] += factors[2][:, None, None] * plane[None]
    return grids


def rotation_matrix(rotation_deg: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation about x, then y, then z, right-handed in LPS, acting on column (x, y, z)."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rotation_deg)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
