"""The DRR pair of a CT: noise-free line integrals once per case, fresh photon noise for every sample."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.attenuation import hu_to_mu
from common.geometry import Geometry, Grid
from common.projection import Projector
from common.study import RadiographSettings

_FEWEST_PHOTONS = 1.0


def drr_pair(
    volume_hu: NDArray[np.float32], voxel_mm: float, geometry: Geometry, settings: RadiographSettings
) -> NDArray[np.float32]:
    """Noise-free line integrals of attenuation through a volume centred on the isocentre.

    Args:
        volume_hu: (z, y, x), fine and unclipped, so that metal and dense bone attenuate as they do.
        voxel_mm: edge of its voxels.
        geometry: source, detector and views.
        settings: attenuation of water.

    Returns:
        (2, rows, columns), dimensionless; frontal, lateral.
    """
    z, y, x = volume_hu.shape
    projector = _projector(Grid(shape=(z, y, x), voxel_mm=voxel_mm), geometry)
    with torch.inference_mode():
        mu_per_mm = hu_to_mu(torch.from_numpy(np.ascontiguousarray(volume_hu)), settings.water_mu_per_mm)
        integrals: NDArray[np.float32] = projector(mu_per_mm[None, None])[0].numpy()
    return integrals


def add_noise(integrals: Tensor, photons: float, generator: torch.Generator) -> Tensor:
    """Line integrals as a detector that counts photons would measure them.

    Counts are Poisson with mean ``photons * exp(-integral)``; at least one photon is counted, so that nothing is
    infinite. Expected values shift upwards where few photons arrive, as in a real exposure.

    Args:
        integrals: line integrals of any shape.
        photons: mean count of an unattenuated pixel; 0 returns the integrals as they are.
        generator: source of randomness, on the integrals' device.
    """
    if photons <= 0:
        return integrals
    expected = photons * torch.exp(-integrals.to(torch.float32))
    counts = torch.poisson(expected, generator=generator).clamp(min=_FEWEST_PHOTONS)
    return (-torch.log(counts / photons)).to(integrals.dtype)


@lru_cache(maxsize=2)
def _projector(grid: Grid, geometry: Geometry) -> Projector:
    return Projector(grid, geometry)
