"""Heads of several patients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNT = 3


def vary(hu: NDArray[Any], seed: int) -> NDArray[Any]:
    """The same head with a patient's own noise, so that no two cases are the same images."""
    noise = np.random.default_rng(seed).normal(0, 8, hu.shape)
    return np.where(hu > -900, hu + noise, hu)
