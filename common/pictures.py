"""Pictures as data addresses, to stand inside a page that requests nothing."""

from __future__ import annotations

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

_JPEG_QUALITY = 85


def png_address(values: npt.NDArray[np.float32] | npt.NDArray[np.uint8], low: float, high: float, colours: str) -> str:
    """Values drawn with a fixed range, one pixel for each, without loss.

    Args:
        values: (rows, columns).
        low, high: drawn as the first and the last colour; what lies beyond is drawn as they are.
        colours: Matplotlib's name of the colours.
    """
    # Matplotlib looks through the machine's fonts, and a process that only trains would wait for it.
    from matplotlib import image

    buffer = io.BytesIO()
    image.imsave(
        buffer, values, vmin=low, vmax=high, cmap=colours, format="png", metadata={"Software": "tomoray-federated"}
    )
    return _address("png", buffer)


def jpeg_address(grey: npt.NDArray[np.uint8], largest_pixels: int) -> str:
    """A small picture of grey values, shrunk where an edge is longer than it needs to be.

    Args:
        grey: (rows, columns).
        largest_pixels: the longest edge.
    """
    picture = Image.fromarray(grey)
    picture.thumbnail((largest_pixels, largest_pixels), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return _address("jpeg", buffer)


def _address(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
