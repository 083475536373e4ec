"""What a network must beat: mean volume, nearest radiographs, ridge regression, and projector consistency after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from benchmarks.quality.cohort import GEOMETRY, GRID, RADIOGRAPH, Fold, TrainingCase
from client.evaluation import with_soft_tissue
from common.metrics import SOFT_HU
from common.networks import ProjectorConsistency
from common.objective import from_window, to_window
from common.study import SOFT_TISSUE_HU, Window

WINDOW = Window()
PENALTIES = (0.01, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
CONSISTENCY_STEPS = 20
_EVERY = 4


@final
@dataclass(frozen=True)
class TrainingSet:
    """The training cases of a fold as matrices.

    Attributes:
        images: (cases, pixels) noise-free line integrals.
        volumes: (cases, voxels) windowed to 0..1.
        entries: the cases with their persons.
    """

    images: Tensor
    volumes: Tensor
    entries: Sequence[TrainingCase]

    @classmethod
    def of(cls, fold: Fold) -> TrainingSet:
        """The training set of a fold."""
        images = torch.stack([torch.from_numpy(case.integrals).flatten() for case in fold.cases])
        volumes = torch.stack([to_window(torch.from_numpy(case.volume_hu), WINDOW).flatten() for case in fold.cases])
        return cls(images, volumes, fold.heads.training)

    def variance(self) -> Tensor:
        """(1, 1, z, y, x) variance of each voxel over the cases."""
        return self.volumes.var(dim=0).view(1, 1, *GRID.shape)


def mean_volume(training: TrainingSet, integrals: Tensor) -> Tensor:
    """(B, z, y, x) HU: the mean of the windowed training volumes, whatever the radiographs show."""
    return _hu(training.volumes.mean(dim=0).expand(len(integrals), -1))


def nearest(training: TrainingSet, integrals: Tensor) -> Tensor:
    """(B, z, y, x) HU: the training volume whose radiographs differ least."""
    return _hu(training.volumes[torch.cdist(integrals.flatten(1), training.images).argmin(dim=1)])


def ridge(training: TrainingSet, integrals: Tensor) -> tuple[Tensor, float]:
    """Ridge regression of volumes on radiographs, both centred.

    The penalty, relative to the mean diagonal of the kernel, is the one that predicts persons best that it was not
    fitted to.

    Returns:
        (B, z, y, x) HU, and the penalty.
    """
    groups = sorted({entry.site for entry in training.entries})
    errors = {penalty: sum(_error_without(training, group, penalty) for group in groups) for penalty in PENALTIES}
    penalty = min(errors, key=lambda one: errors[one])
    return _hu(_ridge(training.images, training.volumes, integrals.flatten(1), penalty)), penalty


def filled(training: TrainingSet, predicted_hu: Tensor) -> Tensor:
    """(B, z, y, x) HU: predictions with the training cases' mean soft tissue inside their own skulls."""
    volumes = from_window(training.volumes, WINDOW)
    soft = (volumes >= SOFT_HU[0]) & (volumes <= SOFT_HU[1])
    mean = torch.where(soft.any(dim=0), (volumes * soft).sum(dim=0) / soft.sum(dim=0).clamp(min=1), SOFT_TISSUE_HU)
    return torch.stack([with_soft_tissue(hu, mean.view(GRID.shape), GRID.voxel_mm) for hu in predicted_hu])


def consistent(volumes_hu: Tensor, integrals: Tensor, freedom: Tensor) -> Tensor:
    """Predicted volumes (B, z, y, x) in HU moved until they project onto the radiographs.

    Args:
        volumes_hu: the predictions.
        integrals: (B, 2, rows, columns).
        freedom: (1, 1, z, y, x), how far each voxel may be moved.
    """
    layer = ProjectorConsistency(GRID, GEOMETRY, WINDOW, RADIOGRAPH.water_mu_per_mm, CONSISTENCY_STEPS)
    windowed = to_window(volumes_hu, WINDOW).unsqueeze(1)
    with torch.inference_mode():
        moved = layer(windowed, freedom.expand_as(windowed), integrals)
    return from_window(moved, WINDOW).squeeze(1)


def _error_without(training: TrainingSet, person: str, penalty: float) -> float:
    """Squared error on the cases of one person, fitted to cases in which that person has no part."""
    of_person = torch.tensor([entry.persons == {person} for entry in training.entries])
    without = torch.tensor([person not in entry.persons for entry in training.entries])
    # Every fourth voxel of every fourth is enough to choose by.
    volumes = training.volumes.view(-1, *GRID.shape)[:, ::_EVERY, ::_EVERY].flatten(1)
    predicted = _ridge(training.images[without], volumes[without], training.images[of_person], penalty)
    return float((predicted - volumes[of_person]).square().mean())


def _ridge(images: Tensor, volumes: Tensor, measured: Tensor, penalty: float) -> Tensor:
    """(B, voxels) for (B, pixels), by the kernel of the cases: there are far fewer cases than pixels."""
    mean_image, mean_volume = images.mean(dim=0), volumes.mean(dim=0)
    centred = images - mean_image
    kernel = (centred @ centred.t()).double()
    damped = kernel + penalty * kernel.diagonal().mean() * torch.eye(len(kernel), dtype=torch.float64)
    weights = torch.linalg.solve(damped, (centred @ (measured - mean_image).t()).double()).t().float()
    predicted: Tensor = mean_volume + weights @ (volumes - mean_volume)
    return predicted


def _hu(windowed: Tensor) -> Tensor:
    return from_window(windowed.clamp(0, 1), WINDOW).view(-1, *GRID.shape)
