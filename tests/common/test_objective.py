from __future__ import annotations

import math

import pytest
import torch

from common.objective import (
    all_finite,
    discriminator_loss,
    from_window,
    generator_adversarial_loss,
    reconstruction_loss,
    reprojection_loss,
    to_window,
    voxel_weights,
    weighted_l1,
    weighted_mse,
)
from common.study import Optimisation, Window

WINDOW = Window(low_hu=-1000, high_hu=1500)
OPTIONS = Optimisation(l1_weight=2.0, mse_weight=3.0, body_weight=1.0, bone_weight=4.0)


def test_window_maps_its_edges_to_zero_and_one_and_clips_beyond() -> None:
    hu = torch.tensor([-3024, -1000, 0, 1500, 3071], dtype=torch.int16)
    assert to_window(hu, WINDOW).tolist() == pytest.approx([0, 0, 0.4, 1, 1])


def test_from_window_undoes_to_window_inside_it() -> None:
    hu = torch.tensor([-1000.0, -250.0, 40.0, 1500.0])
    assert from_window(to_window(hu, WINDOW), WINDOW).tolist() == pytest.approx(hu.tolist(), abs=1e-3)


def test_air_weighs_one_body_two_bone_six() -> None:
    hu = torch.tensor([-1000.0, -600.0, 40.0, 1000.0])
    assert voxel_weights(to_window(hu, WINDOW), WINDOW, OPTIONS).tolist() == [1, 1, 2, 6]


def test_weighted_means_of_known_errors() -> None:
    predicted, target, weights = torch.tensor([0.5, 0.1]), torch.tensor([0.0, 0.3]), torch.tensor([1.0, 3.0])
    assert weighted_l1(predicted, target, weights).item() == pytest.approx((0.5 + 3 * 0.2) / 4)
    assert weighted_mse(predicted, target, weights).item() == pytest.approx((0.25 + 3 * 0.04) / 4)


def test_reconstruction_is_the_weighted_sum_of_its_terms() -> None:
    target = to_window(torch.tensor([-1000.0, 40.0, 1000.0]), WINDOW)
    predicted = target + torch.tensor([0.1, -0.1, 0.2])
    absolute, squared = (0.1 + 2 * 0.1 + 6 * 0.2) / 9, (0.01 + 2 * 0.01 + 6 * 0.04) / 9
    loss = reconstruction_loss(predicted, target, WINDOW, OPTIONS).item()
    assert loss == pytest.approx(2 * absolute + 3 * squared, rel=1e-5)


def test_reprojection_is_the_mean_difference_in_units_of_the_scale() -> None:
    projected, measured = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 3.0])
    assert reprojection_loss(projected, measured, 5.0).item() == pytest.approx(0.1)


def test_least_squares_losses_of_known_scores() -> None:
    assert generator_adversarial_loss(torch.tensor([1.0, 0.0])).item() == pytest.approx(0.5)
    assert discriminator_loss(torch.tensor([1.0, 0.5]), torch.tensor([0.0, 1.0])).item() == pytest.approx(0.3125)


def test_a_perfect_discriminator_has_no_loss() -> None:
    assert discriminator_loss(torch.ones(4), torch.zeros(4)).item() == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_noticed(value: float) -> None:
    assert not all_finite(torch.zeros(3), torch.tensor([0.0, value]))


def test_finite_values_pass() -> None:
    assert all_finite(torch.zeros(3), torch.tensor(1e30))
