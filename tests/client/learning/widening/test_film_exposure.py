"""The fast films of training against the slow marcher and against what a site makes of a film it reads."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from client.learning.widening.film_exposure import FilmExposure, passed, tissue_lengths
from client.learning.widening.film_plan import FilmPlan, draw_film_plan
from client.phantom import procedural_head
from client.virtual_films import FilmStyle, expose
from common.attenuation import hu_to_mu
from common.geometry import Geometry, Pose
from common.projection import Projector
from common.spectrum import Spectrum, transmission, water_and_bone
from common.study import FilmRanges, Study

STUDY = Study.model_validate(
    {
        "name": "films",
        "grid": {"shape": [64, 64, 64], "voxel_mm": 3.6},
        "geometry": {"detector_shape": [96, 96], "pixel_mm": 4.0},
        "radiograph": {"spectrum": {"kvp": 75}},
        "film": {"share": 1.0, "pose_deg": 5.0, "pose_mm": 5.0},
    }
)
POSES = Pose(pitch_deg=4, roll_deg=-3, yaw_deg=5, translation_mm=(3.0, -4.0, 5.0)), Pose(yaw_deg=-4)
# Coarse voxels are linear for the marcher and cubic for the projector.
ALIKE = 0.03


def _fast() -> FilmExposure:
    return FilmExposure(STUDY, Projector(STUDY.grid, STUDY.geometry), torch.device("cpu"))


def _posed() -> Geometry:
    return STUDY.geometry.model_copy(update={"frontal_pose": POSES[0], "lateral_pose": POSES[1]})


def _slow(head: NDArray[np.int16], style: FilmStyle) -> NDArray[np.float64]:
    geometry = _posed()
    return np.stack(
        [expose(head, STUDY.grid.voxel_mm, geometry, beam, style, seed=1).exposure for beam in geometry.beams]
    )


@pytest.mark.parametrize(
    "style",
    [
        FilmStyle(Spectrum(kvp=75), kerma_ugy=0, scatter_to_primary=0),
        FilmStyle(Spectrum(kvp=66), kerma_ugy=0, scatter_to_primary=0.3, focal_spot_mm=5.0, detector_sigma_mm=5.0),
        FilmStyle(Spectrum(kvp=90), kerma_ugy=0, scatter_to_primary=1, field_mm=(320.0, 300.0), marker="L"),
    ],
    ids=["primary", "scattered and blurred", "collimated"],
)
def test_a_fast_film_is_the_marchers(style: FilmStyle) -> None:
    head = procedural_head(3, STUDY.grid)
    fast = _fast().exposures(torch.from_numpy(head).float()[None], FilmPlan(style, POSES, 1)).numpy()
    seen, wanted = -np.log(fast), -np.log(_slow(head, style))
    assert np.sqrt(np.mean((seen - wanted) ** 2)) < ALIKE * wanted[wanted > 0.3].mean()
    assert np.abs(np.mean(seen - wanted)) < 0.01


def test_noise_has_the_marchers_variance() -> None:
    head, noisy = procedural_head(3, STUDY.grid), FilmStyle(Spectrum(kvp=75), kerma_ugy=0.001, scatter_to_primary=0)
    quiet = replace(noisy, kerma_ugy=0)
    volume = torch.from_numpy(head).float()[None]
    fast = [_fast().exposures(volume, FilmPlan(style, POSES, 1)).numpy() for style in (noisy, quiet)]
    slow = [_slow(head, style) for style in (noisy, quiet)]
    assert np.std(fast[0] - fast[1]) == pytest.approx(np.std(slow[0] - slow[1]), rel=0.03)


def test_tissues_and_transmission_are_the_tables() -> None:
    hu = torch.linspace(-1100, 2500, 97).view(1, 1, 1, -1)
    assert np.allclose(tissue_lengths(hu).numpy(), np.concatenate(water_and_bone(hu.numpy())), atol=1e-6)
    water, bone = torch.linspace(0, 250, 40), torch.linspace(40, 0, 40)
    spectrum = Spectrum(kvp=82, copper_mm=0.1)
    assert np.allclose(passed(spectrum, water, bone).numpy(), transmission(spectrum, water, bone), rtol=1e-4)


def test_what_a_network_is_given_is_calibrated_and_filled_outside_the_mask() -> None:
    style = FilmStyle(Spectrum(kvp=75), scatter_to_primary=0.25, field_mm=(330.0, 320.0), marker="R")
    volume = torch.from_numpy(procedural_head(3, STUDY.grid)).float()[None, None]
    integrals, exposed = _fast().films(volume, [FilmPlan(style, POSES, 1)])
    drr = Projector(STUDY.grid, STUDY.geometry).project_posed(
        hu_to_mu(volume, STUDY.radiograph.water_mu_per_mm), [list(POSES)]
    )
    inside = (exposed > 0) & (drr > 0.5)
    assert exposed.mean() < 0.8
    # Uncalibrated, the scatter alone lowers them by 0.2 and more.
    assert float((integrals - drr)[inside].mean().abs()) < 0.08
    assert float(integrals[exposed == 0].max()) <= float(integrals[exposed > 0].max())
    rows = exposed[0, 0].any(1).nonzero().flatten()
    assert torch.equal(integrals[0, 0, 0], integrals[0, 0, rows[0]]) or exposed[0, 0, rows[0]].min() == 0


def test_plans_lie_in_their_ranges_and_equal_seeds_give_equal_ones() -> None:
    ranges = FilmRanges(share=1, pose_deg=5, pose_mm=4, marker=1, collimation_mm=20)
    plans = [
        draw_film_plan(ranges, STUDY.geometry, (Pose(yaw_deg=1), Pose()), torch.Generator().manual_seed(seed))
        for seed in (1, 1, *range(2, 40))
    ]
    assert plans[0] == plans[1]
    assert len({plan.seed for plan in plans}) == 39
    for plan in plans:
        assert 65 <= plan.style.spectrum.kvp <= 90
        assert 0.1 <= plan.style.scatter_at_detector <= 0.4
        assert plan.style.field_mm is not None
        assert 344 <= min(plan.style.field_mm) <= max(plan.style.field_mm) <= 384
        assert abs(plan.poses[0].yaw_deg - 1) <= 5
        assert abs(plan.poses[1].translation_mm[2]) <= 4
    voltages = sorted({plan.style.spectrum.kvp for plan in plans})
    assert any(later - earlier < 3 for earlier, later in pairwise(voltages))
    assert {plan.style.marker for plan in plans} == {"L", "R"}
