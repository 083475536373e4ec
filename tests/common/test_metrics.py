import math

import numpy as np
import pytest
import torch
from monai.metrics import SSIMMetric
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.metrics import (
    body_mask,
    bone_dice,
    case_metrics,
    cosine_similarity,
    mae_hu,
    psnr_db,
    ssim,
)
from common.study import Window

WINDOW = Window(low_hu=-1000.0, high_hu=1500.0)


def head(shape: tuple[int, int, int] = (24, 28, 32)) -> Tensor:
    """Nested ellipsoids in air: scalp 40, skull 1200, brain 35, ventricle 5 HU."""
    axes = [torch.linspace(-1, 1, n) for n in shape]
    radius = torch.sqrt(sum(a**2 for a in torch.meshgrid(*axes, indexing="ij")))
    hu = torch.full(shape, -1000.0)
    for limit, value in ((0.9, 40.0), (0.8, 1200.0), (0.65, 35.0), (0.2, 5.0)):
        hu[radius < limit] = value
    return hu


def noisy(volume: Tensor, sd: float, seed: int = 0) -> Tensor:
    return volume + sd * torch.randn(volume.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("window", [WINDOW, Window(low_hu=-1024, high_hu=3071), Window(low_hu=-100, high_hu=200)])
def test_ssim_equals_scikit_image_and_monai(window: Window) -> None:
    truth, predicted = head(), noisy(head(), 150.0)
    clipped = [volume.clamp(window.low_hu, window.high_hu) for volume in (truth, predicted)]
    by_skimage = structural_similarity(
        *(volume.double().numpy() for volume in clipped),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=window.width_hu,
    )
    metric = SSIMMetric(spatial_dims=3, data_range=1.0, win_size=11, kernel_sigma=1.5)
    scaled = [(volume - window.low_hu) / window.width_hu for volume in clipped]
    by_monai = metric(scaled[1][None, None].double(), scaled[0][None, None].double()).item()
    ours = ssim(truth, predicted, window)
    # scikit-image takes the HU values as they are, and SSIM's luminance term depends on where zero lies.
    shifted = structural_similarity(
        *((volume - window.low_hu).double().numpy() for volume in clipped),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=window.width_hu,
    )
    assert ours == pytest.approx(shifted, abs=2e-5)
    assert ours == pytest.approx(by_monai, abs=2e-5)
    assert abs(by_skimage - shifted) > 1e-4
