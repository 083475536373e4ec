"""What a network must beat, on any grid and device: ridge regression with projector consistency after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from benchmarks.quality.classical import CONSISTENCY_STEPS, PENALTIES
from common.networks import ProjectorConsistency
from common.objective import from_window
from common.study import Study

_EVERY = 4


@final
@dataclass(frozen=True)
class Examples:
    """What ridge regression is fitted to.

    Attributes:
        images: (cases, 2, rows, columns), noise-free line integrals.
        volumes: (cases, z, y, x), windowed to 0..1.
        persons: whose head each case is.
    """

    images: Tensor
    volumes: Tensor
    persons: Sequence[str]

    def without(self, person: str) -> tuple[Examples, Examples]:
        """The other persons' cases, and this one's."""
        own = torch.tensor([one == person for one in self.persons], device=self.images.device)
        return self._of(~own), self._of(own)

    def _of(self, chosen: Tensor) -> Examples:
        kept = [person for person, one in zip(self.persons, chosen.tolist(), strict=True) if one]
        return Examples(self.images[chosen], self.volumes[chosen], kept)


def ridge_consistent(study: Study, examples: Examples, integrals: Tensor) -> tuple[Tensor, Tensor, float]:
    """Ridge regression of volumes on radiographs, then consistency weighted by the volumes' variance.

    Args:
        study: grid, geometry and window.
        examples: what is fitted.
        integrals: (B, 2, rows, columns), measured.

    Returns:
        (B, z, y, x) HU before and after consistency, and the penalty: the one that predicts persons best that it was
        not fitted to.
    """
    errors = {penalty: _error_without(examples, penalty) for penalty in PENALTIES}
    penalty = min(errors, key=lambda one: errors[one])
    windowed = _fitted(examples.images, examples.volumes.flatten(1), integrals, penalty).clamp(0, 1)
    windowed = windowed.view(-1, 1, *study.grid.shape)
    water = study.radiograph.water_mu_per_mm
    layer = ProjectorConsistency(study.grid, study.geometry, study.window, water, CONSISTENCY_STEPS).to(
        integrals.device
    )
    freedom = examples.volumes.var(dim=0)[None, None].expand_as(windowed)
    with torch.inference_mode():
        moved = layer(windowed, freedom, integrals)
    before, after = (from_window(volume, study.window).squeeze(1) for volume in (windowed, moved))
    return before, after, penalty


def _error_without(examples: Examples, penalty: float) -> float:
    """Squared error on each person's cases, fitted to the others'; every fourth voxel is enough to choose by."""
    total = 0.0
    for person in sorted(set(examples.persons)):
        others, own = examples.without(person)
        volumes, truth = (part.volumes[:, ::_EVERY, ::_EVERY].flatten(1) for part in (others, own))
        total += float((_fitted(others.images, volumes, own.images, penalty) - truth).square().mean())
    return total


def _fitted(images: Tensor, volumes: Tensor, measured: Tensor, penalty: float) -> Tensor:
    """(B, voxels), by the kernel of the cases: there are far fewer cases than pixels."""
    images, measured = images.flatten(1), measured.flatten(1)
    mean_image, mean_volume = images.mean(dim=0), volumes.mean(dim=0)
    centred = images - mean_image
    kernel = (centred @ centred.t()).double()
    eye = torch.eye(len(kernel), dtype=torch.float64, device=kernel.device)
    damped = kernel + penalty * kernel.diagonal().mean() * eye
    weights = torch.linalg.solve(damped, (centred @ (measured - mean_image).t()).double()).t().float()
    predicted: Tensor = mean_volume + weights @ (volumes - mean_volume)
    return predicted
