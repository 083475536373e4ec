"""The template head at the voxel sizes that alignment works at."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.case.decoding import block_mean
from client.phantom import template_head
from common.geometry import Grid

WINDOW_HU = (-200.0, 400.0)
LEVELS_MM = (9.0, 6.0)
SURROUNDINGS_MM = 15.0
# Below this height posture decides where tissue lies, not the pose of the head.
LOWEST_MM = -50.0
_PAINTED_MM = 3.0
_EXTENT_VOXELS = (84, 84, 72)
_VAULT_ABOVE_MM = 0.0
_BRAIN_ABOVE_MM = -30.0


@final
@dataclass(frozen=True)
class TemplateLevel:
    """The template's points at one voxel size.

    Attributes:
        voxel_mm: the voxel size.
        points_mm: (points, 3), canonical x, y, z of the template's head and what is near it.
        values_hu: (points,), HU clipped to the window.
        brain: (points,), inside the cranial cavity.
        vault: (points,), in the bone of the vault.
        voxels_each: how many voxels each point stands for.
    """

    voxel_mm: float
    points_mm: NDArray[np.float32]
    values_hu: NDArray[np.float32]
    brain: NDArray[np.bool_]
    vault: NDArray[np.bool_]
    voxels_each: int = 1

    def thinned(self, share: int) -> TemplateLevel:
        """Every so-manieth point, standing for those left out."""
        return replace(
            self,
            points_mm=self.points_mm[::share],
            values_hu=self.values_hu[::share],
            brain=self.brain[::share],
            vault=self.vault[::share],
            voxels_each=self.voxels_each * share,
        )

    @property
    def brain_middle_mm(self) -> NDArray[np.float32]:
        """(3,), canonical middle of the brain."""
        middle: NDArray[np.float32] = self.points_mm[self.brain].mean(axis=0)
        return middle


@lru_cache(maxsize=1)
def template_levels() -> tuple[TemplateLevel, ...]:
    """The template from coarse to fine."""
    grid = Grid(shape=_EXTENT_VOXELS, voxel_mm=_PAINTED_MM)
    painted = np.clip(template_head(grid).astype(np.float32), *WINDOW_HU)
    return tuple(_level(painted, grid, round(voxel_mm / _PAINTED_MM)) for voxel_mm in LEVELS_MM)


def template_sha256() -> str:
    """SHA-256 of the template's values, by which a stored case follows from the procedural head."""
    digest = hashlib.sha256()
    for level in template_levels():
        for values in (level.points_mm, level.values_hu, level.brain, level.vault):
            digest.update(values.tobytes())
    return digest.hexdigest()


def _level(painted: NDArray[np.float32], grid: Grid, factor: int) -> TemplateLevel:
    values = block_mean(painted, (factor,) * 3)
    coarse = grid.coarser(factor)
    reach = max(1, round(SURROUNDINGS_MM / coarse.voxel_mm))
    z, y, x = np.meshgrid(*(coarse.centres_mm(axis) for axis in range(3)), indexing="ij")
    near = ndimage.binary_dilation(values > WINDOW_HU[0] + 100, iterations=reach) & (z > LOWEST_MM)
    points = np.stack([x[near], y[near], z[near]], axis=1).astype(np.float32)
    brain = _brain(values, z)
    vault = (values > 250.0) & (z > _VAULT_ABOVE_MM)
    return TemplateLevel(coarse.voxel_mm, points, values[near], brain[near], vault[near])


def _brain(values: NDArray[np.float32], z: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The largest part of soft tissue that the vault keeps apart from the scalp, a voxel away from bone."""
    soft = (values > -20.0) & (values < 120.0) & (z > _BRAIN_ABOVE_MM)
    labels, _ = ndimage.label(ndimage.binary_erosion(soft))
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == int(sizes.argmax())
    return largest
