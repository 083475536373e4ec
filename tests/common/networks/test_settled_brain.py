"""What looks nearly like soft tissue inside the skull: found by a plain search, and shown as soft tissue."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from client.phantom import template_head
from common.geometry import Grid
from common.networks import build_generator
from common.networks.generator import Drawn
from common.networks.settled_brain import AIR_HU, DEEP_AIR_HU, DEEP_MM, LOWEST_MM, THIN_BONE_HU, SettledBrain
from common.objective import from_window, to_window
from common.study import Study, Window

GRID = Grid(shape=(32, 32, 32), voxel_mm=7.2)
# Voxels (z, y, x) near the middle of the brain, and in the throat.
BRAIN, THROAT = (20, 16, 16), (3, 12, 16)


def head_with(place: tuple[int, int, int], hu: float) -> torch.Tensor:
    head = torch.from_numpy(template_head(GRID)).float().clone()
    head[place] = hu
    return head[None, None]


def plain(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxel by voxel: bone in four of five directions, none beside, not low, no air."""
    bone = hu > THIN_BONE_HU
    cube = lambda cells: np.ones((2 * cells + 1,) * 3, bool)  # noqa: E731
    thick = ndimage.binary_dilation(bone, cube(1))
    near = ndimage.binary_dilation(bone, cube(max(1, round(DEEP_MM / GRID.voxel_mm))))
    heights_mm = GRID.centres_mm(0)
    found = np.zeros_like(bone)
    for z, y, x in np.ndindex(*hu.shape):
        if thick[z, y, x] or heights_mm[z] < LOWEST_MM:
            continue
        rays = [thick[z + 1 :, y, x], thick[z, :y, x], thick[z, y + 1 :, x], thick[z, y, :x], thick[z, y, x + 1 :]]
        if sum(ray.any() for ray in rays) >= 4:
            found[z, y, x] = hu[z, y, x] > (AIR_HU if near[z, y, x] else DEEP_AIR_HU)
    return found


@pytest.mark.parametrize("hole_hu", [35.0, -84.0, -195.0, -299.0, -900.0])
def test_it_is_where_a_plain_search_finds_it(hole_hu: float) -> None:
    head = head_with(BRAIN, hole_hu)
    found = SettledBrain(GRID)(head)[0, 0].numpy()
    assert np.array_equal(found, plain(head[0, 0].numpy()))
    assert found[BRAIN] == (hole_hu > DEEP_AIR_HU)
    assert found.sum() > 500


def test_air_below_the_skull_stays_air() -> None:
    assert not SettledBrain(GRID)(head_with(THROAT, -200.0))[0, 0][THROAT]


@pytest.mark.parametrize(("anatomy", "filled"), [("fixed", True), ("none", False)])
def test_a_hole_in_the_brain_is_shown_as_brain_outside_training_where_there_is_an_atlas(
    anatomy: str, filled: bool
) -> None:
    study = Study.model_validate(
        {
            "name": "settled",
            "grid": GRID,
            "geometry": {"detector_shape": (32, 32), "pixel_mm": 12.0},
            "networks": {"generator": {"anatomy": anatomy, "consistency_steps": 0, "width_2d": 4, "width_3d": 4}},
        }
    )
    generator = build_generator(study)
    head = head_with(BRAIN, -150.0)
    soft = torch.zeros(1, 1, *GRID.shape) if anatomy == "fixed" else None
    # Shares whose mean is the head: air and soft tissue below its middle, soft tissue and bone above.
    air = ((35.0 - head) / 1035.0).clamp(1e-6, 1 - 2e-6)
    bone = ((head - 35.0) / 1465.0).clamp(1e-6, 1 - 2e-6)
    logits = torch.log(torch.cat([air, 1 - air - bone, bone], dim=1).clamp(min=1e-6))
    generator.draw = lambda _: Drawn(logits, soft)
    with torch.no_grad():
        shown = from_window(generator.eval().predict(torch.zeros(1, 2, 32, 32)).volume, Window())[0, 0]
        trained = from_window(generator.train().predict(torch.zeros(1, 2, 32, 32)).volume, Window())[0, 0]
    assert float(trained[BRAIN]) == pytest.approx(-150.0, abs=2.0)
    assert float(shown[BRAIN]) == pytest.approx(35.0 if filled else -150.0, abs=2.0)
    assert torch.equal(to_window(shown, Window())[:2], to_window(trained, Window())[:2])
