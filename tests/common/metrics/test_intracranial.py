"""What is shown inside the skull, held against a plain reference on heads whose answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from common.metrics.intracranial import IntracranialMetrics, intracranial_metrics
from common.metrics.regions import CLOSING_MM, deep_brain, within_skull

VOXEL_MM = 3.6
SHAPE = (34, 60, 52)
VENTRICLES_MM = (-14.0, 14.0)


def head(*, brain_hu=36.0, csf_hu=6.0, gap_mm=0.0, ventricle_mm=11.0):
    """A skull of 8 mm that is open below, brain, and two ventricles; a hole of the skull in front."""
    axes = [(np.arange(n) - (n - 1) / 2) * VOXEL_MM for n in SHAPE]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    skull = np.sqrt((x / 78) ** 2 + (y / 92) ** 2 + (np.maximum(z, 0) / 55) ** 2)
    hu = np.full(SHAPE, -1000.0)
    hu[skull < 1.06] = 40.0
    hu[skull < 1.0] = 1200.0
    hu[skull < 0.88] = brain_hu
    for side in VENTRICLES_MM:
        hu[((x - side) / ventricle_mm) ** 2 + ((y - 4) / 30) ** 2 + ((z + 10) / 18) ** 2 < 1] = csf_hu
    hu[(skull >= 0.88) & (skull < 1.0) & (np.abs(x) < gap_mm / 2) & (y < 0) & (z < 30)] = brain_hu
    return torch.from_numpy(hu)


def noisy(volume, sd, seed=0):
    return volume + sd * torch.randn(volume.shape, generator=torch.Generator().manual_seed(seed))


def shown(predicted, truth=None):
    return intracranial_metrics(head() if truth is None else truth, predicted, VOXEL_MM)


def test_a_perfect_prediction_has_full_marks():
    assert shown(head()) == IntracranialMetrics(pytest.approx(1.0), pytest.approx(1.0), 1.0, 1.0, 0.0)


def test_an_even_grey_shows_nothing_whatever_its_value():
    truth = head()
    for grey_hu in (20.1, 36.0, 70.0):
        grey = torch.where((truth > -100) & (truth < 100), torch.tensor(grey_hu, dtype=truth.dtype), truth)
        found = shown(grey)
        # The skull's spill is all that an even grey has.
        assert abs(found.slope) < 0.01
        assert abs(found.csf_contrast) < 0.01
        assert (found.ventricle_dice, found.inventions_cm3) == (0.0, 0.0)


def test_half_the_contrast_is_half_the_slope_and_wholly_correlated():
    found = shown(head(csf_hu=21.0))
    assert found.slope == pytest.approx(0.5, abs=0.01)
    assert found.csf_contrast == pytest.approx(0.5, abs=0.01)
    assert found.correlation == pytest.approx(1.0, abs=0.01)
    assert found.ventricle_dice == 0.0


def test_exchanged_contrast_is_negative():
    found = shown(head(csf_hu=60.0))
    assert found.correlation < -0.9
    assert found.csf_contrast < -0.7


def test_ventricles_elsewhere_overlap_as_far_as_they_do():
    moved = torch.roll(head(), 4, dims=1)
    found = shown(moved)
    assert 0.3 < found.ventricle_dice < 0.9
    assert 0.2 < found.correlation < 0.9


def test_what_bone_does_not_enclose_is_no_brain():
    truth = head()
    inside = within_skull(truth.numpy(), VOXEL_MM)
    away_mm = ndimage.distance_transform_edt(truth.numpy() <= 300) * VOXEL_MM
    assert inside.any()
    assert away_mm[inside].min() > 11.0
    assert set(np.unique(truth.numpy()[inside])) == {6.0, 36.0}
    deep = deep_brain(truth.numpy(), VOXEL_MM)
    assert (deep <= inside).all()
    assert away_mm[deep].min() > 20.0
    none = torch.full(SHAPE, 40.0)
    assert intracranial_metrics(none, none, VOXEL_MM) == IntracranialMetrics(None, None, None, None, None)


def test_a_gap_of_the_skull_is_closed_and_a_wider_one_takes_its_slices_away():
    whole = within_skull(head().numpy(), VOXEL_MM).sum()
    assert within_skull(head(gap_mm=0.6 * CLOSING_MM).numpy(), VOXEL_MM).sum() > 0.9 * whole
    assert within_skull(head(gap_mm=100.0).numpy(), VOXEL_MM).sum() < 0.6 * whole


def with_ball(volume, hu, radius_mm, centre_mm=(-10.0, -40.0, 0.0)):
    axes = [(np.arange(n) - (n - 1) / 2) * VOXEL_MM for n in SHAPE]
    grid = np.meshgrid(*axes, indexing="ij")
    inside = sum((axis - at) ** 2 for axis, at in zip(grid, centre_mm, strict=True)) < radius_mm**2
    changed = volume.clone()
    changed[torch.from_numpy(inside)] = hu
    return changed, float(inside.sum()) * (VOXEL_MM / 10) ** 3


def test_a_hole_that_is_not_there_is_an_invention_and_one_left_out_is_not():
    truth = head()
    holed, volume_cm3 = with_ball(truth, -190.0, 8.0)
    assert shown(holed).inventions_cm3 == pytest.approx(volume_cm3)
    assert shown(truth, holed).inventions_cm3 == 0.0
    small, _ = with_ball(truth, -190.0, 4.0)
    assert shown(small).inventions_cm3 == 0.0
    assert shown(with_ball(truth, 15.0, 8.0)[0]).inventions_cm3 == 0.0
    assert shown(holed + 40.0).inventions_cm3 == pytest.approx(volume_cm3)


def test_grids_of_other_voxels_agree():
    truth, predicted = head(), head(csf_hu=14.0, ventricle_mm=14.0)
    coarse = intracranial_metrics(truth, predicted, VOXEL_MM)
    finer = [torch.from_numpy(np.kron(volume.numpy(), np.ones((2, 2, 2)))) for volume in (truth, predicted)]
    fine = intracranial_metrics(*finer, VOXEL_MM / 2)
    assert fine.correlation == pytest.approx(coarse.correlation, abs=0.05)
    assert fine.slope == pytest.approx(coarse.slope, abs=0.05)
    assert fine.csf_contrast == pytest.approx(coarse.csf_contrast, abs=0.1)


def plain(truth, predicted):
    """Voxel by voxel: correlation, slope and Dice in the same region, with a Gaussian written out."""
    region = deep_brain(truth.numpy(), VOXEL_MM)
    reach = range(-4, 5)
    kernel = [math.exp(-0.5 * step * step) for step in reach]
    kernel = [weight / sum(kernel) for weight in kernel]

    def smooth(volume, at):
        total = 0.0
        for steps in itertools.product(range(9), repeat=3):
            place = tuple(min(max(p + reach[s], 0), n - 1) for p, s, n in zip(at, steps, SHAPE, strict=True))
            value = min(max(volume[place], -20.0), 100.0)
            total += math.prod(kernel[s] for s in steps) * value
        return total

    places = [tuple(place) for place in np.argwhere(region)[::23]]
    pairs = [(smooth(truth.numpy(), at), smooth(predicted.numpy(), at)) for at in places]
    t_mean, p_mean = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
    cross = sum((t - t_mean) * (p - p_mean) for t, p in pairs)
    own = [sum((pair[i] - mean) ** 2 for pair in pairs) for i, mean in enumerate((t_mean, p_mean))]
    both = sum(t < 20 and p < 20 for t, p in pairs)
    dice = 2 * both / (sum(t < 20 for t, _ in pairs) + sum(p < 20 for _, p in pairs))
    return cross / math.sqrt(own[0] * own[1]), cross / own[0], dice


def test_a_plain_reference_of_every_23rd_voxel_agrees():
    truth, predicted = noisy(head(), 3.0), noisy(head(csf_hu=12.0, ventricle_mm=13.0), 5.0, seed=1)
    found = shown(predicted, truth)
    assert (found.correlation, found.slope, found.ventricle_dice) == pytest.approx(plain(truth, predicted), abs=0.06)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 1.2), st.floats(-30.0, 30.0))
def test_slope_scales_with_contrast_and_correlation_does_not(gain, offset_hu):
    truth = noisy(head(brain_hu=40.0, csf_hu=20.0), 2.0)
    region = torch.from_numpy(within_skull(truth.numpy(), VOXEL_MM))
    predicted = torch.where(region, 40.0 + gain * (truth - 40.0) + offset_hu, truth)
    found = shown(predicted, truth)
    deep = deep_brain(truth.numpy(), VOXEL_MM)
    assert deep.sum() > 1000
    assert found.slope == pytest.approx(gain, abs=0.1 + abs(offset_hu) * 0.01)
    assert found.correlation > 0.8
