"""The head on a film: its outline, what lies beside it and over it, and whether its exposure was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.radiographs.film_verdicts import FilmRefused, FilmVerdict

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

OUTLINE: Final = 0.3
MOST_COVERED_SHARE: Final = 0.02
MOST_CLIPPED_SHARE: Final = 0.01
# An opaque piece larger than that is no implant but a marker, a smaller one if it lets nothing through as lead does.
_MARKER_SHARE, _LEAD_SHARE = 0.015, 0.004
_LEAD: Final = 7.6
_OPAQUE_EXCESS: Final = 2.2
_ABRUPT_DARK, _ABRUPT_BRIGHT = 0.004, 0.08
_AROUND_CELLS: Final = 21
_THINNEST_CELLS: Final = 2


@final
@dataclass(frozen=True, slots=True)
class Outline:
    """What covers what on a film, (row, column) each, coarse.

    Attributes:
        head: the head, holes filled.
        beside: other things in the beam: marker, text, hair tie, headrest, tube.
        covering: marker and text over the head.
        metal_share: share of the head behind metal.
    """

    head: Mask
    beside: Mask
    covering: Mask
    metal_share: float


def outline(attenuation: Image, exposed: Mask, position: Image) -> Outline:
    """The head's outline, and what covers it.

    Args:
        attenuation: (row, column) line integrals, coarse.
        exposed: the field.
        position: modality values as a share of their scale, 0 where no exposure is stored, 1 for the most.

    Raises:
        FilmRefused: ``NOT_A_HEAD`` if nothing lies in the beam, ``HEAD_COVERED``, or ``EXPOSURE_CLIPPED``.
    """
    something = exposed & (attenuation > OUTLINE)
    thick = ndimage.binary_opening(something, iterations=_THINNEST_CELLS)
    labels, count = ndimage.label(thick)
    if not count:
        raise FilmRefused(FilmVerdict.NOT_A_HEAD)
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == 1 + int(sizes.argmax())
    head = ndimage.binary_fill_holes(ndimage.binary_dilation(largest, iterations=_THINNEST_CELLS) & exposed)
    # Ears and hair are thin and belong to the head; what is thin and apart does not.
    apart, _ = ndimage.label(something | head)
    touching = np.isin(apart, np.unique(apart[head]))
    beside = ndimage.binary_dilation(something & ~touching, iterations=_THINNEST_CELLS) & ~head
    covering, metal = _covering(attenuation, head, exposed, position)
    area = float(head.sum())
    return Outline(head, beside, covering, float(metal.sum()) / area)


def _covering(attenuation: Image, head: Mask, exposed: Mask, position: Image) -> tuple[Mask, Mask]:
    area = float(head.sum())
    ends = head & exposed & ((position <= 0.0) | (position >= 1.0))
    text, clipped = _by_edge(ends, position)
    if float(clipped.sum()) > MOST_CLIPPED_SHARE * area:
        raise FilmRefused(FilmVerdict.EXPOSURE_CLIPPED)
    around = ndimage.median_filter(np.where(head, attenuation, 0.0), size=_AROUND_CELLS)
    opaque = head & exposed & ~text & ((attenuation > around + _OPAQUE_EXCESS) | (attenuation > _LEAD))
    labels, count = ndimage.label(opaque)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    depths = [float(np.median(attenuation[labels == number])) for number in range(count + 1)]
    lead = (sizes > _LEAD_SHARE * area) & (np.asarray(depths) > _LEAD)
    markers = (lead | (sizes > _MARKER_SHARE * area))[labels]
    covering = text | markers
    if float(covering.sum()) > MOST_COVERED_SHARE * area:
        raise FilmRefused(FilmVerdict.HEAD_COVERED)
    return ndimage.binary_dilation(
        covering, iterations=_THINNEST_CELLS
    ) if covering.any() else covering, opaque & ~markers


def _by_edge(ends: Mask, position: Image) -> tuple[Mask, Mask]:
    """Pixels at an end of the scale: those that end abruptly, as text does, and those that the exposure ran into."""
    labels, count = ndimage.label(ends, np.ones((3, 3)))
    abrupt = np.zeros(count + 1, dtype=bool)
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        wide = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in place)
        piece = labels[wide] == number
        ring = ndimage.binary_dilation(piece, iterations=2) & ~ndimage.binary_dilation(piece) & (labels[wide] == 0)
        value = float(position[wide][piece].mean())
        least = _ABRUPT_BRIGHT if value > 0.5 else _ABRUPT_DARK
        away = np.abs(position[wide][ring] - value)
        abrupt[number] = bool(away.size) and float(np.percentile(away, 25)) > least
    text = abrupt[labels]
    return text, ends & ~text
