from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from common.metrics import SOFT_HU, soft_tissue_within
from common.objective import (
    adversarial_weight,
    all_finite,
    axis_projection_loss,
    brain_losses,
    discriminator_loss,
    feature_matching_loss,
    from_window,
    generator_adversarial_loss,
    likelihood_loss,
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
    assert reprojection_loss(projected - measured, 5.0).item() == pytest.approx(0.1)


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


def test_brain_weighs_more_only_inside_the_skull() -> None:
    hu = torch.full((9, 9, 9), 40.0)
    hu[2:8, 2:7, 2:7] = 1000.0
    hu[3:7, 3:6, 3:6] = 40.0
    hu[4, 4, 4] = 81.0
    options = Optimisation(body_weight=0.0, bone_weight=0.0, brain_weight=3.0)
    weights = voxel_weights(to_window(hu, WINDOW)[None, None], WINDOW, options)[0, 0]
    expected = torch.ones(9, 9, 9)
    expected[3:7, 3:6, 3:6] = 4.0
    expected[4, 4, 4] = 1.0
    assert torch.equal(weights, expected)


def test_axis_projections_of_known_volumes() -> None:
    target, predicted = torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    predicted[0, 0, 0, 0] = torch.tensor([1.0, -1.0])
    # Along z and y the means are +-1/2 in two pixels of four; along x they cancel.
    assert axis_projection_loss(predicted, target).item() == pytest.approx((0.25 + 0.25 + 0) / 3)


def test_likelihoods_of_known_errors() -> None:
    predicted, target = torch.tensor([0.5, 0.2]), torch.tensor([0.3, 0.2])
    log_variance = torch.tensor([math.log(0.04), math.log(0.5)])
    gaussian = (0.5 * (math.log(0.04) + 1.0) + 0.5 * math.log(0.5)) / 2
    scales = [math.sqrt(0.02), math.sqrt(0.25)]
    laplace = (math.log(scales[0]) + 0.2 / scales[0] + math.log(scales[1])) / 2
    assert likelihood_loss(predicted, log_variance, target, "gaussian").item() == pytest.approx(gaussian, rel=1e-5)
    assert likelihood_loss(predicted, log_variance, target, "laplace").item() == pytest.approx(laplace, rel=1e-5)


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_the_best_variance_is_that_of_the_errors(likelihood: str) -> None:
    ranks = (torch.arange(40_000) + 0.5) / 40_000
    distribution = {"gaussian": torch.distributions.Normal, "laplace": torch.distributions.Laplace}[likelihood](
        0.0, 0.1
    )
    errors = distribution.icdf(ranks)
    true = math.log(distribution.variance)
    losses = [
        likelihood_loss(errors, torch.full_like(errors, true + shift), torch.zeros_like(errors), likelihood).item()
        for shift in (-0.3, 0.0, 0.3)
    ]
    assert min(losses) == losses[1]


def test_hinge_losses_of_known_scores() -> None:
    real, generated = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])
    assert generator_adversarial_loss(generated, "hinge").item() == pytest.approx(1.25)
    assert discriminator_loss(real, generated, "hinge").item() == pytest.approx(0.5 * (0.25 + 0.75))


def test_adversarial_weight_waits_then_ramps_then_stays() -> None:
    options = Optimisation(adversarial_weight=0.1, adversarial_from_step=10, adversarial_ramp_steps=4)
    weights = [adversarial_weight(options, step) for step in (0, 9, 10, 12, 14, 15, 10_000)]
    assert weights == pytest.approx([0.0, 0.0, 0.02, 0.06, 0.1, 0.1, 0.1])


def test_without_a_ramp_the_weight_is_full_at_its_first_step() -> None:
    options = Optimisation(adversarial_weight=0.1, adversarial_from_step=10)
    assert [adversarial_weight(options, step) for step in (9, 10)] == [0.0, 0.1]


def test_feature_matching_is_the_mean_over_layers_of_mean_differences() -> None:
    generated = [torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])]
    real = [torch.tensor([[0.0, 2.0]]), torch.tensor([[4.0]])]
    assert feature_matching_loss(generated, real).item() == pytest.approx((0.5 + 4.0) / 2)


def skull_with_ventricle(brain_hu: float = 36.0, csf_hu: float = 6.0) -> torch.Tensor:
    axes = [torch.linspace(-1.2, 1.2, cells) for cells in (20, 24, 22)]
    radius = torch.sqrt(sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij")))
    hu = torch.full(radius.shape, -1000.0)
    for limit, value in ((1.0, 1000.0), (0.8, brain_hu), (0.3, csf_hu)):
        hu[radius < limit] = value
    return hu[None, None]


def brain_of(shown_hu: torch.Tensor, truth_hu: torch.Tensor) -> tuple[float, float]:
    error, lack = brain_losses(to_window(shown_hu, WINDOW), to_window(truth_hu, WINDOW), WINDOW)
    return float(error), float(lack)


def test_a_true_brain_lacks_nothing_on_whatever_scale_its_scanner_has() -> None:
    truth = skull_with_ventricle()
    assert brain_of(truth, truth)[1] == 0
    error, lack = brain_of(truth + 20, truth)
    assert error == pytest.approx(brain_of(truth, truth)[0], abs=1e-6)
    assert lack == 0


def test_an_even_grey_lacks_all_of_the_slope_asked_for() -> None:
    truth = skull_with_ventricle()
    grey = torch.where((truth > 0) & (truth < 100), torch.tensor(30.0), truth)
    error, lack = brain_of(grey, truth)
    assert lack == pytest.approx(1.0, abs=1e-3)
    assert error > brain_of(truth, truth)[0]


def test_half_the_contrast_lacks_the_rest_of_it() -> None:
    assert brain_of(skull_with_ventricle(csf_hu=21.0), skull_with_ventricle())[1] == pytest.approx(0.5**2, abs=0.01)


def plain_brain_losses(shown_hu: torch.Tensor, truth_hu: torch.Tensor) -> tuple[float, float]:
    errors, lacks = [], []
    shown_hu, hu = shown_hu.clamp(*SOFT_HU), truth_hu.clamp(*SOFT_HU)
    for inside, truth_volume, shown_volume in zip(soft_tissue_within(truth_hu), hu, shown_hu, strict=True):
        if not inside.any():
            continue
        truth, shown = truth_volume[inside], shown_volume[inside]
        errors.append(float(((shown - shown.mean()) - (truth - truth.median())).square().mean()) / 40**2)
        truth, shown = (torch.nn.functional.avg_pool3d(one, 3, 1, 1)[inside] for one in (truth_volume, shown_volume))
        about = truth - truth.mean()
        slope = float((about * shown).sum() / about.square().sum().clamp(min=1.0))
        lacks.append(max(0.0, 1.0 - slope) ** 2)
    return float(np.mean(errors or [0.0])), float(np.mean(lacks or [0.0]))


@pytest.mark.parametrize("seed", range(4))
def test_brains_of_a_batch_count_as_the_plain_rule_says_and_heads_without_one_do_not(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    heads = [skull_with_ventricle(36.0, 6.0), torch.full((1, 1, 20, 24, 22), -1000.0), skull_with_ventricle(30.0, 12.0)]
    truth = torch.cat(heads[: 1 + seed])
    truth = truth + 10 * torch.randn(truth.shape, generator=random)
    shown = truth + 25 * torch.randn(truth.shape, generator=random)
    assert brain_of(shown, truth) == pytest.approx(plain_brain_losses(shown, truth), rel=1e-3)


def test_what_lies_outside_the_skull_asks_for_nothing() -> None:
    truth = skull_with_ventricle()
    shown = torch.where(truth < -500, torch.tensor(50.0), truth)
    assert brain_of(shown, truth) == brain_of(truth, truth)
    air = torch.full_like(truth, -1000.0)
    assert brain_of(air, air) == (0.0, 0.0)
