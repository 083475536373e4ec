"""Another scanner: where the scan ends, how sharp its kernel is, how it is noisy."""

from __future__ import annotations

import torch
from torch import Tensor

from client.learning.widening.deformation import AIR_HU
from client.learning.widening.plan import Cut, Plan
from common.geometry import Grid

# Of white noise of unit SD a binomial mean of three along two axes leaves 3/8 of the SD.
_BINOMIAL_PLANE_SD = 6 / 16


def scanned(volume_hu: Tensor, grid: Grid, plan: Plan, random: torch.Generator) -> Tensor:
    """The volume as the plan's scanner shows it.

    Args:
        volume_hu: (z, y, x).
        grid: its grid.
        plan: kernel, noise and the scan's lower end.
        random: on the volume's device.
    """
    if plan.kernel:
        volume_hu = volume_hu + (volume_hu - _binomial(volume_hu, (0, 1, 2))).mul_(plan.kernel)
    if plan.noise_hu:
        noise = torch.randn(volume_hu.shape, generator=random, device=volume_hu.device)
        noise = _binomial(noise, (1, 2)).mul_(plan.noise_hu / _BINOMIAL_PLANE_SD)
        # Air attenuates nothing and is hardly noisy in a reconstruction about a head.
        volume_hu = volume_hu + noise.mul_(((volume_hu - AIR_HU) * (1 / -AIR_HU)).clamp_(0, 1))
    if plan.cut is not None:
        volume_hu = torch.where(_below(grid, plan.cut, volume_hu.device), AIR_HU, volume_hu)
    return volume_hu


def _below(grid: Grid, cut: Cut, device: torch.device) -> Tensor:
    """(z, y, 1): what the scan did not reach."""
    z, y = (torch.from_numpy(grid.centres_mm(axis)).to(device) for axis in (0, 1))
    return (z[:, None] < cut.height_mm + cut.slope * y[None, :])[..., None]


def _binomial(volume: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Mean of three neighbours weighted 1, 2, 1 along each axis; the outermost voxel stands in for what lies beyond."""
    for axis in axes:
        last = volume.shape[axis] - 1
        smooth = volume * 0.5
        smooth.narrow(axis, 1, last).add_(volume.narrow(axis, 0, last), alpha=0.25)
        smooth.narrow(axis, 0, last).add_(volume.narrow(axis, 1, last), alpha=0.25)
        smooth.narrow(axis, 0, 1).add_(volume.narrow(axis, 0, 1), alpha=0.25)
        smooth.narrow(axis, last, 1).add_(volume.narrow(axis, last, 1), alpha=0.25)
        volume = smooth
    return volume
