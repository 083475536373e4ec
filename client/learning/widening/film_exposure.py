"""Simulated films, fast: what :mod:`client.virtual_films` does, by the projector and as products of matrices.

Then they are read as a site reads a real film: against the open field, filled outside the mask, calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from client.learning.widening.film_plan import FilmPlan
from client.pose import voltage_calibration
from client.radiographs import nearest_exposed
from client.virtual_films import HEAD_ABOVE, FilmStyle, focal_sigma_mm, photons_a_pixel, shadows
from common.attenuation import AIR_HU, water_mu_per_mm
from common.projection import Projector
from common.spectrum import (
    BONE_G_PER_CM3,
    BONE_HU,
    CT_KEV,
    SOFT_HU,
    WATER_G_PER_CM3,
    Spectrum,
    bone_mu_per_mm,
    photon_tables,
    signal_by_energy,
)
from common.study import Study

_REACH_SIGMAS: Final = 4.0
_LEAST_SIGNAL: Final = 1e-6
_DEEPEST: Final = 12.0
_OPEN_SHARE: Final = 0.97
# A reader's mask keeps so far away from every edge of the field and from lead.
_MARGIN_MM: Final = 4.0


@final
class FilmExposure:
    """Exposes and reads film pairs of a study's heads.

    Args:
        study: grid, geometry, energy of its DRRs and ranges of its films.
        projector: of its grid and geometry.
        device: where it works.
    """

    def __init__(self, study: Study, projector: Projector, device: torch.device) -> None:
        self._study = study
        self._projector = projector
        self._device = device

    @torch.no_grad()
    def films(self, volumes_hu: Tensor, plans: Sequence[FilmPlan]) -> tuple[Tensor, Tensor]:
        """Film pairs as a network is given them.

        Args:
            volumes_hu: (B, 1, z, y, x) float32 HU, unclipped.
            plans: B plans.

        Returns:
            Calibrated line integrals, and 1 where they were exposed, else 0: (B, 2, rows, columns) each.

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if a pose brings source or detector into the volume.
        """
        pairs = [self._pair(volume, plan) for volume, plan in zip(volumes_hu, plans, strict=True)]
        integrals, exposed = (torch.stack(images) for images in zip(*pairs, strict=True))
        return integrals.to(self._device), exposed.to(self._device)

    def exposures(self, volume_hu: Tensor, plan: FilmPlan) -> Tensor:
        """Both views' exposure over the open field's, (2, rows, columns), for one head (1, z, y, x)."""
        tissues = tissue_lengths(volume_hu).unsqueeze(1)
        paths = self._projector.project_posed(tissues, [plan.poses, plan.poses]).clamp(min=0)
        behind = passed(plan.style.spectrum, paths[0], paths[1])
        random = torch.Generator(self._device).manual_seed(plan.seed)
        return self._exposed(behind, plan.style, random)

    def _exposed(self, behind: Tensor, style: FilmStyle, random: torch.Generator) -> Tensor:
        geometry = self._study.geometry
        opened, lead = (torch.from_numpy(shadow).to(self._device) for shadow in shadows(geometry, style))
        leak = torch.full_like(behind, style.leak)
        primary = behind * torch.where(opened & ~lead, 1.0, leak)
        primary = self._spread(primary, focal_sigma_mm(geometry, style), is_dark_beyond=False)
        share = torch.where(opened, 1.0, leak)
        spread = self._spread(-behind * torch.log(behind) * share, style.scatter_sigma_mm, is_dark_beyond=True)
        head = (-torch.log(behind) > HEAD_ABOVE) & opened
        ratio = (spread / behind * head).sum((1, 2)) / head.sum((1, 2)).clamp(min=1)
        scatter = spread * (style.scatter_at_detector / ratio.clamp(min=_LEAST_SIGNAL)).view(-1, 1, 1)
        signal = primary + torch.where(head.any(2).any(1).view(-1, 1, 1), scatter, 0.0)
        if style.kerma_ugy > 0:
            photons = photons_a_pixel(geometry, style)
            signal = torch.poisson(signal * photons, generator=random)
            signal = self._spread(signal, style.detector_sigma_mm, is_dark_beyond=False)
            read = torch.randn(signal.shape, generator=random, device=self._device) * style.electronic_photons
            return (signal + read) / photons
        return self._spread(signal, style.detector_sigma_mm, is_dark_beyond=False)

    def _pair(self, volume_hu: Tensor, plan: FilmPlan) -> tuple[Tensor, Tensor]:
        """Read as a site does, on the CPU."""
        geometry, ranges = self._study.geometry, self._study.film
        signal = self.exposures(volume_hu, plan).cpu().clamp(min=_LEAST_SIGNAL)
        opened, lead = shadows(geometry, plan.style)
        margin = math.ceil(_MARGIN_MM / geometry.pixel_mm)
        closed = functional.pad(torch.from_numpy(~opened | lead).float()[None], [margin] * 4, value=1.0)
        exposed = functional.max_pool2d(closed, 2 * margin + 1, stride=1)[0] == 0
        calibration = voltage_calibration(
            plan.style.spectrum.kvp, self._study.radiograph.energy_kev, ranges.expected_scatter_to_primary
        )
        read = []
        for image in signal:
            open_field = image[exposed].quantile(_OPEN_SHARE)
            integrals = (-torch.log(image / open_field)).clamp(-1, _DEEPEST)
            filled = nearest_exposed(integrals.numpy().astype(np.float32), exposed.numpy())
            read.append(torch.from_numpy(calibration.of_pixels(filled, exposed.numpy(), geometry.pixel_mm)))
        return torch.stack(read), exposed.float().expand(2, -1, -1)

    def _spread(self, images: Tensor, sigma_mm: float, *, is_dark_beyond: bool) -> Tensor:
        """(2, rows, columns) blurred by a Gaussian; beyond the edge it is dark, or as the edge."""
        sigma = sigma_mm / self._study.geometry.pixel_mm
        down, right = (_gaussian(cells, sigma, is_dark_beyond).to(images) for cells in images.shape[1:])
        return down @ images @ right.T


def tissue_lengths(volume_hu: Tensor) -> Tensor:
    """(2, z, y, x): millimetres of water and of bone in a millimetre, as :func:`common.spectrum.water_and_bone` says.

    Args:
        volume_hu: (1, z, y, x).
    """
    relative = volume_hu.clamp(min=AIR_HU) / -AIR_HU + 1
    bone = ((volume_hu - SOFT_HU) / (BONE_HU - SOFT_HU)).clamp(0, 1)
    return torch.cat([relative * (1 - bone), relative * bone * (water_mu_per_mm(CT_KEV) / bone_mu_per_mm(CT_KEV))])


def passed(spectrum: Spectrum, water_mm: Tensor, bone_mm: Tensor) -> Tensor:
    """What :func:`common.spectrum.transmission` says, of one shape with both lengths."""
    share, water, bone = (part.to(water_mm) for part in _bins(spectrum))
    exponents = torch.outer(water, water_mm.flatten()) + torch.outer(bone, bone_mm.flatten())
    return (share @ torch.exp(-exponents)).view_as(water_mm)


@lru_cache(maxsize=128)
def _bins(spectrum: Spectrum) -> tuple[Tensor, Tensor, Tensor]:
    """Share in the signal, attenuation of water and of bone per mm of each bin of energy that has any."""
    tables, share = photon_tables(), signal_by_energy(spectrum)
    some = share > 0
    water, bone = tables.water * (WATER_G_PER_CM3 / 10), tables.bone * (BONE_G_PER_CM3 / 10)
    return torch.from_numpy(share[some]), torch.from_numpy(water[some]), torch.from_numpy(bone[some])


@lru_cache(maxsize=64)
def _gaussian(cells: int, sigma: float, is_dark_beyond: bool) -> Tensor:
    """(cells, cells) weights of each pixel in each blurred one, cut at four SD."""
    reach = int(_REACH_SIGMAS * sigma + 0.5)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigma).square()) if reach else torch.ones(1, dtype=torch.float64)
    weights = weights / weights.sum()
    matrix = torch.zeros(cells, cells, dtype=torch.float64)
    for row in range(cells):
        places = row + steps.long()
        inside = (places >= 0) & (places < cells)
        kept = weights * inside if is_dark_beyond else weights
        matrix[row].index_add_(0, places.clamp(0, cells - 1), kept)
    return matrix
