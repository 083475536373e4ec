import math

import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from skimage.metrics import structural_similarity
from torch import Tensor

from common.metrics.sharpness import gradient_ratio, radial_power, spectrum_distance_db

EVERYWHERE = torch.ones(20, 24, 18, dtype=torch.bool)


def texture(shape: tuple[int, int, int] = (20, 24, 18), seed: int = 0) -> Tensor:
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double().numpy()
    return torch.from_numpy(0.4 + 0.1 * ndimage.gaussian_filter(noise, 0.7))


def blurred(volume: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(ndimage.gaussian_filter(volume.numpy(), sigma, mode="wrap"))


def test_gradients_are_numpys() -> None:
    truth, predicted = texture(), texture(seed=1)
    region = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    means = [np.sqrt(sum(g**2 for g in np.gradient(v.numpy())))[region.numpy()].mean() for v in (truth, predicted)]
    assert gradient_ratio(truth, predicted, region) == pytest.approx(means[1] / means[0])


def test_half_the_contrast_has_half_the_gradient() -> None:
    assert gradient_ratio(texture(), 0.5 * texture(), EVERYWHERE) == pytest.approx(0.5)


def test_blur_loses_gradient_and_noise_gains_it_where_an_error_measure_sees_both_alike() -> None:
    truth = texture()
    noisy = truth + 0.02 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(3))
    assert gradient_ratio(truth, blurred(truth, 1.0), EVERYWHERE) < 0.5
    assert gradient_ratio(truth, noisy, EVERYWHERE) > 1.05


def test_an_empty_region_or_a_flat_truth_has_no_ratio() -> None:
    flat = torch.zeros_like(texture())
    assert gradient_ratio(texture(), texture(), ~EVERYWHERE) is None
    assert gradient_ratio(flat, texture(), EVERYWHERE) is None
    assert spectrum_distance_db(flat, texture()) is None


@pytest.mark.parametrize("shape", [(12, 12, 12), (12, 15, 13), (17, 14, 16)])
def test_radial_power_is_the_plain_sum_over_shells(shape: tuple[int, int, int]) -> None:
    volume = texture(shape).numpy()
    taper = np.multiply.outer(np.multiply.outer(*(np.hanning(n) for n in shape[:2])), np.hanning(shape[2]))
    power = np.abs(np.fft.fftn((volume - volume.mean()) * taper)) ** 2
    radius = np.sqrt(sum(np.square(f) for f in np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")))
    shell = np.floor(radius * min(shape) + 0.5).astype(int)
    expected = [power[shell == k].mean() for k in range(1, min(shape) // 2 + 1)]
    assert radial_power(torch.from_numpy(volume)).tolist() == pytest.approx(expected, rel=1e-9)


def test_a_blurs_distance_follows_its_transfer_function() -> None:
    truth = torch.randn(32, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    sigma = 0.6
    # White noise: power falls by exp(-(2 pi f sigma)^2), which is 4.34 (2 pi f sigma)^2 dB.
    squares = torch.fft.fftfreq(32).double() ** 2
    transfer = torch.exp(-2 * (math.pi * sigma) ** 2 * (squares[:, None, None] + squares[:, None] + squares))
    soft = torch.fft.ifftn(torch.fft.fftn(truth) * transfer).real
    frequencies = torch.arange(1, 17) / 32
    expected = (10 / math.log(10) * (2 * math.pi * frequencies * sigma) ** 2).mean().item()
    assert spectrum_distance_db(truth, soft) == pytest.approx(expected, rel=0.02)


def test_twice_the_contrast_is_six_decibels_everywhere() -> None:
    assert spectrum_distance_db(texture(), 2 * texture()) == pytest.approx(20 * math.log10(2))
    assert spectrum_distance_db(texture(), texture()) == 0.0


def test_a_flat_prediction_has_a_finite_distance() -> None:
    assert 20 < spectrum_distance_db(texture(), torch.full((20, 24, 18), 0.5)) <= 200


def test_it_tells_a_blur_from_a_noise_of_the_same_similarity() -> None:
    truth = texture((24, 24, 24))
    soft = blurred(truth, 0.5)
    grain = torch.randn(truth.shape, generator=torch.Generator().manual_seed(4))
    noisy = truth + 0.25 * (soft - truth).std() * grain
    assert structural_similarity(truth.numpy(), noisy.numpy(), data_range=1.0) > 0.5
    assert spectrum_distance_db(truth, noisy) < spectrum_distance_db(truth, soft)


def test_the_hann_window_is_scipys_symmetric_one() -> None:
    assert signal.windows.hann(12).tolist() == pytest.approx(torch.hann_window(12, periodic=False).double().tolist())
