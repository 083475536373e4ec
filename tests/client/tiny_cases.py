"""A study that trains in seconds, and cases made of random blobs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from client.case import Case, CaseFacts
from common.attenuation import hu_to_mu
from common.geometry import Geometry, Grid
from common.projection import Projector
from common.study import (
    DiscriminatorSettings,
    Federation,
    GeneratorSettings,
    Networks,
    Optimisation,
    Privacy,
    RadiographSettings,
    Study,
)

FACTS = CaseFacts(
    manufacturer="other",
    kvp=None,
    slices=40,
    slice_mm=5.0,
    pixel_mm=0.5,
    coverage_mm=200.0,
    tilt_deg=0.0,
    pitch_deg=0.0,
    residual_hu=100.0,
    orientation_margin=0.3,
    cut_share=0.0,
    shear_deg=0.5,
    slant_deg=-0.2,
    step_back_mm=0.4,
    step_left_mm=0.2,
    unseen_share=0.0,
    alternation=0.6,
    wrapped_share=0.0,
    stated_tilt_deg=0.0,
    skull_share=0.98,
    brain_like_share=0.98,
    least_step_mm=4.0,
    greatest_step_mm=4.0,
    turn_deg=3.0,
    air_hu=-1005.0,
    brain_median_hu=34.0,
    bone_hu=1500.0,
    brain_seen_share=1.0,
)


@pytest.fixture
def tiny() -> Callable[..., Study]:
    """A study on 16 cubed voxels; arguments change its optimisation, or the part they name."""

    def make(
        *, federated: bool = True, consistency_steps: int = 1, photons: float = 50_000.0, **optimisation: float
    ) -> Study:
        options = {"steps_per_round": 3, "adversarial_from_step": 1, "warmup_steps": 2} | optimisation
        return Study(
            name="tiny",
            grid=Grid(shape=(16, 16, 16), voxel_mm=14.0),
            geometry=Geometry(detector_shape=(16, 16), pixel_mm=24.0),
            networks=Networks(
                generator=GeneratorSettings(width_2d=4, width_3d=4, stages_3d=1, consistency_steps=consistency_steps),
                discriminator=DiscriminatorSettings(width=4, federated=federated),
            ),
            radiograph=RadiographSettings(photons=photons),
            optimisation=Optimisation.model_validate(options),
            federation=Federation(rounds=4),
            privacy=Privacy(minimum_cases=3),
        )

    return make


@pytest.fixture
def make_cases() -> Callable[..., list[Case]]:
    """Cases of a study: an ellipsoid of tissue in a shell of bone, each another size."""

    def make(study: Study, count: int, site: str = "a") -> list[Case]:
        projector = Projector(study.grid, study.geometry)
        return [_case(study, projector, f"{site}{number}", number) for number in range(count)]

    return make


def _case(study: Study, projector: Projector, pseudonym: str, number: int) -> Case:
    axes = [study.grid.centres_mm(axis) for axis in range(3)]
    radii = np.array([70.0, 80.0, 60.0]) + np.random.default_rng(number).uniform(-15, 15, 3)
    z, y, x = np.meshgrid(*(axis / radius for axis, radius in zip(axes, radii, strict=True)), indexing="ij")
    distance = np.sqrt(z**2 + y**2 + x**2)
    hu = np.select([distance < 0.8, distance < 1.0], [40.0, 900.0], -1000.0)
    with torch.inference_mode():
        mu_per_mm = hu_to_mu(torch.from_numpy(hu).float(), study.radiograph.water_mu_per_mm)
        integrals = projector(mu_per_mm[None, None])[0].numpy()
    return Case(pseudonym, hu.astype(np.int16), integrals, FACTS)
