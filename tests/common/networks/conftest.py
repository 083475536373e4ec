"""Studies with networks small enough to try often."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from common.geometry import Geometry, Grid
from common.study import DiscriminatorSettings, GeneratorSettings, Networks, Study


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """A study on a coarse grid; arguments change the generator."""

    def make(cells: int = 32, detector: int = 32, **generator: int) -> Study:
        settings = {"width_2d": 4, "width_3d": 4, "stages_3d": 2, "consistency_steps": 2} | generator
        return Study(
            name="networks",
            grid=Grid(shape=(cells, cells, cells), voxel_mm=230.4 / cells),
            geometry=Geometry(detector_shape=(detector, detector), pixel_mm=384 / detector),
            networks=Networks(
                generator=GeneratorSettings.model_validate(settings), discriminator=DiscriminatorSettings(width=4)
            ),
        )

    return make


@pytest.fixture
def radiographs() -> Callable[[Study, int], Tensor]:
    """Radiograph pairs of random smooth contents in the generator's units."""

    def draw(study: Study, batch: int = 1) -> Tensor:
        random = torch.Generator().manual_seed(3)
        return torch.rand(batch, 2, *study.geometry.detector_shape, generator=random)

    return draw
