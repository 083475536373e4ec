"""A pose fitted to the template at one voxel size: Gauss-Newton on clipped HU, damped.

After Baker and Matthews, Int J Comput Vis 56:221, 2004. Three scales take up the difference in size between patient
and template while it runs, so that the pose itself stays rigid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from client.case.decoding import SliceStack, Volume, block_mean
from client.case.template import WINDOW_HU, TemplateLevel
from client.case.volume import Pose, resample_with_extent
from common.geometry import Grid

ROBUST_HU = 100.0
UNSCANNED_HU = 120.0
SAMPLING_MM = 3.0

_PRIOR_DEG = (15.0, 8.0, 8.0)
_PRIOR_LOG_SCALE = 0.03
_PRIOR_SHEAR = 0.2
_LARGEST_LOG_SCALE = 0.25
# Neighbouring voxels err together: the data weigh as this share of their number, at 9 mm, against the priors.
_INDEPENDENT_SHARE = 0.015
_EXPECTED_HU = 100.0
_SEARCH_EXTENT_MM = (300.0, 300.0, 264.0)

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Target:
    """The patient at one voxel size, to be sampled: value, gradient along x, y, z and extent of the scan."""

    channels: torch.Tensor
    origin_mm: Array
    voxel_mm: float

    def brightest(self) -> Self:
        """The greatest value among each voxel's neighbours, alone."""
        brightest = ndimage.maximum_filter(self.channels[0, 0].numpy(), size=3)
        return replace(self, channels=torch.from_numpy(brightest)[None, None])


@final
@dataclass(frozen=True)
class Surroundings:
    """The patient around a point, from which every voxel size is averaged so that nothing aliases.

    Attributes:
        window_hu: (z, y, x) at 3 mm along LPS, clipped to the window.
        scanned: (z, y, x), 1 where the patient was scanned, 0 elsewhere.
        origin_mm: LPS (x, y, z) of the first voxel's centre.
    """

    window_hu: Volume
    scanned: Volume
    origin_mm: Array

    @classmethod
    def of(cls, stack: SliceStack, centre_mm: Array) -> Self:
        """What lies around a point of a stack."""
        z, y, x = (round(length / SAMPLING_MM / 6) * 6 for length in _SEARCH_EXTENT_MM)
        grid = Grid(shape=(z, y, x), voxel_mm=SAMPLING_MM)
        volume, scanned = resample_with_extent(stack, Pose(np.eye(3), centre_mm), grid)
        np.clip(volume, *WINDOW_HU, out=volume)
        origin_mm = centre_mm - (np.array((x, y, z)) - 1) / 2 * SAMPLING_MM
        return cls(volume, scanned.astype(np.float32), origin_mm)

    def at(self, voxel_mm: float) -> Target:
        """The target at a voxel size that divides the whole evenly."""
        factor = round(voxel_mm / SAMPLING_MM)
        value = block_mean(self.window_hu, (factor,) * 3) - WINDOW_HU[0]
        slopes = [slope / voxel_mm for slope in reversed(np.gradient(value))]
        channels = np.stack([value, *slopes, block_mean(self.scanned, (factor,) * 3)]).astype(np.float32)
        return Target(torch.from_numpy(channels)[None], self.origin_mm + (factor - 1) / 2 * SAMPLING_MM, voxel_mm)


@final
@dataclass(frozen=True)
class Fit:
    """Where the template lies in the patient: ``patient = frame @ rotation @ (scale * canonical) + centre_mm``.

    Attributes:
        rotation: (3, 3), what the priors hold near the identity.
        centre_mm: (3,), LPS.
        log_scale: (3,), along the canonical x, y, z.
        frame: (3, 3), the axis orientation that is supposed; the identity as recorded.
        shear: how far to the left and to the back slices are supposed to lie too much for each mm that they lie higher.
        cost: squared errors against the patient, and priors, in units of their variances.
        size_cost: the scales' share of the cost.
        residual_hu: root mean square difference to the template where the patient was scanned.
        scanned_share: share of the template's points where that is.
    """

    rotation: Array
    centre_mm: Array
    log_scale: Array = field(default_factory=lambda: np.zeros(3))
    frame: Array = field(default_factory=lambda: np.eye(3))
    shear: tuple[float, float] = (0.0, 0.0)
    cost: float = math.inf
    size_cost: float = 0.0
    residual_hu: float = math.inf
    scanned_share: float = 0.0

    @property
    def turn(self) -> Array:
        """The whole rotation from canonical to patient."""
        whole: Array = self.frame @ self.rotation
        return whole

    @property
    def sheared_turn(self) -> Array:
        """The turn, then the shift of each height to the left and to the back: (3, 3)."""
        turned = self.turn
        if self.shear == (0.0, 0.0):
            return turned
        shift: Array = np.array([*self.shear, 0.0])[:, None] * turned[2]
        return turned + shift


def start_at(brain_mm: Array, pitch_deg: float, level: TemplateLevel, frame: Array | None = None) -> Fit:
    """A fit to start from, with the middle of the brain at a point."""
    frame = np.eye(3) if frame is None else frame
    rotation = pitched(pitch_deg)
    return Fit(rotation, brain_mm - frame @ rotation @ level.brain_middle_mm, frame=frame)


def pitched(pitch_deg: float) -> Array:
    """(3, 3), rotation that lifts the chin."""
    matrix: Array = Rotation.from_euler("x", -pitch_deg, degrees=True).as_matrix()
    return matrix


def leaning(fit: Fit, shear: float) -> Fit:
    """The fit with slices that shift to the back by a shear, its own turn by half of that undone."""
    return replace(fit, rotation=Rotation.from_euler("x", shear / 2).as_matrix() @ fit.rotation, shear=(0.0, shear))


def measured(fit: Fit, target: Target, level: TemplateLevel) -> Fit:
    """The fit with its cost and residual against a target."""
    return _linearised(fit, target, level)[0]


def refined(fit: Fit, target: Target, level: TemplateLevel, iterations: int, *, free_shear: bool = False) -> Fit:
    """Levenberg-Marquardt steps from a fit, its shear held unless it is free; the best fit met."""
    best, normal, gradient = _linearised(fit, target, level, free_shear=free_shear)
    damping = 1e-3
    for _ in range(iterations):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -gradient)
        moved = replace(
            best,
            rotation=best.rotation @ Rotation.from_rotvec(step[:3]).as_matrix(),
            centre_mm=best.centre_mm + step[3:6],
            log_scale=np.clip(best.log_scale + step[6:9], -_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE),
            shear=(best.shear[0] + float(step[9]), best.shear[1] + float(step[10])) if free_shear else best.shear,
        )
        met, new_normal, new_gradient = _linearised(moved, target, level, free_shear=free_shear)
        gain = best.cost - met.cost
        if gain > 0:
            best, normal, gradient, damping = met, new_normal, new_gradient, damping / 4
        else:
            damping *= 10
        if 0 < gain < 1e-3 * best.cost or damping > 1e3:
            break
    return best


def _linearised(
    fit: Fit, target: Target, level: TemplateLevel, *, free_shear: bool = False
) -> tuple[Fit, Array, Array]:
    """The fit with its cost, its normal matrix and gradient: turn (own axes), shift, log scale; a free shear last."""
    values = sampled(target, fit, level)
    slope, seen = values[1:4], values[4]
    difference = values[0] - level.values_hu
    # Huber: metal, tubes and defects pull no harder than ROBUST_HU.
    weight = seen * np.minimum(1.0, ROBUST_HU / np.maximum(np.abs(difference), 1e-6))
    x, y, z = scaled = level.points_mm.T * np.exp(fit.log_scale).astype(np.float32)[:, None]
    along_x, along_y, along_z = turned = fit.sheared_turn.T.astype(np.float32) @ slope
    crossed = np.stack([y * along_z - z * along_y, z * along_x - x * along_z, x * along_y - y * along_x])
    jacobian = np.concatenate([crossed, slope, turned * scaled])
    if free_shear:
        jacobian = np.concatenate([jacobian, slope[:2] * (fit.turn[2].astype(np.float32) @ scaled)])
    share = level.voxels_each * _INDEPENDENT_SHARE * (target.voxel_mm / 9.0) ** 3 / _EXPECTED_HU**2
    weighted = jacobian * (weight * np.float32(share))
    precision = np.concatenate([np.radians(_PRIOR_DEG) ** -2.0, np.zeros(3), np.full(3, _PRIOR_LOG_SCALE**-2.0)])
    offset = np.concatenate([_rotation_vector(fit.rotation), np.zeros(3), fit.log_scale])
    if free_shear:
        precision, offset = np.append(precision, [_PRIOR_SHEAR**-2.0] * 2), np.append(offset, fit.shear)
    normal = weighted @ jacobian.T + np.diag(precision + 1e-9)
    gradient = weighted @ difference + precision * offset
    squared = difference**2
    size_cost = float(precision[6:9] @ offset[6:9] ** 2)
    cost = share * float(weight @ squared + UNSCANNED_HU**2 * (1 - seen).sum()) + float(precision @ offset**2)
    scanned = float(seen.sum())
    residual = math.sqrt(float(seen @ squared) / max(scanned, 1.0))
    met = replace(fit, cost=cost, size_cost=size_cost, residual_hu=residual, scanned_share=scanned / len(seen))
    return met, normal, gradient


def _rotation_vector(rotation: Array) -> Array:
    """Axis times angle of a rotation by less than half a turn."""
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = np.linalg.norm(axis) / 2
    angle = math.atan2(sine, (np.trace(rotation) - 1) / 2)
    vector: Array = axis / 2 * (angle / sine if sine > 1e-9 else 1.0)
    return vector


def sampled(target: Target, fit: Fit, level: TemplateLevel) -> Volume:
    """The target's channels at the template's points, the value in HU: (channels, points)."""
    # One affine map from the template to PyTorch's coordinates, which run from -1 to 1 between the outermost centres.
    stretch = 2 / (target.voxel_mm * (np.array(target.channels.shape[:1:-1]) - 1))
    turn = (stretch[:, None] * fit.sheared_turn * np.exp(fit.log_scale)).astype(np.float32)
    shift = (stretch * (fit.centre_mm - target.origin_mm) - 1).astype(np.float32)
    where = torch.from_numpy(level.points_mm @ turn.T + shift)[None, None, None]
    found = torch.nn.functional.grid_sample(target.channels, where, padding_mode="zeros", align_corners=True)
    channels: Volume = found[0, :, 0, 0].numpy()
    channels[0] += WINDOW_HU[0]
    return channels
