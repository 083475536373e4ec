"""The mark in the pixels themselves, for viewers that show no comment: in a corner that the head leaves free."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from common.errors import ExitCode, Refusal

Volume = NDArray[np.int16]

_LINES: Final = ("SYNTHETIC\nRESEARCH\nUSE ONLY", "SYNTHETIC", "SYNTH")
_SIZES: Final = (14, 12, 11, 10, 9, 8)
_TISSUE_HU: Final = -500
_MARGIN: Final = 2
_INK_HU, _GROUND_HU = 400, -1000


def with_mark(volume_hu: Volume) -> Volume:
    """The volume with the mark on every axial slice, as large as a corner outside the head allows.

    Args:
        volume_hu: (z, y, x).

    Raises:
        Refusal: ``IMAGE_INVALID`` if the head leaves no corner free.
    """
    tissue = ndimage.binary_opening(np.asarray((volume_hu > _TISSUE_HU).any(axis=0)))
    head = ndimage.binary_dilation(tissue, iterations=_MARGIN)
    for lines in _LINES:
        for size in _SIZES:
            drawn = _drawn(lines, size)
            place = _free_corner(head, drawn.shape)
            if place is not None:
                marked = volume_hu.copy()
                marked[:, place[0], place[1]] = np.where(drawn, _INK_HU, _GROUND_HU).astype(np.int16)
                return marked
    raise Refusal(
        ExitCode.IMAGE_INVALID,
        "the head leaves no corner free for the mark",
        where="--burn-in",
        mend="leave --burn-in out: every slice says in its attributes what it is",
    )


def _drawn(lines: str, size: int) -> NDArray[np.bool_]:
    """(row, column) of the text."""
    font = ImageFont.load_default(size=size)
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), lines, font=font, spacing=1)
    left, top, right, bottom = (round(edge) for edge in box)
    sheet = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(sheet).multiline_text((1 - left, 1 - top), lines, fill=255, font=font, spacing=1)
    return np.asarray(sheet) > 127


def _free_corner(head: NDArray[np.bool_], shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    rows, columns = shape
    if rows >= head.shape[0] // 2 or columns >= head.shape[1]:
        return None
    for down in (slice(0, rows), slice(head.shape[0] - rows, None)):
        for across in (slice(0, columns), slice(head.shape[1] - columns, None)):
            if not head[down, across].any():
                return down, across
    return None
