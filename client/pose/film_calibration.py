"""A film's line integrals brought to those of the study's DRRs: scatter off, then one gain and one square term.

A film of 75 kVp hardens behind the head, and shows bone at lower energies than a CT: its line integrals bend. One gain
and one square term a study undo that on the average. They are never of one image, whose own brightness would be lost,
and nothing is ever stretched between an image's extremes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from statistics import median
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.phantom import template_head
from client.pose.film_levels import MARGIN_PIXELS, detector_pixel_mm
from client.pose.posed_drr import PosedHead
from client.pose.scatter_estimate import without_scatter
from client.radiographs import Film
from common.attenuation import water_mu_per_mm
from common.errors import ExitCode, Refusal
from common.geometry import Geometry, Grid
from common.spectrum import CT_KEV, Spectrum, bone_mu_per_mm, transmission, water_and_bone

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

# What a skull's film usually has where nothing is stated.
USUAL_KVP, _LOWEST_KVP, _HIGHEST_KVP = 75.0, 60.0, 125.0
# Behind a grid of ratio 10, of which a room for skulls has one.
USUAL_SCATTER_TO_PRIMARY: Final = 0.2
_RATIOS: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
# The average head whose rays stand for those of any head.
_HEAD_GRID: Final = Grid(shape=(64, 64, 64), voxel_mm=4.0)
_HEAD_GEOMETRY: Final = Geometry(
    source_patient_mm=1000.0, source_detector_mm=1200.0, detector_shape=(64, 64), pixel_mm=5.0
)
_LEAST_INTEGRAL: Final = 0.3


@final
class CalibrationOrigin(StrEnum):
    """Where a calibration's coefficients come from."""

    SPECTRUM = "spectrum"
    PAIRED_CT = "paired_ct"


@final
@dataclass(frozen=True)
class FilmCalibration:
    """One study's way from films to line integrals as its DRRs have them.

    Attributes:
        gain, square: the DRR's line integral is ``gain * film + square * film**2``.
        scatter_to_primary: mean ratio behind the head that is taken off first.
        origin: from the tube's spectrum, or fitted against a paired CT.
        rmse: of what it was fitted to, in line integrals.
    """

    gain: float
    square: float
    scatter_to_primary: float
    origin: CalibrationOrigin
    rmse: float

    def applied(self, film: Film) -> Image:
        """(row, column) line integrals of a film as the study's DRRs have them."""
        return self.of_pixels(film.integrals, film.exposed, detector_pixel_mm(film))

    def of_pixels(self, integrals: Image, exposed: Mask, pixel_mm: float) -> Image:
        """The same of (row, column) line integrals, filled outside their mask, of so large pixels at the detector."""
        primary = without_scatter(integrals, exposed, pixel_mm, self.scatter_to_primary)
        return np.asarray(self.gain * primary + self.square * primary**2, dtype=np.float32)


def film_spectrum(kvp: float | None) -> Spectrum:
    """The spectrum of a film whose voltage is stated, or of a usual one; what lies before the patient is 2.5 mm Al."""
    return Spectrum(kvp=min(max(kvp or USUAL_KVP, _LOWEST_KVP), _HIGHEST_KVP))


def spectrum_calibration(
    films: Sequence[Film], energy_kev: float, scatter_to_primary: float = USUAL_SCATTER_TO_PRIMARY
) -> FilmCalibration:
    """The calibration of a study's films from what their spectrum does behind the average head.

    Soft tissue and bone along the average head's rays, frontal and lateral, harden the spectrum; gain and square term
    are what brings the film of each nearest to its DRR.

    Args:
        films: the study's; the median of their voltages counts.
        energy_kev: of the study's DRRs.
        scatter_to_primary: mean ratio behind the head, at the detector.

    Raises:
        Refusal: ``IMAGE_INVALID`` if there is no film, ``GEOMETRY_INVALID`` for an energy that no table has.
    """
    if not films:
        raise _refused("no film to calibrate", "give the study's films")
    stated = [film.kvp for film in films if film.kvp is not None]
    return voltage_calibration(median(stated) if stated else None, energy_kev, scatter_to_primary)


@lru_cache(maxsize=256)
def voltage_calibration(kvp: float | None, energy_kev: float, scatter_to_primary: float) -> FilmCalibration:
    """As :func:`spectrum_calibration`, of films of one voltage, or of a usual one.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` for an energy that no table has.
    """
    spectrum = film_spectrum(kvp)
    water_mm, bone_mm = _average_rays_mm()
    as_water_mm = water_mm + bone_mm * (bone_mu_per_mm(CT_KEV) / water_mu_per_mm(CT_KEV))
    wanted = as_water_mm * water_mu_per_mm(energy_kev)
    seen = wanted > _LEAST_INTEGRAL
    shown = -np.log(transmission(spectrum, water_mm[seen], bone_mm[seen]))
    gain, square, rmse = _fitted(shown, wanted[seen])
    return FilmCalibration(gain, square, scatter_to_primary, CalibrationOrigin.SPECTRUM, rmse)


def paired_calibration(films: Sequence[Film], drrs: Sequence[Image]) -> FilmCalibration:
    """The calibration of a study's films from DRRs of the same patients in the same poses.

    Scatter is tried in steps; gain and square term are fitted to all films together for each.

    Args:
        films: the study's.
        drrs: for each the (row, column) line integrals of its pixels through the patient's CT, at the study's energy;
            NaN, where the CT does not show what the film does, does not count.

    Raises:
        Refusal: ``IMAGE_INVALID`` if there is no film, or shapes differ, or no head is seen.
    """
    if not films or any(film.integrals.shape != drr.shape for film, drr in zip(films, drrs, strict=True)):
        raise _refused("films and DRRs do not belong together", "give one DRR a film, in the film's pixels")
    inside = [
        ndimage.binary_erosion(film.exposed, iterations=MARGIN_PIXELS) & (drr > _LEAST_INTEGRAL)
        for film, drr in zip(films, drrs, strict=True)
    ]
    wanted = np.concatenate([drr[mask] for drr, mask in zip(drrs, inside, strict=True)]).astype(np.float64)
    if not wanted.size:
        raise _refused("no head on the films", "look at mask and pose")
    tried = []
    for ratio in _RATIOS:
        primary = [without_scatter(film.integrals, film.exposed, detector_pixel_mm(film), ratio) for film in films]
        shown = np.concatenate([image[mask] for image, mask in zip(primary, inside, strict=True)]).astype(np.float64)
        gain, square, rmse = _fitted(shown, wanted)
        tried.append(FilmCalibration(gain, square, ratio, CalibrationOrigin.PAIRED_CT, rmse))
    return min(tried, key=lambda calibration: calibration.rmse)


@lru_cache(maxsize=1)
def _average_rays_mm() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Water and bone along the average head's rays in both views, (view, row, column) each."""
    tissues = water_and_bone(template_head(_HEAD_GRID).astype(np.float32))
    water, bone = (
        np.stack(
            [
                PosedHead.of(tissue, _HEAD_GRID.voxel_mm, beam).integrals(_HEAD_GEOMETRY, beam)
                for beam in _HEAD_GEOMETRY.beams
            ]
        ).astype(np.float64)
        for tissue in tissues
    )
    return water, bone


def _fitted(shown: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, float, float]:
    """Gain, square term and root mean square error of the least-squares fit."""
    terms = np.stack((shown, shown**2), axis=-1)
    (gain, square), *_ = np.linalg.lstsq(terms, wanted, rcond=None)
    return float(gain), float(square), float(np.sqrt(np.mean((terms @ (gain, square) - wanted) ** 2)))


def _refused(what: str, mend: str) -> Refusal:
    return Refusal(ExitCode.IMAGE_INVALID, what, where="calibration", mend=mend)
