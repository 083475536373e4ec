"""New anatomy from one head: size, pose, a smooth displacement, a mirror image and bone density, without folding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from client.phantom import AIR_HU, HIGHEST_HU, LOWEST_HU, rotation_matrix

LARGEST_SCALE = 0.07
PEAK_MM = 3.0
_ROTATION_SD_DEG = 2.5
_ROTATION_LIMIT_DEG = 6.0
_SHIFT_SD_MM = 2.0
_SHIFT_LIMIT_MM = 4.0
_KNOT_MM = 45.0
# Bone is what lies above the ramp: soft tissue, blood and contrast medium keep their values.
_BONE_RAMP_HU = (120.0, 320.0)

Map = NDArray[np.float32]


@final
@dataclass(frozen=True)
class Deformation:
    """A map from each voxel of the new head to the place in the old one that it is filled from.

    The map is ``source = affine @ (mirror @ target - shift) + displacement(target)``, all in mm as (x, y, z) about the
    volume's centre. It is kept as a formula; :meth:`source_mm` evaluates it densely.

    Attributes:
        shape: voxels along (z, y, x).
        voxel_mm: edge of the voxel.
        affine: (3, 3), inverse of rotation times scale.
        shift_mm: translation of the new head, (x, y, z).
        displacement_mm: (3, z knots, y knots, x knots) coefficients of a cubic B-spline, components (x, y, z).
        flipped: whether left and right are exchanged.
        bone: factor on the HU of bone.
    """

    shape: tuple[int, int, int]
    voxel_mm: float
    affine: NDArray[np.floating]
    shift_mm: NDArray[np.float64]
    displacement_mm: NDArray[np.float64]
    flipped: bool
    bone: float

    def source_mm(self) -> Map:
        """Where each voxel comes from: (3, z, y, x) float32, components (x, y, z) in mm about the volume's centre."""
        z, y, x = (((np.arange(n) - (n - 1) / 2) * self.voxel_mm) for n in self.shape)
        if self.flipped:
            x = -x
        source = _spline(self.displacement_mm, self.shape)
        offset = self.affine @ self.shift_mm
        for component, (along_x, along_y, along_z) in enumerate(self.affine):
            source[component] += (x * along_x).astype(np.float32)
            source[component] += (y * along_y).astype(np.float32)[:, None]
            source[component] += (z * along_z - offset[component]).astype(np.float32)[:, None, None]
        return source

    def apply(self, volume_hu: NDArray[np.int16]) -> NDArray[np.int16]:
        """The new head, trilinear; air comes in from outside.

        Args:
            volume_hu: (z, y, x) int16 of the deformation's shape.

        Raises:
            ValueError: if the shape differs.
        """
        if volume_hu.shape != self.shape:
            raise ValueError(f"volume has shape {volume_hu.shape}, the deformation {self.shape}")
        source = self.source_mm()
        scale = [2 / ((n - 1) * self.voxel_mm) for n in reversed(self.shape)]
        points = np.stack([source[axis] * np.float32(scale[axis]) for axis in range(3)], axis=-1)
        # Sampling fills the outside with zero, so air is made zero first.
        above_air = torch.from_numpy(volume_hu.astype(np.float32) - np.float32(AIR_HU))
        sampled = torch.nn.functional.grid_sample(
            above_air[None, None],
            torch.from_numpy(points)[None],
            mode="bilinear",
            padding_mode="zeros",
            align_corners=True,
        )
        hu = sampled[0, 0].numpy()
        hu += np.float32(AIR_HU)
        low, high = _BONE_RAMP_HU
        share = np.clip((hu - low) * (1 / (high - low)), 0.0, 1.0)
        hu += hu * share * (self.bone - 1.0)
        np.clip(hu, LOWEST_HU, HIGHEST_HU, out=hu)
        rounded: NDArray[np.int16] = np.rint(hu).astype(np.int16)
        return rounded


def random_deformation(seed: int, shape: tuple[int, int, int], voxel_mm: float) -> Deformation:
    """The deformation that belongs to a seed.

    Args:
        seed: at least 0.
        shape: voxels along (z, y, x).
        voxel_mm: edge of the voxel.
    """
    rng = np.random.default_rng([seed, 0xDEF0])
    scale = 1.0 + np.clip(rng.normal(0.0, 0.04, 3), -LARGEST_SCALE, LARGEST_SCALE)
    angles = np.clip(rng.normal(0.0, _ROTATION_SD_DEG, 3), -_ROTATION_LIMIT_DEG, _ROTATION_LIMIT_DEG)
    rotation = rotation_matrix((float(angles[0]), float(angles[1]), float(angles[2])))
    knots = tuple(int(np.ceil((n - 1) * voxel_mm / _KNOT_MM)) + 3 for n in shape)
    coefficients = rng.normal(0.0, 1.0, (3, *knots))
    peak = float(np.sqrt(np.square(_spline(coefficients, shape)).sum(axis=0).max()))
    return Deformation(
        shape=shape,
        voxel_mm=voxel_mm,
        affine=np.linalg.inv(rotation * scale),
        shift_mm=np.clip(rng.normal(0.0, _SHIFT_SD_MM, 3), -_SHIFT_LIMIT_MM, _SHIFT_LIMIT_MM),
        displacement_mm=coefficients * (PEAK_MM / peak),
        flipped=bool(rng.random() < 0.5),
        bone=float(rng.uniform(0.85, 1.15)),
    )


def _spline(coefficients: NDArray[np.float64], shape: tuple[int, int, int]) -> Map:
    """A uniform cubic B-spline on the voxels: (3, z, y, x) float32 from (3, z, y, x) knots that span the volume."""
    field = coefficients.astype(np.float32)
    for axis, length in enumerate(shape, start=1):
        basis = _basis(length, field.shape[axis])
        field = np.moveaxis(np.tensordot(basis, field, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(field)


def _basis(length: int, knots: int) -> Map:
    place = np.linspace(0.0, knots - 3.0, length)[:, None]
    distance = np.abs(place - (np.arange(knots) - 1.0)[None])
    near = 2 / 3 - np.square(distance) * (1 - distance / 2)
    far = np.power(np.maximum(2 - distance, 0.0), 3) / 6
    return np.where(distance < 1, near, far).astype(np.float32)
