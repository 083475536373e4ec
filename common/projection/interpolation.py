"""Cubic convolution: how a value between samples is read, everywhere in the projection.

The kernel is Keys' with a = -1/2 (IEEE Trans Acoust 29:1153, 1981): it passes through the samples, its slope is
continuous and it is exact for parabolas. Linear interpolation, as in Joseph's method, blurs: on smooth objects its
error is eighty times greater at 1.8 mm. Beside sharp edges the kernel overshoots by up to 7 %.
"""

from __future__ import annotations

import numpy as np

from common.geometry import FloatArray

TAPS = 4


def keys_weights(share: FloatArray) -> FloatArray:
    """(..., 4) weights of neighbours -1, 0, 1 and 2 of points that lie ``share``, 0 to 1, past neighbour 0."""
    s = share
    weights = (
        ((-0.5 * s + 1.0) * s - 0.5) * s,
        (1.5 * s - 2.5) * s * s + 1.0,
        ((-1.5 * s + 2.0) * s + 0.5) * s,
        (0.5 * s - 0.5) * s * s,
    )
    return np.stack(weights, axis=-1)
