from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.metrics.intracranial import INVENTED_HU
from common.networks.tissues import BRIGHTEST_HU, DARKEST_HU, FLOOR_SD_HU, SOFT_UNIT_HU, TissueMixture
from common.study import Window

WINDOW = Window()
FLOOR = (FLOOR_SD_HU / WINDOW.width_hu) ** 2


def voxel(*logits: float) -> torch.Tensor:
    return torch.tensor(logits).view(1, -1, 1, 1, 1)


def held(logits: torch.Tensor, between_hu: tuple[float, ...] = (35.0,)) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = TissueMixture(between_hu, WINDOW)(logits)
    return mean, variance


@pytest.mark.parametrize(("sure", "hu"), [(0, -1000.0), (1, 35.0), (2, 1500.0)])
def test_a_voxel_sure_of_its_tissue_has_its_hu_and_no_doubt_but_the_floor(sure: int, hu: float) -> None:
    logits = [0.0, 0.0, 0.0]
    logits[sure] = 60.0
    mean, variance = held(voxel(*logits))
    assert float(mean) * WINDOW.width_hu + WINDOW.low_hu == pytest.approx(hu, abs=1e-3)
    assert float(variance) == pytest.approx(FLOOR, rel=1e-3)


def test_half_brain_and_half_bone_has_the_mean_and_the_variance_of_a_toss() -> None:
    mean, variance = held(voxel(-60.0, 0.0, 0.0))
    assert float(mean) * WINDOW.width_hu + WINDOW.low_hu == pytest.approx((35 + 1500) / 2)
    assert float(variance) == pytest.approx(((1500 - 35) / 2 / WINDOW.width_hu) ** 2 + FLOOR, rel=1e-5)


def test_a_tenth_of_a_logit_hardly_moves_the_brain() -> None:
    mixture = TissueMixture((35.0,), WINDOW)
    means = [mixture(voxel(-6.0 + shift, 0.0, -6.0))[0] for shift in (0.0, 0.1)]
    assert float((means[0] - means[1]).abs()) * WINDOW.width_hu < 1


def test_tissues_outside_the_window_are_left_out() -> None:
    mixture = TissueMixture((-100.0, 35.0, 900.0), Window(low_hu=0, high_hu=80))
    assert mixture.first_logits == (1.0, 0.0, -1.5)
    assert mixture.get_buffer("powers")[0].tolist() == pytest.approx([0, 35 / 80, 1])


@given(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4))
def test_mean_stays_in_the_window_and_variance_within_its_bounds(logits: list[float]) -> None:
    mean, variance = held(voxel(*logits), (35.0, 700.0))
    assert -1e-6 <= float(mean) <= 1 + 1e-6
    assert FLOOR * 0.999 <= float(variance) <= 0.25 + FLOOR + 1e-6


def test_a_mixture_of_two_is_a_sigmoid() -> None:
    logits = torch.randn(2, 2, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    mean, _ = held(logits, ())
    assert torch.allclose(mean, torch.sigmoid(logits[:, 1:] - logits[:, :1]), atol=1e-6)


def hu_of(value: torch.Tensor) -> float:
    return float(value) * WINDOW.width_hu + WINDOW.low_hu


@pytest.mark.parametrize("change_hu", [-20.0, 0.0, 10.0])
def test_soft_tissue_holds_what_is_said_and_other_tissue_does_not(change_hu: float) -> None:
    mixture = TissueMixture((35.0,), WINDOW)
    end_hu = DARKEST_HU if change_hu < 0 else BRIGHTEST_HU
    soft = mixture.soft(end_hu * torch.atanh(voxel(change_hu) / end_hu) / SOFT_UNIT_HU)
    for logits, expected_hu in (((0, 60, 0), 35 + change_hu), ((60, 0, 0), -1000), ((0, 0, 60), 1500)):
        mean, variance = mixture(voxel(*(float(logit) for logit in logits)), soft)
        assert hu_of(mean) == pytest.approx(expected_hu, abs=0.01)
        assert float(variance) == pytest.approx(FLOOR, rel=1e-3)


def test_soft_tissue_is_never_shown_with_the_contrast_of_an_invention() -> None:
    mixture = TissueMixture((35.0,), WINDOW)
    shown_hu = [hu_of(mixture.soft(voxel(change))) - 35 for change in (-1e6, -1e-4, 0.0, 1e-4, 1e6)]
    assert shown_hu == pytest.approx([-DARKEST_HU, -4e-3, 0.0, 4e-3, BRIGHTEST_HU], abs=1e-3)
    assert max(DARKEST_HU, BRIGHTEST_HU) < INVENTED_HU
