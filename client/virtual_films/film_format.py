"""How a detector stores an exposure: curve, polarity, bits, and how the image lies in its matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from client.virtual_films.lead import letter_mask
from common.errors import ExitCode, Refusal
from common.geometry import Beam

# The open field lies so far below the highest stored value, so that noise is not cut off.
HEADROOM = 1.5
OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
_TEXT_MM, _TEXT_MARGIN_MM = 8.0, 4.0


@final
@dataclass(frozen=True)
class FilmFormat:
    """How one film is stored.

    Attributes:
        modality: of the object, DX, CR or XA.
        presentation: DX for presentation rather than for processing.
        relationship: Pixel Intensity Relationship (0028,1040): stored values grow with exposure, or with its logarithm.
        photometric: MONOCHROME1 stores more for more exposure, MONOCHROME2 less, so that bone is shown white; XA has
            MONOCHROME2 alone and stores more for more exposure.
        bits: Bits Stored, 10 to 16.
        decades: of exposure below the highest, which a logarithmic film tells apart, 2 to 6.
        in_densities: whether a logarithmic CR states its unit: thousandths of a density (Rescale Type OD).
        quarter_turns: counter-clockwise, after the flip.
        flipped: left and right of the hung image exchanged.
        text: burned into the upper left corner of the matrix.
    """

    modality: Literal["DX", "CR", "XA"] = "DX"
    presentation: bool = False
    relationship: Literal["LIN", "LOG"] = "LIN"
    photometric: Literal["MONOCHROME1", "MONOCHROME2"] = "MONOCHROME2"
    bits: int = 14
    decades: float = 4.0
    in_densities: bool = False
    quarter_turns: int = 0
    flipped: bool = False
    text: str = ""

    def __post_init__(self) -> None:
        """Refuses what its modality cannot say."""
        wrong = [
            ("bits", not 10 <= self.bits <= 16, "choose 10 to 16"),
            ("bits of XA", self.modality == "XA" and self.bits not in {10, 12, 16}, "choose 10, 12 or 16"),
            ("photometric of XA", self.modality == "XA" and self.photometric == "MONOCHROME1", "choose MONOCHROME2"),
            ("decades", not 2.0 <= self.decades <= 6.0, "choose 2 to 6"),
            (
                "unit",
                self.in_densities and (self.modality, self.relationship) != ("CR", "LOG"),
                "only a logarithmic CR states densities",
            ),
            ("presentation", self.presentation and self.modality != "DX", "only DX is for processing or presentation"),
        ]
        for name, is_wrong, mend in wrong:
            if is_wrong:
                raise Refusal(ExitCode.SETTINGS_INVALID, f"no film has such {name}", where=str(self), mend=mend)

    @property
    def sign(self) -> int:
        """Pixel Intensity Relationship Sign (0028,1041): 1 where more exposure is a higher stored value."""
        return 1 if self.modality == "XA" or self.photometric == "MONOCHROME1" else -1

    @property
    def highest(self) -> int:
        """The highest stored value."""
        return int(2**self.bits - 1)

    def stored(self, exposure: NDArray[np.float64], pixel_mm: float) -> NDArray[np.uint16]:
        """Stored values of a hung exposure, as they lie in the matrix."""
        if self.relationship == "LIN":
            level = exposure / HEADROOM
        else:
            level = 1 + np.log10(np.clip(exposure / HEADROOM, 10**-self.decades, None)) / self.decades
        level = np.clip(level, 0, 1)
        values = np.rint((level if self.sign > 0 else 1 - level) * self.highest).astype(np.uint16)
        values = np.fliplr(values) if self.flipped else values
        values = np.rot90(values, self.quarter_turns).copy()
        if self.text:
            drawn = letter_mask(self.text, max(round(_TEXT_MM / pixel_mm), 1))
            margin = round(_TEXT_MARGIN_MM / pixel_mm)
            place = values[margin : margin + drawn.shape[0], margin : margin + drawn.shape[1]]
            place[drawn[: place.shape[0], : place.shape[1]]] = self.highest
        return values

    def exposure(self, stored: NDArray[np.uint16]) -> NDArray[np.float64]:
        """The exposure of stored values, as they lie in the matrix: what a reader has to find."""
        level = stored / self.highest
        level = level if self.sign > 0 else 1 - level
        grown = level if self.relationship == "LIN" else 10 ** ((level - 1) * self.decades)
        return np.asarray(grown * HEADROOM, dtype=np.float64)

    def orientation(self, beam: Beam) -> tuple[str, str]:
        """Patient Orientation (0020,0020): where the matrix's columns and its rows go."""
        right, down = ("L", "F") if beam.name == "frontal" else ("P", "F")
        right = OPPOSITE[right] if self.flipped else right
        for _ in range(self.quarter_turns % 4):
            right, down = down, OPPOSITE[right]
        return right, down
