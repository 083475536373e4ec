"""Rigid alignment of a head to the template: centre and all three angles, in a fraction of a second.

Gauss-Newton on clipped HU over the template's surroundings (Baker and Matthews, Int J Comput Vis 56:221, 2004), from
several pitches and centres, coarse to fine. Three scales take up the difference in size between patient and template
while it runs and are then dropped, so that the pose itself stays rigid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from client.case.decoding import SliceStack, Volume, block_mean
from client.case.template import WINDOW_HU, TemplateLevel, template_levels
from client.case.volume import Pose, resample_with_extent
from common.geometry import Grid

START_PITCHES_DEG = (0.0, -20.0, 20.0)
# After a few steps from every start, only the most promising go on.
FIRST_ITERATIONS, KEPT_STARTS, START_ITERATIONS = 2, 3, 4
ITERATIONS = (10, 6)
SHEAR_ITERATIONS, MORE_ITERATIONS = 2, 6
SMALL_SHEAR = 0.04
# Of such a residual slices may lean so far that no small step tells it: two leaning starts are tried too.
FAR_OFF_HU = (110.0, 200.0)
LEANING = 0.3
ROBUST_HU = 100.0
UNSCANNED_HU = 120.0
BRAIN_HU = (-40.0, 120.0)
BONE_HU = 200.0

_PRIOR_DEG = (15.0, 8.0, 8.0)
_PRIOR_LOG_SCALE = 0.03
_PRIOR_SHEAR = 0.2
_LARGEST_LOG_SCALE = 0.25
# Neighbouring voxels err together: the data weigh as this share of their number, at 9 mm, against the priors.
_INDEPENDENT_SHARE = 0.015
_EXPECTED_HU = 100.0
_SEARCH_EXTENT_MM = (300.0, 300.0, 264.0)
_SAMPLING_MM = 3.0

Array = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Alignment:
    """Where the canonical grid lies in the patient, how well it fits, and what lies where the template has its brain.

    Attributes:
        pose: canonical to patient, rigid.
        residual_hu: root mean square difference to the template in the HU window, where the patient was scanned.
        pitch_deg: extension of the head against the template: positive where the chin is up.
        brain_seen_share: share of the template's brain that was scanned.
        brain_like_share: share of that in which the patient shows brain too.
        brain_median_hu: the patient's median there, clipped to the window; NaN if nothing was scanned.
        skull_share: share of the template's scanned vault within 6 mm of which the patient has bone.
        shear: how far to the left and to the back the head's slices lie too much for each mm that they lie higher, from
            a fit in which they may shift so; near nothing where slices are placed as they were scanned.
        unsheared_share: what that fit leaves of the residual.
    """

    pose: Pose
    residual_hu: float
    pitch_deg: float
    brain_seen_share: float
    brain_like_share: float
    brain_median_hu: float
    skull_share: float
    shear: tuple[float, float] = (0.0, 0.0)
    unsheared_share: float = 1.0

    @property
    def turn_deg(self) -> float:
        """Angle between the patient's head and the template, about whatever axis."""
        return math.degrees(float(Rotation.from_matrix(self.pose.rotation).magnitude()))


@final
@dataclass(frozen=True)
class _Target:
    """The patient at one voxel size, to be sampled: value, gradient along x, y, z and extent of the scan."""

    channels: torch.Tensor
    origin_mm: Array
    voxel_mm: float


@final
@dataclass(frozen=True)
class _Fit:
    rotation: Array
    centre_mm: Array
    log_scale: Array
    shear: tuple[float, float] = (0.0, 0.0)
    cost: float = math.inf
    residual_hu: float = math.inf


def align(stack: SliceStack, brain_guesses_mm: Sequence[Array]) -> Alignment:
    """Bring a head into the template's pose.

    Args:
        stack: the head with air around it.
        brain_guesses_mm: LPS points where the middle of the brain may lie: where searches start.
    """
    centre = np.mean(brain_guesses_mm, axis=0)
    levels = template_levels()
    targets = _targets(stack, centre, [level.voxel_mm for level in levels])
    coarse = targets[0], levels[0]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        fits = pool.map(lambda start: _refined(start, *coarse, FIRST_ITERATIONS), _starts(brain_guesses_mm, levels[0]))
        promising = sorted(fits, key=lambda fit: fit.cost)[:KEPT_STARTS]
        best = min(pool.map(lambda fit: _refined(fit, *coarse, START_ITERATIONS), promising), key=lambda fit: fit.cost)
    for target, level, iterations in zip(targets, levels, ITERATIONS, strict=True):
        best = _refined(best, target, level, iterations)
    shear, unsheared_share = _shear(best, *coarse)
    return replace(_described(best, targets[-1], levels[-1]), shear=shear, unsheared_share=unsheared_share)


def _shear(fit: _Fit, target: _Target, level: TemplateLevel) -> tuple[tuple[float, float], float]:
    """Shear of the slices that fits best, and what it leaves of the residual;
    where a fit is far off, it is also sought from poses that leaning slices suggest.
    """
    upright = _linearised(fit, target, level)[0]
    best = _refined(upright, target, level, SHEAR_ITERATIONS, free_shear=True)
    starts = [best] if max(map(abs, best.shear)) > SMALL_SHEAR else []
    if FAR_OFF_HU[0] < upright.residual_hu < FAR_OFF_HU[1]:
        starts += [_leaning(fit, shear) for shear in (-LEANING, LEANING)]
    fits = [_refined(start, target, level, MORE_ITERATIONS, free_shear=True) for start in starts]
    best = min((best, *fits), key=lambda found: found.cost)
    return best.shear, best.residual_hu / max(upright.residual_hu, 1e-6)


def _starts(brain_guesses_mm: Sequence[Array], level: TemplateLevel) -> Iterator[_Fit]:
    brain_mm = level.points_mm[level.brain].mean(axis=0)
    for guess in brain_guesses_mm:
        for pitch_deg in START_PITCHES_DEG:
            rotation = Rotation.from_euler("x", -pitch_deg, degrees=True).as_matrix()
            yield _Fit(rotation, guess - rotation @ brain_mm, np.zeros(3))


def _leaning(fit: _Fit, shear: float) -> _Fit:
    """The fit with slices that shift to the back by a shear, its own turn by half of that undone."""
    return replace(fit, rotation=Rotation.from_euler("x", shear / 2).as_matrix() @ fit.rotation, shear=(0.0, shear))


def _refined(fit: _Fit, target: _Target, level: TemplateLevel, iterations: int, *, free_shear: bool = False) -> _Fit:
    """Levenberg-Marquardt steps from a fit, its shear held unless it is free; the best fit met."""
    best, normal, gradient = _linearised(fit, target, level, free_shear=free_shear)
    damping = 1e-3
    for _ in range(iterations):
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -gradient)
        moved = _Fit(
            best.rotation @ Rotation.from_rotvec(step[:3]).as_matrix(),
            best.centre_mm + step[3:6],
            np.clip(best.log_scale + step[6:9], -_LARGEST_LOG_SCALE, _LARGEST_LOG_SCALE),
            (best.shear[0] + float(step[9]), best.shear[1] + float(step[10])) if free_shear else best.shear,
        )
        measured, new_normal, new_gradient = _linearised(moved, target, level, free_shear=free_shear)
        gain = best.cost - measured.cost
        if gain > 0:
            best, normal, gradient, damping = measured, new_normal, new_gradient, damping / 4
        else:
            damping *= 10
        if 0 < gain < 1e-3 * best.cost or damping > 1e3:
            break
    return best


def _linearised(
    fit: _Fit, target: _Target, level: TemplateLevel, *, free_shear: bool = False
) -> tuple[_Fit, Array, Array]:
    """The fit with its cost, its normal matrix and gradient: turn (own axes), shift, log scale; a free shear last."""
    sampled = _sampled(target, fit, level)
    slope, seen = sampled[1:4], sampled[4]
    difference = sampled[0] - level.values_hu
    # Huber: metal, tubes and defects pull no harder than ROBUST_HU.
    weight = seen * np.minimum(1.0, ROBUST_HU / np.maximum(np.abs(difference), 1e-6))
    x, y, z = scaled = level.points_mm.T * np.exp(fit.log_scale).astype(np.float32)[:, None]
    along_x, along_y, along_z = turned = _sheared(fit).T.astype(np.float32) @ slope
    crossed = np.stack([y * along_z - z * along_y, z * along_x - x * along_z, x * along_y - y * along_x])
    jacobian = np.concatenate([crossed, slope, turned * scaled])
    if free_shear:
        jacobian = np.concatenate([jacobian, slope[:2] * (fit.rotation[2].astype(np.float32) @ scaled)])
    share = _INDEPENDENT_SHARE * (target.voxel_mm / 9.0) ** 3 / _EXPECTED_HU**2
    weighted = jacobian * (weight * np.float32(share))
    precision = np.concatenate([np.radians(_PRIOR_DEG) ** -2.0, np.zeros(3), np.full(3, _PRIOR_LOG_SCALE**-2.0)])
    offset = np.concatenate([_rotation_vector(fit.rotation), np.zeros(3), fit.log_scale])
    if free_shear:
        precision, offset = np.append(precision, [_PRIOR_SHEAR**-2.0] * 2), np.append(offset, fit.shear)
    normal = weighted @ jacobian.T + np.diag(precision + 1e-9)
    gradient = weighted @ difference + precision * offset
    squared = difference**2
    cost = share * float(weight @ squared + UNSCANNED_HU**2 * (1 - seen).sum()) + float(precision @ offset**2)
    residual = math.sqrt(float(seen @ squared) / max(float(seen.sum()), 1.0))
    return replace(fit, cost=cost, residual_hu=residual), normal, gradient


def _sheared(fit: _Fit) -> Array:
    """The turn, then the shift of each height to the left and to the back: (3, 3)."""
    turned = fit.rotation
    if fit.shear == (0.0, 0.0):
        return turned
    shift: Array = np.array([*fit.shear, 0.0])[:, None] * turned[2]
    return turned + shift


def _rotation_vector(rotation: Array) -> Array:
    """Axis times angle of a rotation by less than half a turn."""
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine = np.linalg.norm(axis) / 2
    angle = math.atan2(sine, (np.trace(rotation) - 1) / 2)
    vector: Array = axis / 2 * (angle / sine if sine > 1e-9 else 1.0)
    return vector


def _described(fit: _Fit, target: _Target, level: TemplateLevel) -> Alignment:
    sampled = _sampled(target, fit, level)
    scanned = sampled[4] > 0.5
    brain = sampled[0, level.brain & scanned]
    vault = _sampled(_brightest(target), fit, level)[0, level.vault & scanned]
    return Alignment(
        pose=Pose(fit.rotation, fit.centre_mm),
        residual_hu=fit.residual_hu,
        pitch_deg=-math.degrees(math.atan2(fit.rotation[2, 1], fit.rotation[2, 2])),
        brain_seen_share=float(scanned[level.brain].mean()),
        brain_like_share=float(((brain >= BRAIN_HU[0]) & (brain <= BRAIN_HU[1])).mean()) if brain.size else 0.0,
        brain_median_hu=float(np.median(brain)) if brain.size else math.nan,
        skull_share=float((vault > BONE_HU).mean()) if vault.size else 0.0,
    )


def _brightest(target: _Target) -> _Target:
    """The greatest value among each voxel's neighbours, alone."""
    brightest = ndimage.maximum_filter(target.channels[0, 0].numpy(), size=3)
    return replace(target, channels=torch.from_numpy(brightest)[None, None])


def _sampled(target: _Target, fit: _Fit, level: TemplateLevel) -> Volume:
    """The target's channels at the template's points, the value in HU: (channels, points)."""
    # One affine map from the template to PyTorch's coordinates, which run from -1 to 1 between the outermost centres.
    stretch = 2 / (target.voxel_mm * (np.array(target.channels.shape[:1:-1]) - 1))
    turn = (stretch[:, None] * _sheared(fit) * np.exp(fit.log_scale)).astype(np.float32)
    shift = (stretch * (fit.centre_mm - target.origin_mm) - 1).astype(np.float32)
    where = torch.from_numpy(level.points_mm @ turn.T + shift)[None, None, None]
    found = torch.nn.functional.grid_sample(target.channels, where, padding_mode="zeros", align_corners=True)
    channels: Volume = found[0, :, 0, 0].numpy()
    channels[0] += WINDOW_HU[0]
    return channels


def _targets(stack: SliceStack, centre_mm: Array, voxels_mm: Sequence[float]) -> list[_Target]:
    """The patient around a point at several voxel sizes, averaged from one sampling so that nothing aliases."""
    z, y, x = (round(length / _SAMPLING_MM / 6) * 6 for length in _SEARCH_EXTENT_MM)
    grid = Grid(shape=(z, y, x), voxel_mm=_SAMPLING_MM)
    volume, scanned = resample_with_extent(stack, Pose(np.eye(3), centre_mm), grid)
    np.clip(volume, *WINDOW_HU, out=volume)
    seen = scanned.astype(np.float32)
    return [_target(volume, seen, centre_mm, round(voxel_mm / _SAMPLING_MM)) for voxel_mm in voxels_mm]


def _target(volume: Volume, seen: Volume, centre_mm: Array, factor: int) -> _Target:
    value = block_mean(volume, (factor,) * 3) - WINDOW_HU[0]
    voxel_mm = _SAMPLING_MM * factor
    slopes = [slope / voxel_mm for slope in reversed(np.gradient(value))]
    channels = np.stack([value, *slopes, block_mean(seen, (factor,) * 3)]).astype(np.float32)
    origin = centre_mm - (np.array(value.shape[::-1]) - 1) / 2 * voxel_mm
    return _Target(torch.from_numpy(channels)[None], origin, voxel_mm)
