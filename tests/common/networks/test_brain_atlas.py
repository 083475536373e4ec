"""The atlas of soft tissue: what it starts as, and that it bends where it is told to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from common.geometry import Grid
from common.networks import build_generator
from common.networks.brain_atlas import (
    ATLAS_LOW_MM,
    ATLAS_NODE_MM,
    ATLAS_SHAPE,
    BENDING_RATE,
    GREATEST_BEND_MM,
    BentAtlas,
)
from common.networks.tissues import SOFT_UNIT_HU
from common.objective import from_window
from common.study import SOFT_TISSUE_HU, Study

GRID = Grid(shape=(16, 24, 20), voxel_mm=7.0)
DEEP = 6


def told(atlas: BentAtlas, *, move_mm: tuple[float, float, float] = (0, 0, 0), modes: tuple[float, float] = (0, 0)):
    """What an atlas gives when its displacement (z, y, x) and modes are the same everywhere."""
    with torch.no_grad():
        moves = torch.atanh(torch.tensor([move_mm[2], move_mm[1], move_mm[0]]) / GREATEST_BEND_MM)
        atlas.bend.bias.copy_(torch.cat([moves, torch.tensor(modes)]) / BENDING_RATE)
        return atlas.eval()(torch.randn(1, DEEP, 2, 3, 2))[0, 0]


def plain(values: np.ndarray, move_mm=(0.0, 0.0, 0.0)) -> np.ndarray:
    """Trilinear between nodes, voxel by voxel in mm."""
    axes = [
        (GRID.centres_mm(axis) + move - low) / ATLAS_NODE_MM
        for axis, (low, move) in enumerate(zip(ATLAS_LOW_MM, move_mm, strict=True))
    ]
    places = np.stack(np.meshgrid(*axes, indexing="ij"))
    places = np.clip(places, 0, np.array(ATLAS_SHAPE).reshape(3, 1, 1, 1) - 1)
    return ndimage.map_coordinates(values, places, order=1, mode="nearest")


@pytest.fixture
def atlas() -> BentAtlas:
    torch.manual_seed(4)
    made = BentAtlas(GRID, DEEP, learned=True)
    with torch.no_grad():
        made.atlas.copy_(torch.randn_like(made.atlas))
    return made


@pytest.mark.parametrize("move_mm", [(0.0, 0.0, 0.0), (5.0, -8.0, 12.0)])
def test_an_atlas_moved_as_a_whole_is_sampled_there(atlas: BentAtlas, move_mm: tuple[float, float, float]) -> None:
    expected = plain(atlas.atlas[0].detach().numpy(), move_mm)
    assert np.allclose(told(atlas, move_mm=move_mm).numpy(), expected, atol=1e-4)


def test_modes_are_added_in_the_amounts_that_are_told(atlas: BentAtlas) -> None:
    mean, first, second = (plain(part) for part in atlas.atlas.detach().numpy())
    assert np.allclose(told(atlas, modes=(2.0, -0.5)).numpy(), mean + 2 * first - 0.5 * second, atol=1e-4)


def test_before_training_it_is_the_procedural_mean_whatever_the_network_sees() -> None:
    made = BentAtlas(GRID, DEEP, learned=True)
    one, other = made(torch.randn(1, DEEP, 2, 3, 2)), made(100 * torch.randn(1, DEEP, 2, 3, 2))
    assert torch.equal(one, other)
    hu = SOFT_TISSUE_HU + SOFT_UNIT_HU * one[0, 0].detach()
    at = tuple(round(mm / GRID.voxel_mm + (n - 1) / 2) for mm, n in zip((38.0, 0.0, 8.0), GRID.shape, strict=True))
    aside = (at[0], at[1], at[2] + 4)
    # A ventricle beside the midline is darker than white matter at its side.
    assert float(hu[at]) < float(hu[aside]) - 5


def test_a_study_with_anatomy_starts_with_a_brain_and_without_it_keeps_its_identity() -> None:
    study = Study(
        name="brains",
        grid=Grid(shape=(32,) * 3, voxel_mm=7.2),
        geometry={"detector_shape": (32, 32), "pixel_mm": 12.0},
    )
    assert "anatomy" not in study.canonical_json()
    document = study.model_dump()
    document["networks"]["generator"] |= {"anatomy": "learned", "consistency_steps": 0, "width_2d": 4, "width_3d": 4}
    other = Study.model_validate(document)
    assert Study.model_validate_json(other.canonical_json()).sha256 == other.sha256 != study.sha256
    generator = build_generator(other)
    assert dict(generator.named_parameters())["anatomy.atlas"].shape == (3, *ATLAS_SHAPE)
    with torch.inference_mode():
        prediction = generator.predict(torch.zeros(1, 2, 32, 32))
    hu = from_window(prediction.raw, other.window)[0, 0]
    assert float(hu.std()) > 1.0


def test_every_part_of_the_atlas_is_trained() -> None:
    made = BentAtlas(GRID, DEEP, learned=True)
    with torch.no_grad():
        made.bend.bias[3:] = 0.5
    loss = made(torch.randn(1, DEEP, 2, 3, 2)).square().sum()
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in made.parameters())


def test_in_training_alone_features_are_seen_behind_noise() -> None:
    made = BentAtlas(GRID, DEEP, learned=False)
    with torch.no_grad():
        made.bend.weight.normal_()
    deepest = torch.randn(1, DEEP, 2, 3, 2)
    drawn = [made(deepest) for _ in range(2)]
    assert not torch.equal(drawn[0], drawn[1])
    made.eval()
    assert torch.equal(made(deepest), made(deepest))


def test_a_single_cell_of_features_has_no_noise_and_no_gradient_that_is_not_finite() -> None:
    made = BentAtlas(GRID, DEEP, learned=True)
    made(torch.randn(1, DEEP, 1, 1, 1)).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in made.parameters() if parameter.grad is not None)


def test_a_fixed_atlas_gives_the_same_and_is_no_parameter() -> None:
    fixed, learned = (BentAtlas(GRID, DEEP, learned=learned) for learned in (False, True))
    deepest = torch.randn(1, DEEP, 2, 3, 2)
    assert torch.equal(fixed(deepest), learned(deepest))
    assert {name for name, _ in fixed.named_parameters()} == {"bend.weight", "bend.bias"}
    assert not fixed.state_dict().keys() & {"atlas"}
