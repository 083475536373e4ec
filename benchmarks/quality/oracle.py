"""What two radiographs can tell of a brain at all, once its skull is known exactly.

A bound that no network reaches: the true skull is given, the radiographs are those of its own 1.8 mm voxels, and soft
tissue is the best linear estimate from what is left of the line integrals: the mean of a Gaussian field, given them.
With ``x = m + C At (A C At + N)^-1 (y - A m)`` the estimate is linear in the radiographs, so what a finding adds to
them shows in the estimate by itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from benchmarks.quality.cohort import GEOMETRY, RADIOGRAPH, on_training_grid
from benchmarks.quality.heads import FINE
from benchmarks.quality.lesions import Changed, Shown, contrast_of, region_of, spread_elsewhere
from common.attenuation import hu_to_mu
from common.metrics import soft_tissue_within
from common.projection import Projector

# Soft tissue about its mean: ventricles and sulci are about so large, and differ by so much.
FIELD_SD_HU, FIELD_MM = 10.0, 6.0
ITERATIONS = 40
# Without photon noise the measurement is still not exact: one part in ten thousand of a head's line integral.
_LEAST_SD = 4e-4


@final
@dataclass(frozen=True)
class Oracle:
    """The best linear estimate of one head's soft tissue.

    Attributes:
        head_hu: (z, y, x) on the fine grid.
        brain: (z, y, x), where soft tissue is estimated.
        noise_sd: (2, rows, columns), SD of the measured line integrals.
    """

    head_hu: Tensor
    brain: Tensor
    noise_sd: Tensor

    @classmethod
    def of(cls, head_hu: Tensor, *, photons: bool) -> Oracle:
        """The oracle of a head, with photon noise or without."""
        brain = soft_tissue_within(head_hu[None, None])[0, 0]
        clean = _projected(head_hu)
        noise = (torch.exp(clean) / RADIOGRAPH.photons).sqrt() if photons else torch.full_like(clean, _LEAST_SD)
        return cls(head_hu, brain, noise)

    def estimate(self, change: Tensor) -> Tensor:
        """What is estimated of a change of the line integrals (2, rows, columns): (z, y, x) HU.

        Conjugate gradients on ``A C At + N``, noise-weighted.
        """
        weighted = change / self.noise_sd
        solution = torch.zeros_like(weighted)
        residual, direction = weighted.clone(), weighted.clone()
        square = float(residual.square().sum())
        for _ in range(ITERATIONS):
            if square == 0:
                break
            applied = direction + self._through(direction)
            step = square / float((direction * applied).sum())
            solution, residual = solution + step * direction, residual - step * applied
            last, square = square, float(residual.square().sum())
            direction = residual + square / last * direction
        return self._spread(self._back(solution / self.noise_sd))

    def noise(self, random: torch.Generator) -> Tensor:
        """Measurement noise of one exposure, (2, rows, columns)."""
        return self.noise_sd * torch.randn(self.noise_sd.shape, generator=random)

    def _through(self, weighted: Tensor) -> Tensor:
        spread = self._spread(self._back(weighted / self.noise_sd))
        projected: Tensor = _PROJECTOR(spread[None, None] * _MU_PER_HU)[0]
        return projected / self.noise_sd

    def _back(self, integrals: Tensor) -> Tensor:
        return _PROJECTOR.adjoint(integrals[None])[0, 0] * _MU_PER_HU

    def _spread(self, values: Tensor) -> Tensor:
        """The field's covariance: smooth within the brain, nothing beyond it."""
        return FIELD_SD_HU**2 * self.brain * _smoothed(self.brain * values)


_PROJECTOR = Projector(FINE, GEOMETRY)
_MU_PER_HU = RADIOGRAPH.water_mu_per_mm / 1000.0


def shown_by(head_hu: Tensor, changed: Sequence[Changed], *, photons: bool, exposures: int = 4) -> list[Shown]:
    """What the oracle shows of each finding in a head, as :func:`benchmarks.quality.lesions.shown_by` of a method.

    Args:
        head_hu: (z, y, x) on the fine grid, without a finding.
        changed: the head with each finding.
        photons: whether the radiographs have photon noise.
        exposures: how often the noise is drawn.
    """
    oracle = Oracle.of(head_hu, photons=photons)
    clean, before = _projected(head_hu), on_training_grid(head_hu).float()
    random = torch.Generator().manual_seed(77)
    # The rest of the brain is measured too: its own estimate, less its truth, is what a finding is seen against.
    middle = head_hu.where(~oracle.brain, head_hu[oracle.brain].mean())
    plain = on_training_grid(middle + oracle.estimate(clean - _projected(middle))).float()
    noises = [on_training_grid(oracle.estimate(oracle.noise(random))).float() for _ in range(exposures)]
    found = []
    for size, hu in changed:
        true_change = on_training_grid(hu).float() - before
        region, beside = region_of(true_change, before)
        shown = on_training_grid(oracle.estimate(_projected(hu) - clean)).float()
        told = [contrast_of(change, region, beside, true_change.sign()) for change in (true_change, shown, *noises)]
        spread = spread_elsewhere(plain, before, region)
        noise = statistics.stdev(told[2:]) if photons else 0.0
        found.append(Shown(size, told[0], told[1], told[1] / max((noise**2 + spread**2) ** 0.5, 1e-6)))
    return found


def _projected(hu: Tensor) -> Tensor:
    projected: Tensor = _PROJECTOR(hu_to_mu(hu[None, None].float(), RADIOGRAPH.water_mu_per_mm))[0]
    return projected


def _smoothed(volume: Tensor) -> Tensor:
    """Gaussian of the field's length along each axis, of unit height: a covariance. Products of matrices, since a
    convolution of one channel is slow on CPUs."""
    z, y, x = (_kernel(cells) for cells in volume.shape)
    planes = y @ (volume @ x)
    return (z @ planes.flatten(1)).view(volume.shape)


def _kernel(cells: int) -> Tensor:
    place_mm = torch.arange(cells) * FINE.voxel_mm
    return torch.exp(-0.5 * ((place_mm[:, None] - place_mm[None, :]) / FIELD_MM) ** 2)
