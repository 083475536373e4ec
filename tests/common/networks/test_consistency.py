from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.geometry import Geometry, Grid
from common.networks import ProjectorConsistency
from common.networks.consistency import DAMPING, affine_fit
from common.study import Window

GRID = Grid(shape=(10, 12, 14), voxel_mm=12.0)
GEOMETRY = Geometry(detector_shape=(16, 16), pixel_mm=18.0)
WATER = 0.0192


def layer(steps: int) -> ProjectorConsistency:
    return ProjectorConsistency(GRID, GEOMETRY, Window(), WATER, steps).double()


def volumes(batch: int = 1, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return 0.2 + 0.6 * torch.rand(batch, 1, *GRID.shape, generator=random, dtype=torch.float64)


def residual(consistency: ProjectorConsistency, volume: Tensor, integrals: Tensor) -> float:
    return float((consistency.project(volume) - integrals).square().sum())


def test_water_projects_to_its_attenuation_times_its_path() -> None:
    consistency = layer(0)
    water = torch.full((1, 1, *GRID.shape), 0.4, dtype=torch.float64)
    expected = consistency.projector.path_length_mm() * WATER
    assert torch.allclose(consistency.project(water), expected)


def test_a_volume_that_agrees_is_left_alone() -> None:
    consistency = layer(3)
    volume = volumes()
    moved = consistency(volume, torch.ones_like(volume), consistency.project(volume))
    assert torch.allclose(moved, volume, atol=1e-12)


def test_the_step_is_the_exact_minimum_along_its_direction() -> None:
    consistency = layer(1)
    truth, volume = volumes(seed=1), volumes(seed=2)
    integrals = consistency.project(truth)
    moved = consistency(volume, torch.ones_like(volume), integrals)
    full = (moved - volume) / DAMPING
    lengths = [0.9, 0.99, 1.0, 1.01, 1.1]
    errors = [residual(consistency, volume + length * full, integrals) for length in lengths]
    assert min(errors) == errors[2]


def test_each_step_brings_the_projection_closer() -> None:
    truth, start = volumes(seed=1), volumes(seed=2)
    integrals = layer(0).project(truth)
    errors = [residual(layer(n), layer(n)(start, torch.ones_like(start), integrals), integrals) for n in (0, 1, 2, 6)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * errors[0]


def test_voxels_of_no_weight_do_not_move() -> None:
    consistency = layer(2)
    truth, start = volumes(seed=1), volumes(seed=2)
    weight = torch.ones_like(start)
    weight[..., :6] = 0
    moved = consistency(start, weight, consistency.project(truth))
    assert torch.equal(moved[..., :6], start[..., :6])
    assert not torch.equal(moved[..., 6:], start[..., 6:])


def test_only_the_proportions_of_the_weight_matter() -> None:
    consistency = layer(2)
    truth, start = volumes(seed=1), volumes(seed=2)
    integrals, weight = consistency.project(truth), volumes(seed=3)
    assert torch.allclose(consistency(start, weight, integrals), consistency(start, 100 * weight, integrals))


def test_each_volume_of_a_batch_has_its_own_step_length() -> None:
    consistency = layer(2)
    truth, start = volumes(2, seed=1), volumes(2, seed=2)
    truth[1] *= 0.5
    integrals, weight = consistency.project(truth), torch.ones_like(start)
    together = consistency(start, weight, integrals)
    for index in range(2):
        one = slice(index, index + 1)
        assert torch.allclose(together[one], consistency(start[one], weight[one], integrals[one]))


@pytest.mark.parametrize("target", [-0.5, 1.5])
def test_the_result_stays_in_the_window(target: float) -> None:
    consistency = layer(4)
    start = volumes()
    integrals = consistency.projector.path_length_mm() * WATER * target / 0.4
    moved = consistency(start, torch.ones_like(start), integrals)
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1


def test_gradients_reach_volume_and_weight() -> None:
    consistency = layer(2)
    volume, weight = volumes(seed=2).requires_grad_(), volumes(seed=3).requires_grad_()
    consistency(volume, weight, consistency.project(volumes(seed=1))).square().sum().backward()
    assert volume.grad is not None and bool(volume.grad.abs().sum() > 0)
    assert weight.grad is not None and bool(weight.grad.abs().sum() > 0)


def test_a_gain_and_an_offset_are_found_in_closed_form() -> None:
    random = torch.Generator().manual_seed(4)
    projected = 2 * torch.rand(2, 2, 8, 8, generator=random, dtype=torch.float64)
    gain, offset = torch.tensor([1.05, 0.9]).view(1, 2, 1, 1), torch.tensor([0.1, -0.2]).view(1, 2, 1, 1)
    measured = (projected - offset) / gain
    assert torch.allclose(affine_fit(measured, projected, pull=1e-9), projected, atol=1e-6)


def test_the_fit_is_the_ridge_regression_of_each_view() -> None:
    random = torch.Generator().manual_seed(5)
    measured, projected = (torch.rand(1, 2, 6, 6, generator=random, dtype=torch.float64) for _ in range(2))
    fitted = affine_fit(measured, projected, pull=0.3)
    for view in range(2):
        x, q = measured[0, view].ravel(), projected[0, view].ravel()
        design = torch.stack([x, torch.ones_like(x)], dim=1)
        pull = torch.diag(torch.tensor([0.3 * float((x * x).sum()), 0.3 * len(x)], dtype=torch.float64))
        change = torch.linalg.solve(design.t() @ design + pull, design.t() @ (q - x))
        assert torch.allclose(fitted[0, view].ravel(), x + design @ change)


def test_integrals_that_agree_are_left_alone() -> None:
    measured = torch.rand(1, 2, 6, 6)
    assert torch.allclose(affine_fit(measured, measured), measured)
    blank = torch.zeros(1, 2, 6, 6)
    assert torch.equal(affine_fit(blank, blank), blank)


def test_a_wrong_gain_moves_an_affine_layer_less() -> None:
    plain, affine = layer(6), ProjectorConsistency(GRID, GEOMETRY, Window(), WATER, 6, affine=True).double()
    volume = volumes(seed=1)
    integrals, weight = 1.05 * plain.project(volume), torch.ones_like(volume)
    moved = [float((consistency(volume, weight, integrals) - volume).abs().mean()) for consistency in (plain, affine)]
    assert moved[1] < 0.5 * moved[0]


def test_as_many_steps_as_asked_for() -> None:
    truth, start = volumes(seed=1), volumes(seed=2)
    integrals, weight = layer(0).project(truth), torch.ones_like(start)
    assert torch.equal(layer(1)(start, weight, integrals, 3), layer(3)(start, weight, integrals))


def test_what_was_not_exposed_moves_nothing() -> None:
    consistency = ProjectorConsistency(GRID, GEOMETRY, Window(), WATER, 2, affine=True).double()
    truth, start = volumes(seed=1), volumes(seed=2)
    integrals = consistency.project(truth)
    exposed = torch.ones_like(integrals)
    exposed[:, :, :, :5] = 0
    spoilt = torch.where(exposed > 0, integrals, 7.0)
    weight = torch.ones_like(start)
    kept, same = (consistency(start, weight, measured, exposed=exposed) for measured in (integrals, spoilt))
    assert torch.allclose(kept, same)
    assert not torch.allclose(consistency(start, weight, spoilt), same)
    everywhere = consistency(start, weight, integrals, exposed=torch.ones_like(integrals))
    assert torch.allclose(everywhere, consistency(start, weight, integrals))


def test_scatter_bends_the_integrals_and_anatomy_gain_and_offset_do_not() -> None:
    consistency = ProjectorConsistency(GRID, GEOMETRY, Window(), WATER, 0, affine=True).double()
    thick = torch.zeros(1, 1, *GRID.shape, dtype=torch.float64)
    # From air to bone across the detector.
    thick[:] = torch.linspace(0, 1, GRID.shape[2], dtype=torch.float64)
    thick[..., : GRID.shape[1] // 2, :] *= 0.5
    integrals = consistency.project(thick)
    exposed = torch.ones_like(integrals)
    scattered = -torch.log(torch.exp(-integrals) + 0.1 * torch.exp(-integrals.min()))
    pairs = torch.cat([integrals, 1.3 * integrals - 0.2, scattered, 2 * integrals - scattered])
    volumes_alike = thick.expand(4, -1, -1, -1, -1)
    assert consistency.explains(volumes_alike, pairs, exposed.expand_as(pairs)).tolist() == [True, True, False, True]
    # Where nothing was exposed nothing is seen.
    hidden = torch.where(integrals > integrals.mean(), 9.0, integrals)
    assert consistency.explains(thick, hidden, (integrals <= integrals.mean()).double()).tolist() == [True]
