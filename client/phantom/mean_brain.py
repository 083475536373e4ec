"""What a generator's atlas of the brain starts from: the average procedural head's soft tissue and its two modes.

    python -m client.phantom.mean_brain common/networks/brain_atlas.safetensors

writes the table that the networks carry. It holds no patient.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy import ndimage

from client.phantom.anatomy import painted_head
from client.phantom.head_plan import HeadPlan
from common.files import write_atomic
from common.geometry import Grid
from common.networks import ATLAS_LOW_MM, ATLAS_NODE_MM, ATLAS_SHAPE

_FINE = Grid(shape=(80, 96, 80), voxel_mm=2.5)
# Gyri differ from head to head: in the mean over their phases there are none.
_FOLDS = 12
_VENTRICLES, _SULCI = (0.75, 1.35), (0.5, 1.5)
_SOFT_HU = (-20.0, 100.0)
# A node takes the mean about it; where there is no soft tissue, that of what lies around.
_NEAR_MM, _FAR_MM = 2.0, 12.0
_LEAST_SHARE = 0.05

Values = NDArray[np.float64]


def mean_brain_hu() -> NDArray[np.float32]:
    """(3, z, y, x) at the atlas's nodes: soft tissue in HU, and its change from small to large ventricles and sulci,
    halved."""
    plan = HeadPlan()
    mean = _mean_over_folds(plan)
    modes = [
        [replace(plan, ventricle=size) for size in _VENTRICLES],
        [replace(plan, sulcus=size) for size in _SULCI],
    ]
    changes = [(_mean_over_folds(large) - _mean_over_folds(small)) / 2 for small, large in modes]
    return np.stack([mean, *changes]).astype(np.float32)


def _mean_over_folds(plan: HeadPlan) -> Values:
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (_FOLDS, 3))
    found = [_at_nodes(painted_head(replace(plan, folds=tuple(phase)), _FINE)) for phase in phases.tolist()]
    mean: Values = np.mean(found, axis=0)
    return mean


def _at_nodes(hu: NDArray[np.int16]) -> Values:
    soft = (hu >= _SOFT_HU[0]) & (hu <= _SOFT_HU[1])
    places = [
        (low + ATLAS_NODE_MM * np.arange(count)) / _FINE.voxel_mm + (cells - 1) / 2
        for low, count, cells in zip(ATLAS_LOW_MM, ATLAS_SHAPE, _FINE.shape, strict=True)
    ]
    nodes = np.stack(np.meshgrid(*places, indexing="ij"))
    value, share = np.zeros(ATLAS_SHAPE), np.zeros(ATLAS_SHAPE)
    for sigma_mm in (_NEAR_MM, _FAR_MM):
        shares = ndimage.gaussian_filter(soft.astype(float), sigma_mm / _FINE.voxel_mm)
        sums = ndimage.gaussian_filter(np.where(soft, hu, 0).astype(float), sigma_mm / _FINE.voxel_mm)
        near, total = (ndimage.map_coordinates(one, nodes, order=1, mode="nearest") for one in (shares, sums))
        known = (share < _LEAST_SHARE) & (near > 0)
        value[known] = total[known] / near[known]
        share = np.where(known, near, share)
    return value


if __name__ == "__main__":
    write_atomic(Path(sys.argv[1]), save({"hu": mean_brain_hu().astype(np.float16)}), mode=0o644)
