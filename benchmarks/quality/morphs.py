"""Heads between two persons: one drawn a part of the way towards the other's shape, affine and then demons."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.quality.heads import FINE

AIR_HU = -1000.0
PART = 0.5
_SHRINK = 2
_WINDOW_HU = (-300.0, 700.0)
_TISSUE_HU = -500.0
_DEMONS_STEPS = 40
_SMOOTH_VOXELS = 2.0
_LEAST_JACOBIAN = 0.2
_STRAIGHT_MM, _STRAIGHT_SHARE = 8.0, 0.6

Volume = NDArray[np.float32]


def morph(person_hu: Tensor, other_hu: Tensor) -> Tensor:
    """A person half the way to another's shape, with the person's own tissue and coverage.

    Where either scan ends, both are cut before they are matched, so that a missing neck draws nothing together.

    Args:
        person_hu: (z, y, x) int16 on the fine grid.
        other_hu: the same of the other person.

    Returns:
        (z, y, x) int16.

    Raises:
        RuntimeError: if the map folds however much of it is taken.
    """
    person, other = (hu.numpy().astype(np.float32) for hu in (person_hu, other_hu))
    both = _scanned(person) & _scanned(other)
    fixed, moving = (_image(np.where(both, hu, AIR_HU)) for hu in (other, person))
    towards_other = _displacement_mm(_coarse(fixed), _coarse(moving))
    for part in (PART, PART / 2, PART / 4):
        # The whole map takes the person to the other; a part of it takes the person a part of the way.
        field = _image(towards_other * part)
        jacobian = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
        if jacobian.min() > _LEAST_JACOBIAN:
            transform = sitk.DisplacementFieldTransform(field)
            moved = sitk.Resample(_image(person), _image(person), transform, sitk.sitkLinear, AIR_HU)
            return torch.from_numpy(np.rint(sitk.GetArrayFromImage(moved)).astype(np.int16))
    raise RuntimeError("the map between two heads folds")


def _scanned(volume: Volume) -> NDArray[np.bool_]:
    """(z, y, 1): what lies above the plane in which the scan ends; everything where no plane fits its lower end."""
    z, y = (FINE.centres_mm(axis) for axis in (0, 1))
    tissue = (volume > _TISSUE_HU).sum(axis=2) > 4
    filled = tissue.any(axis=0)
    across, lowest = y[filled], z[tissue.argmax(axis=0)][filled]
    straight = np.ones(across.size, dtype=bool)
    slope, height = 0.0, float(z[0])
    for _ in range(3):
        slope, height = np.polyfit(across[straight], lowest[straight], 1)
        straight = np.abs(lowest - height - slope * across) < _STRAIGHT_MM
        if straight.mean() < _STRAIGHT_SHARE:
            return np.ones((z.size, y.size, 1), dtype=bool)
    return np.asarray((z[:, None] > height + slope * y + FINE.voxel_mm)[..., None])


def _displacement_mm(fixed: sitk.Image, moving: sitk.Image) -> NDArray[np.float64]:
    """How far away each point of the fixed head lies in the moving one: (z, y, x, 3), x, y, z in mm, fine grid."""
    affine = _affine(fixed, moving)
    moved = sitk.Resample(moving, fixed, affine, sitk.sitkLinear, float(_WINDOW_HU[0]))
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(_DEMONS_STEPS)
    demons.SetSmoothDisplacementField(True)
    demons.SetStandardDeviations(_SMOOTH_VOXELS)
    field = demons.Execute(fixed, moved)
    whole = sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))])
    like = _image(np.zeros(FINE.shape, dtype=np.float32))
    dense = sitk.TransformToDisplacementField(
        whole, sitk.sitkVectorFloat64, like.GetSize(), like.GetOrigin(), like.GetSpacing(), like.GetDirection()
    )
    away_mm: NDArray[np.float64] = sitk.GetArrayFromImage(dense)
    return away_mm


def _affine(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    registration = sitk.ImageRegistrationMethod()
    registration.SetMetricAsMeanSquares()
    registration.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100)
    registration.SetOptimizerScalesFromPhysicalShift()
    registration.SetInitialTransform(sitk.AffineTransform(3))
    registration.SetInterpolator(sitk.sitkLinear)
    registration.SetShrinkFactorsPerLevel([2, 1])
    registration.SetSmoothingSigmasPerLevel([1, 0])
    return registration.Execute(fixed, moving)


def _image(volume: NDArray[Any]) -> sitk.Image:
    """(z, y, x) values or (z, y, x, 3) vectors on the fine grid."""
    image = sitk.GetImageFromArray(volume, isVector=volume.ndim == 4)
    image.SetSpacing((FINE.voxel_mm,) * 3)
    image.SetOrigin([float(FINE.centres_mm(axis)[0]) for axis in (2, 1, 0)])
    return image


def _coarse(image: sitk.Image) -> sitk.Image:
    """Clipped to what shapes the head, in larger voxels."""
    return sitk.BinShrink(sitk.Clamp(image, sitk.sitkFloat32, *_WINDOW_HU), [_SHRINK] * 3)
