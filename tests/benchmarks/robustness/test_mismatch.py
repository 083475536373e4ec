from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.robustness.mean_head import mean_head
from benchmarks.robustness.mismatch import RobustnessRow, mismatched_integrals, robustness_table
from client.phantom import procedural_head
from common.attenuation import hu_to_mu
from common.geometry import Geometry, Grid
from common.projection import Projector
from common.study import Study


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(
        name="robustness",
        grid=Grid(shape=(24, 24, 24), voxel_mm=9.6),
        geometry=Geometry(detector_shape=(48, 48), pixel_mm=8.0),
    )


@pytest.fixture(scope="module")
def heads(study: Study) -> Tensor:
    return torch.stack([torch.from_numpy(np.asarray(procedural_head(s, study.grid))).float() for s in range(10)])


@pytest.fixture(scope="module")
def tables(study: Study, heads: Tensor) -> list[dict[str, RobustnessRow]]:
    """Without and with the fit, of the mean of eight heads: what needs no training."""
    predictors = [mean_head(study, list(heads[:8]), affine=affine, steps=12) for affine in (False, True)]
    return [{row.mismatch: row for row in robustness_table(study, list(heads[8:]), run)} for run in predictors]


def test_every_mismatch_costs_something(tables: list[dict[str, RobustnessRow]]) -> None:
    plain = tables[0]
    assert len(plain) == 7
    assert all(row.psnr_db < plain["none"].psnr_db for name, row in plain.items() if name != "none")
    assert all(row.mae_hu > 0 for row in plain.values())


@pytest.mark.parametrize(
    ("mismatch", "gain_db"), [("gain 1.05", 0.1), ("bone 30% denser", 0.3), ("scatter of 10%", 1.0)]
)
def test_gain_and_offset_of_each_view_win_back_what_intensity_errors_cost(
    tables: list[dict[str, RobustnessRow]], mismatch: str, gain_db: float
) -> None:
    plain, affine = tables
    assert affine[mismatch].psnr_db > plain[mismatch].psnr_db + gain_db


def test_they_cost_little_where_the_radiographs_are_right(tables: list[dict[str, RobustnessRow]]) -> None:
    plain, affine = tables
    assert affine["none"].psnr_db > plain["none"].psnr_db - 0.3


def test_mismatches_are_what_their_names_say(study: Study, heads: Tensor) -> None:
    found = mismatched_integrals(study, heads[:1])
    exact = found["none"]
    mu = hu_to_mu(heads[:1, None], study.radiograph.water_mu_per_mm)
    assert torch.allclose(exact, Projector(study.grid, study.geometry)(mu))
    assert torch.allclose(found["gain 1.05"], 1.05 * exact)
    assert torch.equal(found["shift of 2 pixels"][..., 2:], exact[..., :-2])
    assert not found["shift of 2 pixels"][..., :2].any()
    boneless = Projector(study.grid, study.geometry)(torch.where(heads[:1, None] > 300, 0.0, mu))
    assert torch.allclose(found["bone 30% denser"], exact + 0.3 * (exact - boneless), atol=1e-4)
    veil = torch.exp(-found["scatter of 10%"]) - torch.exp(-exact)
    behind = [torch.exp(-exact[0, view])[exact[0, view] > 0.1].mean() for view in range(2)]
    assert all(torch.allclose(veil[0, view], 0.1 * behind[view], atol=1e-5) for view in range(2))
    # A detector further away magnifies: the shadow's outline grows by 30 mm in 1500.
    widths = [(found[name][0, 0] > 0.05).sum().item() ** 0.5 for name in ("none", "detector 30 mm further")]
    assert widths[1] / widths[0] == pytest.approx(1.02, abs=0.02)
