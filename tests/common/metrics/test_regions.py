import torch
from scipy import ndimage
from torch import Tensor

from common.metrics.regions import body_mask, enclosed_by_bone


def skull() -> Tensor:
    """A bony box of brain, open below, in a box of scalp in air; z grows upwards."""
    hu = torch.full((20, 24, 22), -1000.0)
    hu[:18, 2:22, 2:20] = 40.0
    hu[:16, 4:20, 4:18] = 1000.0
    hu[:14, 6:18, 6:16] = 40.0
    return hu


def test_inside_the_skull_is_enclosed_and_the_scalp_is_not() -> None:
    hu = skull()
    tissue = hu == 40.0
    inside = torch.zeros_like(tissue)
    inside[:14, 6:18, 6:16] = True
    assert torch.equal(enclosed_by_bone(hu) & tissue, inside)


def test_a_hole_in_the_skull_throws_no_shadow_through_the_brain() -> None:
    hu = skull()
    hu[5:8, 10:13, 16:18] = 40.0
    enclosed = enclosed_by_bone(hu)
    assert bool(enclosed[:14, 6:18, 6:16].all())


def test_it_is_the_count_of_directions_in_which_bone_lies() -> None:
    hu = torch.where(torch.rand(2, 7, 8, 9, generator=torch.Generator().manual_seed(0)) < 0.08, 900.0, 40.0)
    found = enclosed_by_bone(hu)
    for index in torch.cartesian_prod(torch.arange(2), torch.arange(7), torch.arange(8), torch.arange(9)):
        b, z, y, x = index.tolist()
        rays = (hu[b, z + 1 :, y, x], hu[b, z, y + 1 :, x], hu[b, z, :y, x], hu[b, z, y, x + 1 :], hu[b, z, y, :x])
        assert bool(found[b, z, y, x]) == (sum(bool((ray > 300).any()) for ray in rays) >= 4)


def test_it_is_what_filling_the_closed_skull_finds() -> None:
    hu = skull()
    hu[0] = 1000.0
    bone = (hu > 300).numpy()
    bone[:, :4] = bone[:, 20:] = bone[:, :, :4] = bone[:, :, 18:] = False
    filled = torch.from_numpy(ndimage.binary_fill_holes(bone) & ~bone)
    assert torch.equal(enclosed_by_bone(hu) & (hu == 40.0), filled & body_mask(hu))
