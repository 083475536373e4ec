import numpy as np
import torch

from common.radiograph_display import display


def test_air_is_black_and_bone_is_bright() -> None:
    grey = display(torch.tensor([[0.0, 1.0, 2.5, 3.5, 5.0, 50.0]]))[0]
    assert grey.dtype == np.uint8
    assert grey[0] == 0
    assert grey[-1] == 255
    assert np.all(np.diff(grey.astype(int)) > 0)
    assert 60 < grey[2] < 120 < grey[3] < 190


def test_equal_integrals_are_equally_grey_whatever_else_the_image_holds() -> None:
    dim, bright = torch.full((1, 2, 4, 4), 2.0), torch.full((1, 2, 4, 4), 2.0)
    bright[..., 0, 0] = 9.0
    assert np.array_equal(display(dim)[..., 1:, :], display(bright)[..., 1:, :])
    assert display(dim).shape == (1, 2, 4, 4)


def test_noise_below_zero_and_nan_show_as_air() -> None:
    assert display(torch.tensor([[-0.3, torch.nan]])).tolist() == [[0, 0]]


def test_display_does_not_turn_the_image() -> None:
    integrals = torch.zeros(6, 8)
    integrals[1, 6] = 4.0
    assert np.argmax(display(integrals)) == 1 * 8 + 6
