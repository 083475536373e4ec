"""Rigid alignment of a head to the template: centre and all three angles, in a fraction of a second.

Gauss-Newton on clipped HU over the template's surroundings (Baker and Matthews, Int J Comput Vis 56:221, 2004), from
several pitches, coarse to fine. Three scales take up the difference in size between patient and template while it runs
and are then dropped, so that the pose itself stays rigid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from client.archive.anatomy import template_head
from client.archive.body import body_mask, find_head
from client.archive.decoding import AIR_HU, SliceStack, block_mean
from client.archive.volume import Pose, resample_with_extent
from common.geometry import Grid

START_PITCHES_DEG = (0.0, -14.0, 14.0, -28.0, 28.0)
LEVELS_MM = (8.0, 5.0)
ITERATIONS = (14, 8)
START_ITERATIONS = 5
WINDOW_HU = (-500.0, 500.0)
ROBUST_HU = 200.0
SURROUNDINGS_MM = 24.0
UNSCANNED_HU = 250.0

_PRIOR_DEG = (20.0, 8.0, 8.0)
_PRIOR_LOG_SCALE = 0.06
# Neighbouring voxels err together: the data weigh as this share of their number against the priors.
_INDEPENDENT_SHARE = 0.02
_TEMPLATE_EXTENT_MM = (240.0, 240.0, 200.0)
_SEARCH_EXTENT_MM = (320.0, 320.0, 280.0)

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Alignment:
    """Where the canonical grid lies in the patient, and how well it fits.

    Attributes:
        pose: canonical to patient, rigid.
        residual_hu: root mean square difference to the template in the HU window, where the patient was scanned.
        pitch_deg: extension of the head against the template: positive where the chin is up.
        seen_share: share of the template's surroundings that was scanned.
    """

    pose: Pose
    residual_hu: float
    pitch_deg: float
    seen_share: float


@final
@dataclass(frozen=True)
class _Level:
    """The template's points at one voxel size, with their values."""

    points_mm: Array
    values_hu: Array


@final
@dataclass(frozen=True)
class _Target:
    """The patient at one voxel size, to be sampled: value, gradient and extent of the scan, as five channels."""

    channels: torch.Tensor
    origin_mm: Array
    voxel_mm: float


@final
@dataclass(frozen=True)
class _Fit:
    rotation: Array
    centre_mm: Array
    log_scale: Array
    cost: float = math.inf
    residual_hu: float = math.inf
    seen_share: float = 0.0


def align(stack: SliceStack, cranium_centre_mm: Array) -> Alignment:
    """Bring a head into the template's pose.

    Args:
        stack: the head with air around it.
        cranium_centre_mm: (3,), LPS of the middle of the brain as far as it was scanned: where the search starts.
    """
    coarse, *finer = [_target(stack, cranium_centre_mm, voxel_mm) for voxel_mm in LEVELS_MM]
    template = _levels()
    fits = [_refined(fit, coarse, template[0], START_ITERATIONS) for fit in _starts(cranium_centre_mm)]
    best = min(fits, key=lambda fit: fit.cost)
    best = _refined(best, coarse, template[0], ITERATIONS[0])
    for target, level, iterations in zip(finer, template[1:], ITERATIONS[1:], strict=True):
        best = _refined(best, target, level, iterations)
    pitch_deg = -math.degrees(math.atan2(best.rotation[2, 1], best.rotation[2, 2]))
    return Alignment(Pose(best.rotation, best.centre_mm), best.residual_hu, pitch_deg, best.seen_share)


def _starts(cranium_centre_mm: Array) -> Iterator[_Fit]:
    for pitch_deg in START_PITCHES_DEG:
        rotation = Rotation.from_euler("x", -pitch_deg, degrees=True).as_matrix()
        yield _Fit(rotation, cranium_centre_mm - rotation @ _template_cranium_mm(), np.zeros(3))


def _refined(fit: _Fit, target: _Target, level: _Level, iterations: int) -> _Fit:
    """Damped Gauss-Newton steps from a fit; the best fit met."""
    best, damping = replace(fit, cost=math.inf), 1e-3
    candidate = fit
    for _ in range(iterations):
        measured, normal, gradient = _linearised(candidate, target, level)
        if measured.cost < best.cost:
            gain = best.cost - measured.cost
            best, system, damping = measured, (normal, gradient), damping / 4
            if gain < 1e-4 * measured.cost:
                break
        else:
            damping *= 8
        normal, gradient = system
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -gradient)
        candidate = _Fit(
            best.rotation @ Rotation.from_rotvec(step[:3]).as_matrix(),
            best.centre_mm + step[3:6],
            np.clip(best.log_scale + step[6:], -0.25, 0.25),
        )
    return best


def _linearised(fit: _Fit, target: _Target, level: _Level) -> tuple[_Fit, Array, Array]:
    """The fit with its cost, and the 9 x 9 normal matrix and gradient: turn (own axes), shift, log scale."""
    scaled = level.points_mm * np.exp(fit.log_scale)
    value, slope, seen = _sampled(target, scaled @ fit.rotation.T + fit.centre_mm)
    difference = value - level.values_hu
    # Huber: metal, tubes and defects pull no harder than ROBUST_HU.
    weight = seen * np.minimum(1.0, ROBUST_HU / np.maximum(np.abs(difference), 1e-6))
    turned = slope @ fit.rotation
    jacobian = np.concatenate([np.cross(scaled, turned), slope, turned * scaled], axis=1)
    share = _INDEPENDENT_SHARE * (target.voxel_mm / LEVELS_MM[0]) ** 3 / 100.0**2
    weighted = jacobian * (weight * share)[:, None]
    normal = weighted.T @ jacobian
    gradient = weighted.T @ difference
    angles = Rotation.from_matrix(fit.rotation).as_rotvec()
    priors = np.concatenate([np.radians(_PRIOR_DEG) ** -2.0, np.zeros(3), np.full(3, _PRIOR_LOG_SCALE**-2.0)])
    offset = np.concatenate([angles, np.zeros(3), fit.log_scale])
    normal += np.diag(priors)
    gradient += priors * offset
    cost = share * float(weight @ difference**2 + UNSCANNED_HU**2 * (1 - seen).sum()) + float(priors @ offset**2)
    residual = math.sqrt(float(seen @ difference**2) / max(float(seen.sum()), 1.0))
    return replace(fit, cost=cost, residual_hu=residual, seen_share=float(seen.mean())), normal, gradient


def _sampled(target: _Target, points_mm: Array) -> tuple[Array, Array, Array]:
    """Value, gradient (HU per mm) and extent of the scan at points, trilinear."""
    sizes = np.array(target.channels.shape[:1:-1])
    unit = 2 * (points_mm - target.origin_mm) / (target.voxel_mm * (sizes - 1)) - 1
    where = torch.from_numpy(unit.astype(np.float32))[None, None, None]
    found = torch.nn.functional.grid_sample(target.channels, where, padding_mode="zeros", align_corners=True)
    channels = found[0, :, 0, 0].numpy().astype(np.float64)
    return channels[0] + WINDOW_HU[0], channels[1:4].T, channels[4]


def _target(stack: SliceStack, centre_mm: Array, voxel_mm: float) -> _Target:
    """The patient around a point in blocks of voxels, so that nothing aliases."""
    half = Grid(shape=_even_shape(_SEARCH_EXTENT_MM, voxel_mm), voxel_mm=voxel_mm / 2)
    volume, scanned = resample_with_extent(stack, Pose(np.eye(3), centre_mm), half)
    np.clip(volume, *WINDOW_HU, out=volume)
    value = block_mean(volume, (2, 2, 2)) - WINDOW_HU[0]
    seen = block_mean(scanned.astype(np.float32), (2, 2, 2))
    slopes = [slope / voxel_mm for slope in reversed(np.gradient(value))]
    channels = np.stack([value, *slopes, seen]).astype(np.float32)
    origin = centre_mm - (np.array(value.shape[::-1]) - 1) / 2 * voxel_mm
    return _Target(torch.from_numpy(channels)[None], origin, voxel_mm)


@lru_cache(maxsize=1)
def _levels() -> tuple[_Level, ...]:
    return tuple(_level(voxel_mm) for voxel_mm in LEVELS_MM)


def _level(voxel_mm: float) -> _Level:
    half = Grid(shape=_even_shape(_TEMPLATE_EXTENT_MM, voxel_mm), voxel_mm=voxel_mm / 2)
    clipped = np.clip(template_head(half).astype(np.float32), *WINDOW_HU)
    values = block_mean(clipped, (2, 2, 2))
    reach = max(1, round(SURROUNDINGS_MM / voxel_mm))
    near = ndimage.binary_dilation(values > WINDOW_HU[0] + 100, iterations=reach)
    grid = half.coarser(2)
    z, y, x = np.meshgrid(*(grid.centres_mm(axis) for axis in range(3)), indexing="ij")
    # Below the skull base posture decides where tissue lies, not the head's pose.
    near &= z > -95.0
    points = np.stack([x[near], y[near], z[near]], axis=1)
    return _Level(points, values[near].astype(np.float64))


@lru_cache(maxsize=1)
def _template_cranium_mm() -> Array:
    """Middle of the template's brain, found as a patient's is."""
    grid = Grid(shape=(64, 64, 64), voxel_mm=3.5)
    x, y, z = (grid.centres_mm(axis) for axis in (2, 1, 0))
    origins = np.stack([np.full_like(z, x[0]), np.full_like(z, y[0]), z], axis=1)
    step = grid.voxel_mm
    hu = template_head(grid).astype(np.float32)
    stack = SliceStack(hu, origins, np.array([0, step, 0]), np.array([step, 0, 0]), AIR_HU, 1000.0)
    return find_head(stack, body_mask(stack)).centre_mm


def _even_shape(extent_mm: tuple[float, float, float], voxel_mm: float) -> tuple[int, int, int]:
    """Shape in half voxels that covers the extent with whole voxels."""
    z, y, x = (2 * math.ceil(length / voxel_mm) for length in extent_mm)
    return z, y, x
