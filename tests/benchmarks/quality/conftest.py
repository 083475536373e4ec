"""A fold of invented heads: persons differ in size, and the held-out one lies between them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.quality.cohort import FACTS, GEOMETRY, GRID, RADIOGRAPH, Fold, FoldHeads, TrainingCase
from benchmarks.quality.heads import FINE
from client.case import Case
from common.attenuation import hu_to_mu
from common.geometry import Grid
from common.projection import Projector

SIZES = {"01": 0.8, "02": 0.95, "03": 1.1}
SITE_CASES = 4


@pytest.fixture(scope="session")
def fold() -> Fold:
    projector = Projector(GRID, GEOMETRY)

    def projected(hu: Tensor) -> Tensor:
        return projector(hu_to_mu(hu, RADIOGRAPH.water_mu_per_mm)[:, None])

    training = []
    for person, size in SIZES.items():
        for number in range(SITE_CASES):
            hu = _head(GRID, size + 0.02 * number)
            case = Case(f"{person}-{number}", hu.to(torch.int16).numpy(), projected(hu[None])[0].numpy(), FACTS)
            training.append(TrainingCase(case, person, frozenset({person})))
    truths = torch.stack([_head(GRID, 0.9), _head(GRID, 1.02)])
    heads = FoldHeads(training, truths, _head(FINE, 0.9).to(torch.int16), projected(truths))
    return Fold("06", lambda: heads)


def _head(grid: Grid, size: float) -> Tensor:
    z, y, x = (torch.from_numpy(grid.centres_mm(axis)).float() for axis in range(3))
    radius = ((z[:, None, None] / 75) ** 2 + (y[:, None] / 90) ** 2 + (x / 72) ** 2).sqrt() / size
    edge = (radius * 72 - 72) / grid.voxel_mm
    hu = -1000 + 1900 * (0.5 - edge).clamp(0, 1)
    return hu + (35 - hu) * (0.5 - (edge + 7 / grid.voxel_mm)).clamp(0, 1)
