"""Spacing and distances of a film, each with where it comes from.

Imager Pixel Spacing (0018,1164) lies at the detector. Pixel Spacing (0028,0030) may equal it, be calibrated, or be
corrected for magnification already, so it stands in only where the other is absent (PS3.3 10.7.1.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from client.header import FilmHeader
from client.radiographs.film_verdicts import FilmRefused, FilmVerdict

_FIELD_MM: Final = (100.0, 900.0)
_PIXEL_MM: Final = (0.02, 10.0)
_SOURCE_DETECTOR_MM: Final = (400.0, 5000.0)
_LEAST_SOURCE_PATIENT_MM: Final = 200.0
_MAGNIFICATION: Final = (1.0, 3.0)
_MOST_DISAGREEMENT: Final = 0.05
# What a skull's examination usually has where nothing is stated.
NOMINAL_MAGNIFICATION: Final = 1.2


@final
class Origin(StrEnum):
    """Where a figure of the geometry comes from."""

    STATED = "stated"
    CALIBRATED = "calibrated"
    ASSUMED = "assumed"


@final
@dataclass(frozen=True, slots=True)
class FilmGeometry:
    """How large a film's pixels are, and how far source, patient and detector stand apart.

    Attributes:
        spacing_mm: between rows, then columns: at the detector where stated or assumed, at the patient if calibrated.
        spacing_origin: whence.
        source_detector_mm, source_patient_mm: None where not stated.
        magnification: detector over patient; of the distances, as stated, or assumed.
        magnification_origin: whence.
    """

    spacing_mm: tuple[float, float]
    spacing_origin: Origin
    source_detector_mm: float | None
    source_patient_mm: float | None
    magnification: float
    magnification_origin: Origin

    @property
    def patient_mm(self) -> tuple[float, float]:
        """Spacing of rows and columns at the patient."""
        scale = 1.0 if self.spacing_origin is Origin.CALIBRATED else self.magnification
        return self.spacing_mm[0] / scale, self.spacing_mm[1] / scale


def film_geometry(header: FilmHeader) -> tuple[FilmGeometry, tuple[str, ...]]:
    """The geometry that a header states, and what should be noted of it.

    Raises:
        FilmRefused: ``SPACING_MISSING``, ``SPACING_IMPLAUSIBLE``, ``GEOMETRY_IMPLAUSIBLE`` or
            ``GEOMETRY_CONTRADICTS``.
    """
    row_mm, column_mm, origin, notes = _spacing(header)
    sizes_mm = row_mm * header.rows, column_mm * header.columns
    pixels_fit = all(_PIXEL_MM[0] <= edge <= _PIXEL_MM[1] for edge in (row_mm, column_mm))
    if not pixels_fit or not all(_FIELD_MM[0] <= size <= _FIELD_MM[1] for size in sizes_mm):
        raise FilmRefused(FilmVerdict.SPACING_IMPLAUSIBLE)
    far, near = header.source_detector_mm, header.source_patient_mm
    _expect_plausible(far, near, header.magnification)
    ratio = far / near if far is not None and near is not None else None
    if ratio and header.magnification and abs(header.magnification / ratio - 1) > _MOST_DISAGREEMENT:
        raise FilmRefused(FilmVerdict.GEOMETRY_CONTRADICTS)
    magnification = ratio if ratio is not None else header.magnification
    stated = Origin.STATED if magnification is not None else Origin.ASSUMED
    if magnification is None:
        notes = (*notes, "magnification_assumed")
    if far is None or near is None:
        notes = (*notes, "distances_not_stated")
    spacing = row_mm, column_mm
    return FilmGeometry(spacing, origin, far, near, magnification or NOMINAL_MAGNIFICATION, stated), notes


def _spacing(header: FilmHeader) -> tuple[float, float, Origin, tuple[str, ...]]:
    imager, pixel = (_pair(spacing) for spacing in (header.imager_spacing_mm, header.pixel_spacing_mm))
    if imager is not None:
        if pixel is None:
            return *imager, Origin.STATED, ()
        equal = all(abs(one / other - 1) < 0.001 for one, other in zip(imager, pixel, strict=True))
        return *imager, Origin.STATED, ("pixel_spacing_is_the_detectors" if equal else "pixel_spacing_set_aside",)
    if pixel is None:
        raise FilmRefused(FilmVerdict.SPACING_MISSING)
    if header.calibration_type:
        return *pixel, Origin.CALIBRATED, ("spacing_calibrated",)
    return *pixel, Origin.ASSUMED, ("spacing_assumed_at_detector",)


def _pair(spacing: tuple[float, ...]) -> tuple[float, float] | None:
    """Two spacings above zero; None where nothing is stated.

    Raises:
        FilmRefused: ``SPACING_IMPLAUSIBLE`` if something else is.
    """
    if not spacing:
        return None
    if len(spacing) != 2 or min(spacing) <= 0:
        raise FilmRefused(FilmVerdict.SPACING_IMPLAUSIBLE)
    return spacing[0], spacing[1]


def _expect_plausible(far: float | None, near: float | None, magnification: float | None) -> None:
    wrong = (
        (far is not None and not _SOURCE_DETECTOR_MM[0] <= far <= _SOURCE_DETECTOR_MM[1])
        or (near is not None and not _LEAST_SOURCE_PATIENT_MM <= near <= _SOURCE_DETECTOR_MM[1])
        or (far is not None and near is not None and far <= near)
        or (magnification is not None and not _MAGNIFICATION[0] <= magnification <= _MAGNIFICATION[1])
    )
    if wrong:
        raise FilmRefused(FilmVerdict.GEOMETRY_IMPLAUSIBLE)
