"""Letters as masks: of lead on a film, or of text burned into its pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont


def letter_mask(text: str, height_pixels: int) -> NDArray[np.bool_]:
    """(height, width) bool of a text, as high as its highest letter."""
    size = max(2 * height_pixels, 8)
    font, bold = ImageFont.load_default(size=size), size // 16 + 1
    _, _, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font=font, stroke_width=bold)
    sheet = Image.new("L", (int(right) + bold, int(bottom) + bold))
    ImageDraw.Draw(sheet).text((bold, bold), text, fill=255, font=font, stroke_width=bold)
    drawn = sheet.crop(sheet.point(lambda value: 255 * (value > 127)).getbbox())
    width = max(round(drawn.width * height_pixels / drawn.height), 1)
    return np.asarray(drawn.resize((width, height_pixels), Image.Resampling.BOX)) > 127
