"""Radiographs as a reader sees them: a film's look, bones bright, by fixed constants and never by the image's range.

A film's density follows a sigmoid of the logarithm of exposure (Hurter and Driffield, J Soc Chem Ind 9:455, 1890), and
that logarithm is the line integral with its sign turned. Equal integrals give equal greys in every image of every site.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MIDDLE_INTEGRAL = 3.1
LATITUDE = 0.75


def display(integrals: Tensor) -> npt.NDArray[np.uint8]:
    """Grey values of line integrals for pages and figures.

    Args:
        integrals: (..., rows, columns), dimensionless, hung as :mod:`common.geometry` says.

    Returns:
        (..., rows, columns), uint8: open air is 0, and grey rises with attenuation up to 255. Noise that makes an
        integral negative is shown as air; NaN as air too.
    """
    exposure = integrals.detach().cpu().double().nan_to_num(nan=0.0).clamp(min=0)
    air = torch.sigmoid(torch.tensor(-MIDDLE_INTEGRAL / LATITUDE, dtype=torch.float64))
    density = (torch.sigmoid((exposure - MIDDLE_INTEGRAL) / LATITUDE) - air) / (1 - air)
    grey: npt.NDArray[np.uint8] = (density * 255).round().to(torch.uint8).numpy()
    return grey
