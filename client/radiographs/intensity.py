"""Stored values to modality values to the logarithm of exposure. A VOI LUT or window is never applied on the way.

Pixel Intensity Relationship (0028,1040) says whether values are linear or logarithmic in exposure, its sign (0028,1041)
whether more exposure is more. Photometric Interpretation and Presentation LUT Shape say the same in another way: both
MONOCHROME1 and INVERSE mean that small values are shown white, and vendors who write both mean one inversion. An XA or
RF image is MONOCHROME2 always and grows with the beam's intensity (PS3.3 C.8.7.1): there MONOCHROME2 says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from client.header import FilmHeader
from client.radiographs.film_verdicts import FilmRefused, FilmVerdict

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

_BY_MODALITY: Final = {"DX": "LIN", "XA": "LIN", "CR": "LOG"}
_GROWING_WITH_INTENSITY: Final = frozenset({"XA", "RF"})
# A logarithmic scale that states no unit: all codes together cover four decades, as imaging plates do.
DECADES: Final = 4.0
_DENSITY_UNITS: Final = 1000.0


@final
@dataclass(frozen=True, slots=True)
class Response:
    """How stored values follow from exposure.

    Attributes:
        is_log: whether they are logarithmic.
        sign: 1 where more exposure is stored as more, -1 where as less.
        notes: what was concluded rather than said.
    """

    is_log: bool
    sign: int
    notes: tuple[str, ...] = ()


def stated_response(header: FilmHeader) -> Response:
    """The response that a header tells of.

    Raises:
        FilmRefused: ``INTENSITY_UNKNOWN``, or ``POLARITY_CONTRADICTS`` if its attributes disagree.
    """
    notes: tuple[str, ...] = ()
    relationship = header.relationship
    if relationship not in {"LIN", "LOG"}:
        if relationship or header.modality not in _BY_MODALITY:
            raise FilmRefused(FilmVerdict.INTENSITY_UNKNOWN)
        relationship, notes = _BY_MODALITY[header.modality], ("intensity_by_modality",)
    if relationship == "LOG" and header.rescale_type != "OD":
        notes = (*notes, "decades_assumed")
    sign, more = _stated_sign(header)
    return Response(relationship == "LOG", sign, (*notes, *more))


def _stated_sign(header: FilmHeader) -> tuple[int, tuple[str, ...]]:
    is_inverted = header.photometric == "MONOCHROME1" or header.lut_shape == "INVERSE"
    shown = 1 if is_inverted else -1
    is_telling = is_inverted or header.modality not in _GROWING_WITH_INTENSITY
    if header.relationship_sign not in {1, -1}:
        return (shown, ("sign_by_photometric_interpretation",)) if is_telling else (1, ("sign_by_modality",))
    if is_telling and header.relationship_sign != shown:
        raise FilmRefused(FilmVerdict.POLARITY_CONTRADICTS)
    return int(header.relationship_sign), ()


def modality_values(header: FilmHeader, stored: NDArray[Any]) -> NDArray[np.float64]:
    """Stored values through the Modality LUT or rescale, (row, column).

    Raises:
        FilmRefused: ``RESCALE_INVALID``.
    """
    expect_rescale(header)
    if header.table:
        table = np.asarray(header.table, dtype=np.float64)
        place = np.clip(stored.astype(np.int64) - header.table_first, 0, len(table) - 1)
        return np.asarray(table[place])
    slope, intercept = _rescale(header)
    return np.asarray(stored.astype(np.float64) * slope + intercept)


def expect_rescale(header: FilmHeader) -> None:
    """A rescale that can be undone, or none.

    Raises:
        FilmRefused: ``RESCALE_INVALID``.
    """
    if header.rescale_damaged or (header.slope is not None and header.slope <= 0):
        raise FilmRefused(FilmVerdict.RESCALE_INVALID)


def log_exposure(header: FilmHeader, values: NDArray[np.float64], response: Response) -> Image:
    """Natural logarithm of exposure, up to a constant; no exposure at all is half of what the smallest code stands for.

    Args:
        header: whose bits and rescale tell where the scale ends.
        values: modality values, (row, column).
        response: how they follow from exposure.
    """
    low, high = scale_ends(header)
    risen = values - low if response.sign > 0 else high - values
    if not response.is_log:
        codes = len(header.table) or 1 << min(max(header.bits_stored or 16, 2), 32)
        smallest = (high - low) / (2 * max(codes - 1, 1))
        return np.log(np.maximum(risen, smallest)).astype(np.float32)
    if header.rescale_type == "OD":
        return np.asarray(risen * (np.log(10.0) / _DENSITY_UNITS), dtype=np.float32)
    return np.asarray(risen * (np.log(10.0) * DECADES / (high - low)), dtype=np.float32)


def scale_ends(header: FilmHeader) -> tuple[float, float]:
    """Modality values of the smallest and of the largest stored value; linear exposure is zero at one of them."""
    if header.table:
        return float(min(header.table)), float(max(max(header.table), min(header.table) + 1))
    bits = min(max(header.bits_stored or 16, 2), 32)
    first, last = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if header.signed else (0, (1 << bits) - 1)
    slope, intercept = _rescale(header)
    return first * slope + intercept, last * slope + intercept


def _rescale(header: FilmHeader) -> tuple[float, float]:
    return (1.0 if header.slope is None else header.slope), (header.intercept or 0.0)
