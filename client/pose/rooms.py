"""Where source and detector stood for a film: as stated, or what is usual with how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from client.pose.view_fit import Room
from client.radiographs import Film, Origin
from common.geometry import FrontalView, LateralView

USUAL_SOURCE_PATIENT_MM: Final = 1000.0
# SD of the logarithm of a magnification that is stated without distances, and of one that is not stated.
_STATED_SD, _ASSUMED_SD = 0.03, 0.12
# SD of how far the patient's middle lies from the isocentre along the beam.
DEPTH_SD_MM: Final = 15.0


def rooms_of(film: Film) -> tuple[Room, ...]:
    """The room of a film; one for each direction that the beam may have had if none is stated."""
    near, far = film.geometry.source_patient_mm, film.geometry.source_detector_mm
    is_known = near is not None and far is not None and film.geometry.spacing_origin is not Origin.CALIBRATED
    if near is None:
        near = USUAL_SOURCE_PATIENT_MM if far is None else far / film.geometry.magnification
    if far is None:
        far = near * film.geometry.magnification
    either: tuple[FrontalView | LateralView, ...] = tuple(LateralView) if film.is_lateral else tuple(FrontalView)
    directions = either if film.direction is None else (film.direction,)
    return tuple(Room(direction, near, far, is_known) for direction in directions)


def magnification_sd(film: Film) -> float:
    """How sure the logarithm of a film's magnification is before it is looked at, as an SD."""
    is_told = film.geometry.magnification_origin is Origin.STATED or film.geometry.spacing_origin is Origin.CALIBRATED
    return _STATED_SD if is_told else _ASSUMED_SD


def common_magnification(seen: Sequence[float], source_patient_mm: float, expected: float, sd: float) -> float:
    """The magnification of the isocentre that explains those of several views best, each view with its own depth.

    A head that lies nearer to the source is seen larger. Depths have an SD of 15 mm, a hundredth or two of the
    distance, so the mean of the logarithms is drawn towards what was expected by very little.

    Args:
        seen: magnification of each view, as the head's size shows it.
        source_patient_mm: the nominal distance.
        expected, sd: the magnification before the films are looked at, and the SD of its logarithm.
    """
    share = DEPTH_SD_MM / source_patient_mm
    weights = len(seen) / share**2, 1 / sd**2
    mean = sum(math.log(one) for one in seen) / len(seen)
    return math.exp((weights[0] * mean + weights[1] * math.log(expected)) / sum(weights))
