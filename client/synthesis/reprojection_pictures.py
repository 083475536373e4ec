"""Each film beside what the synthetic CT projects onto, as a radiologist would compare them."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from client.synthesis.prepared_films import PreparedFilms
from client.synthesis.series_origin import MARK
from common.radiograph_display import display

_GAP: Final = 8
_LINE: Final = 18
_LEAST_EDGE: Final = 256


def reprojection_pictures(films: PreparedFilms, projected: NDArray[np.float32]) -> dict[str, bytes]:
    """PNG files by name: film left, re-projection right; what was not exposed is dimmed.

    Args:
        films: as the network was given them.
        projected: (2, rows, columns) line integrals of the synthetic CT.
    """
    seen, shown = (display(torch.from_numpy(np.ascontiguousarray(image))) for image in (films.integrals, projected))
    pictures = {}
    for view, name in enumerate(("frontal", "lateral")):
        film = np.where(films.exposed[view], seen[view], seen[view] // 3).astype(np.uint8)
        pictures[f"reprojection-{name}.png"] = _side_by_side(name, film, shown[view])
    return pictures


def _side_by_side(name: str, film: NDArray[np.uint8], shown: NDArray[np.uint8]) -> bytes:
    factor = max(1, -(-_LEAST_EDGE // film.shape[1]))
    left, right = (Image.fromarray(np.kron(image, np.ones((factor, factor), np.uint8))) for image in (film, shown))
    sheet = Image.new("L", (left.width + _GAP + right.width, left.height + 2 * _LINE), 0)
    sheet.paste(left, (0, _LINE))
    sheet.paste(right, (left.width + _GAP, _LINE))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    draw.text((4, 2), f"{name} film", fill=255, font=font)
    draw.text((left.width + _GAP + 4, 2), "synthetic CT, projected", fill=255, font=font)
    draw.text((4, left.height + _LINE + 2), MARK.replace("–", "-"), fill=255, font=font)
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()
