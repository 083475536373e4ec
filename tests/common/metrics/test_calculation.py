import math

import pytest
import torch
from monai.metrics import SSIMMetric
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.metrics import body_mask
from common.metrics.calculation import bone_dice, case_metrics, cosine_similarity, mae_hu, psnr_db, ssim
from common.metrics.regions import enclosed_by_bone
from common.study import Window

WINDOW = Window(low_hu=-1000.0, high_hu=1500.0)
VOXEL_MM = 6.0


def head(shape: tuple[int, int, int] = (24, 28, 32)) -> Tensor:
    """Nested ellipsoids in air: scalp 40, skull 1200, brain 35, ventricle 5 HU."""
    axes = [torch.linspace(-1, 1, n) for n in shape]
    radius = torch.sqrt(sum(a**2 for a in torch.meshgrid(*axes, indexing="ij")))
    hu = torch.full(shape, -1000.0)
    for limit, value in ((0.9, 40.0), (0.8, 1200.0), (0.65, 35.0), (0.2, 5.0)):
        hu[radius < limit] = value
    return hu


def _all(truth: Tensor, predicted: Tensor, window: Window) -> object:
    return case_metrics(truth, predicted, window, VOXEL_MM)


def noisy(volume: Tensor, sd: float, seed: int = 0) -> Tensor:
    return volume + sd * torch.randn(volume.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("window", [WINDOW, Window(low_hu=-1024, high_hu=3071), Window(low_hu=-100, high_hu=200)])
def test_ssim_equals_scikit_image_and_monai(window: Window) -> None:
    truth, predicted = head(), noisy(head(), 150.0)
    # The luminance term depends on where zero lies: it is the window's lower edge.
    above = [(volume.clamp(window.low_hu, window.high_hu) - window.low_hu).double() for volume in (truth, predicted)]
    by_skimage = structural_similarity(
        above[0].numpy(),
        above[1].numpy(),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=window.width_hu,
    )
    metric = SSIMMetric(spatial_dims=3, data_range=window.width_hu, win_size=11, kernel_sigma=1.5)
    by_monai = metric(above[1][None, None], above[0][None, None]).item()
    ours = ssim(truth, predicted, window)
    assert ours == pytest.approx(by_skimage, abs=2e-6)
    # MONAI smooths in float32, at the scale of HU.
    assert ours == pytest.approx(by_monai, abs=2e-5)
    assert 0.05 < ours < 0.95


def test_psnr_equals_scikit_image() -> None:
    truth, predicted = head(), noisy(head(), 80.0)
    clipped = [volume.clamp(-1000, 1500).numpy() for volume in (truth, predicted)]
    expected = peak_signal_noise_ratio(clipped[0], clipped[1], data_range=2500)
    assert psnr_db(truth, predicted, WINDOW) == pytest.approx(expected, abs=1e-4)


def test_a_constant_error_gives_known_values() -> None:
    truth = torch.zeros(16, 16, 16)
    assert psnr_db(truth, truth + 250, WINDOW) == pytest.approx(20.0)
    assert mae_hu(truth, truth - 250, WINDOW) == pytest.approx(250.0)
    assert psnr_db(truth, truth + 250, Window(low_hu=-1000, high_hu=24_000)) == pytest.approx(40.0)


def test_values_beyond_the_window_do_not_count() -> None:
    truth = torch.full((16, 16, 16), 1500.0)
    truth[:8] = -1000.0
    beyond = torch.where(truth > 0, 3000.0, -3024.0)
    assert mae_hu(truth, beyond, WINDOW) == 0.0
    assert ssim(truth, beyond, WINDOW) == pytest.approx(1.0)
    assert case_metrics(truth, beyond, WINDOW, VOXEL_MM).mae_bone_hu == 0.0


def test_a_perfect_prediction_scores_the_best_finite_values() -> None:
    best = case_metrics(head(), head(), WINDOW, VOXEL_MM)
    assert (best.psnr_db, best.psnr_body_db) == (100.0, 100.0)
    assert (best.mae_hu, best.mae_body_hu, best.mae_bone_hu, best.mae_brain_hu) == (0.0, 0.0, 0.0, 0.0)
    assert (best.ssim, best.ssim_body, best.bone_dice) == pytest.approx((1.0, 1.0, 1.0))
    assert best.cosine_similarity == pytest.approx(1.0)


def test_each_band_sees_its_own_tissue_only() -> None:
    truth = head()
    for band, value, error in (("mae_brain_hu", 35.0, 30.0), ("mae_bone_hu", 1200.0, 200.0)):
        predicted = torch.where(truth == value, truth + error, truth)
        found = case_metrics(truth, predicted, WINDOW, VOXEL_MM)
        tissue = (truth == value).double()
        region = tissue.sum() if band == "mae_bone_hu" else ((truth >= 0) & (truth <= 80)).sum()
        assert getattr(found, band) == pytest.approx((error * tissue.sum() / region).item())
        assert (found.mae_bone_hu == 0) == (band == "mae_brain_hu")
        assert found.mae_body_hu == pytest.approx((error * tissue.sum() / body_mask(truth).sum()).item())
        mse = error**2 * tissue.sum() / body_mask(truth).sum()
        assert found.psnr_body_db == pytest.approx(10 * math.log10(2500**2 / mse), abs=1e-4)


def test_bands_are_those_of_the_truth() -> None:
    truth = torch.full((16, 16, 16), -1000.0)
    truth[2:14, 2:14, 2:14] = -30.0
    truth[4:8, 4:12, 4:12] = 40.0
    truth[8:12, 4:12, 4:12] = 900.0
    truth[0, 0, 0] = 40.0
    predicted = truth.clone()
    predicted[4:8, 4:12, 4:12] += 400.0
    predicted[8:12, 4:12, 4:12] -= 700.0
    found = case_metrics(truth, predicted, WINDOW, VOXEL_MM)
    # Fat and the speck outside the body are no brain, whatever their error.
    assert found.mae_brain_hu == pytest.approx(400.0)
    assert found.mae_bone_hu == pytest.approx(700.0)
    assert found.bone_dice == 0.0


def test_errors_outside_the_body_leave_the_body_alone() -> None:
    truth = head()
    predicted = torch.where(body_mask(truth), truth, truth + 500)
    found = case_metrics(truth, predicted, WINDOW, VOXEL_MM)
    assert found.mae_body_hu == 0.0
    assert found.mae_hu > 100
    assert found.ssim < found.ssim_body <= 1.0


def test_empty_regions_have_no_value() -> None:
    air = torch.full((12, 12, 12), -1000.0)
    found = case_metrics(air, air + 100, WINDOW, VOXEL_MM)
    assert found.psnr_body_db is None
    assert found.ssim_body is None
    assert found.mae_body_hu is None
    assert found.mae_bone_hu is None
    assert found.mae_brain_hu is None
    assert found.bone_dice is None
    assert found.cosine_similarity is None
    assert found.psnr_db == pytest.approx(20 * math.log10(25))


def test_bone_dice_counts_overlap() -> None:
    truth, predicted = torch.zeros(10, 10, 10), torch.zeros(10, 10, 10)
    truth[2:6], predicted[4:8] = 900.0, 301.0
    assert bone_dice(truth, predicted) == 0.5
    assert bone_dice(truth, torch.full_like(truth, 300.0)) == 0.0


def test_cosine_measures_the_angle_from_the_windows_lower_edge() -> None:
    truth, predicted = torch.full((11, 11, 11), -1000.0), torch.full((11, 11, 11), -1000.0)
    truth[0], predicted[1] = 200.0, 200.0
    assert cosine_similarity(truth, predicted, WINDOW) == pytest.approx(0.0)
    predicted[0] = 200.0
    assert cosine_similarity(truth, predicted, WINDOW) == pytest.approx(math.sqrt(0.5))
    assert cosine_similarity(truth, truth * 0.5 - 500, WINDOW) == pytest.approx(1.0)


def test_body_mask_fills_sinuses_and_open_airways_and_drops_the_table() -> None:
    hu = torch.full((20, 30, 30), -1000.0)
    hu[:, 5:20, 5:25] = 40.0
    hu[8:12, 10:12, 10:12] = -1000.0
    hu[:10, 15:17, 12:14] = -1000.0
    hu[:, 26:28, :] = 100.0
    hu[:, :2, :] = 100.0
    expected = torch.zeros(20, 30, 30, dtype=torch.bool)
    expected[:, 5:20, 5:25] = True
    assert torch.equal(body_mask(hu), expected)
    assert not body_mask(torch.full((4, 4, 4), -600.0)).any()


def test_precision_of_the_volumes_does_not_matter() -> None:
    truth, predicted = head().round(), noisy(head(), 60).round().to(torch.int16)
    assert ssim(truth.double(), predicted.double(), WINDOW) == ssim(truth, predicted, WINDOW)
    assert case_metrics(truth.double(), predicted.float(), WINDOW, VOXEL_MM) == case_metrics(
        truth, predicted, WINDOW, VOXEL_MM
    )


@pytest.mark.parametrize("shape", [(10, 32, 32), (32, 8, 32), (32, 32, 10)])
def test_grids_below_the_ssim_kernel_are_refused(shape: tuple[int, int, int]) -> None:
    for metric in (ssim, _all):
        with pytest.raises(Refusal) as refusal:
            metric(torch.zeros(shape), torch.zeros(shape), WINDOW)
        assert refusal.value.code is ExitCode.GEOMETRY_INVALID
    assert mae_hu(torch.zeros(shape), torch.ones(shape), WINDOW) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_volumes_that_are_not_finite_or_not_alike_are_refused(value: float) -> None:
    spoiled = head()
    spoiled[3, 4, 5] = value
    for pair in ((head(), spoiled), (spoiled, head()), (head(), head()[1:]), (head()[None], head()[None])):
        for metric in (psnr_db, ssim, mae_hu, cosine_similarity, _all):
            with pytest.raises(Refusal) as refusal:
                metric(*pair, WINDOW)
            assert refusal.value.code is ExitCode.IMAGE_INVALID


def test_intracranial_error_counts_the_brain_inside_bone_alone() -> None:
    truth = head()
    brain = (truth >= 0) & (truth <= 80) & enclosed_by_bone(truth)
    assert int(brain.sum()) > 0
    found = case_metrics(truth, torch.where(brain, truth + 30, truth), WINDOW, VOXEL_MM)
    assert found.mae_intracranial_hu == pytest.approx(30.0, abs=1e-3)
    scalp = (truth == 40.0) & ~brain
    assert case_metrics(truth, torch.where(scalp, truth + 30, truth), WINDOW, VOXEL_MM).mae_intracranial_hu == 0.0
    assert case_metrics(truth.clamp(max=40.0), truth, WINDOW, VOXEL_MM).mae_intracranial_hu is None


def test_reprojection_is_the_mean_difference_of_the_integrals() -> None:
    pair = (torch.tensor([[1.0, 2.0], [0.0, 4.0]]), torch.tensor([[1.5, 2.0], [0.0, 3.0]]))
    assert case_metrics(head(), head(), WINDOW, VOXEL_MM, pair).reprojection == pytest.approx(1.5 / 4)
    assert case_metrics(head(), head(), WINDOW, VOXEL_MM).reprojection is None


def test_sharpness_of_a_perfect_and_of_a_smooth_prediction() -> None:
    same, smooth = (case_metrics(head(), volume, WINDOW, VOXEL_MM) for volume in (head(), blurred(head())))
    assert (same.gradient_ratio, same.spectrum_distance_db) == (1.0, 0.0)
    assert smooth.gradient_ratio < 0.9
    assert smooth.spectrum_distance_db > 1.0


def blurred(volume: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool3d(volume[None], 3, stride=1, padding=1, count_include_pad=False)[0]
