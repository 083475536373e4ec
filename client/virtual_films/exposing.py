"""One exposure of a head: lengths of tissue to what a linear detector reads, relative to its open field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.virtual_films.film_style import FilmStyle
from client.virtual_films.lead import letter_mask
from client.virtual_films.marching import tissue_paths_mm
from common.geometry import Beam, Geometry
from common.spectrum import absorbed_share, photons_by_energy, photons_per_mm2, transmission

# What is thicker than so much attenuation belongs to the head, for the mean ratio of scatter.
HEAD_ABOVE = 0.5
_FWHM_PER_SIGMA = 2.3548
# Edge of the lead letter, and its distance from the field's corner.
_LETTER_MM, _LETTER_MARGIN_MM = 16.0, 6.0

Image = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Film:
    """One exposed film, hung as radiologists hang it.

    Attributes:
        exposure: (rows, columns), 1 where the open field reaches the detector unattenuated; noise can take it below 0.
        open_field: (rows, columns) bool, inside the collimator and beside the lead letter.
        paths_mm: (2, rows, columns), water and bone along the rays: what the exposure was made of.
        beam: which view, how posed.
        geometry: source, detector and views.
        style: how it was exposed.
    """

    exposure: Image
    open_field: NDArray[np.bool_]
    paths_mm: NDArray[np.float32]
    beam: Beam
    geometry: Geometry
    style: FilmStyle


def expose(
    volume_hu: NDArray[np.int16] | NDArray[np.float32],
    voxel_mm: float,
    geometry: Geometry,
    beam: Beam,
    style: FilmStyle,
    *,
    seed: int,
) -> Film:
    """Expose a film of a head.

    Fluorescence that leaves the detector, the heel effect and motion are not in it; scatter is a broad Gaussian of
    where photons interact, no transport of them.

    Args:
        volume_hu: (z, y, x), isotropic, centred on the isocentre.
        voxel_mm: edge of its voxels.
        geometry: source, detector and views.
        beam: one of the geometry's.
        style: tube, grid, detector, lead.
        seed: of the noise; equal arguments give equal films.
    """
    paths = tissue_paths_mm(volume_hu, voxel_mm, geometry, beam)
    behind = transmission(style.spectrum, paths[0], paths[1])
    opened, lead = shadows(geometry, style)
    share = np.where(opened & ~lead, 1.0, style.leak)
    primary = _blurred(behind * share, focal_sigma_mm(geometry, style) / geometry.pixel_mm)
    signal = primary + _scatter(behind, np.where(opened, 1.0, style.leak), geometry, style)
    return Film(_detected(signal, geometry, style, seed), opened & ~lead, paths, beam, geometry, style)


def _scatter(behind: Image, share: Image, geometry: Geometry, style: FilmStyle) -> Image:
    """Light of scattered photons: what scatters is what interacts, P times -ln P; beside the detector nothing does."""
    interacting = -behind * np.log(behind) * share
    spread = ndimage.gaussian_filter(interacting, style.scatter_sigma_mm / geometry.pixel_mm, mode="constant")
    head = (-np.log(behind) > HEAD_ABOVE) & (share == 1.0)
    if style.scatter_at_detector == 0 or not head.any():
        return np.zeros_like(behind)
    return np.asarray(spread * (style.scatter_at_detector / (spread / behind)[head].mean()), dtype=np.float64)


def _detected(signal: Image, geometry: Geometry, style: FilmStyle, seed: int) -> Image:
    """Quantum noise before the light spreads, the readout's after it."""
    random = np.random.default_rng(seed)
    sigma = style.detector_sigma_mm / geometry.pixel_mm
    if style.kerma_ugy == 0:
        return _blurred(signal, sigma)
    photons = photons_a_pixel(geometry, style)
    counted = _blurred(random.poisson(signal * photons).astype(np.float64), sigma)
    return np.asarray((counted + random.normal(0, style.electronic_photons, signal.shape)) / photons)


def photons_a_pixel(geometry: Geometry, style: FilmStyle) -> float:
    """Photons that the detector stops in a pixel of the open field."""
    absorbed = float((photons_by_energy(style.spectrum) * absorbed_share()).sum())
    through = 1.0 if style.grid is None else style.grid.primary_share
    return photons_per_mm2(style.spectrum, style.kerma_ugy) * geometry.pixel_mm**2 * absorbed * through


def focal_sigma_mm(geometry: Geometry, style: FilmStyle) -> float:
    """SD at the detector of the focal spot's shadow of an edge at the isocentre."""
    magnified = geometry.source_detector_mm / geometry.source_patient_mm - 1
    return style.focal_spot_mm * magnified / _FWHM_PER_SIGMA


def _blurred(image: Image, sigma_pixels: float) -> Image:
    if sigma_pixels == 0:
        return image
    return np.asarray(ndimage.gaussian_filter(image, sigma_pixels, mode="nearest"), dtype=np.float64)


def shadows(geometry: Geometry, style: FilmStyle) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the collimator is open, and where the lead letter lies: both (rows, columns) bool."""
    rows, columns = geometry.detector_shape
    full = rows * geometry.pixel_mm, columns * geometry.pixel_mm
    wanted = style.field_mm or full
    half = [min(edge, most) / 2 for edge, most in zip(wanted, full, strict=True)]
    down = (np.arange(rows) + 0.5) * geometry.pixel_mm - full[0] / 2
    right = (np.arange(columns) + 0.5) * geometry.pixel_mm - full[1] / 2
    opened = (np.abs(down) <= half[0])[:, None] & (np.abs(right) <= half[1])[None, :]
    lead = np.zeros_like(opened)
    if style.marker is not None:
        letter = letter_mask(style.marker, max(round(_LETTER_MM / geometry.pixel_mm), 1))
        # The patient's left is at a hung frontal's right.
        top = int(np.searchsorted(down, -half[0] + _LETTER_MARGIN_MM))
        side = -half[1] + _LETTER_MARGIN_MM if style.marker == "R" else half[1] - _LETTER_MARGIN_MM - _LETTER_MM
        start = max(int(np.searchsorted(right, side)), 0)
        place = lead[top : top + letter.shape[0], start : start + letter.shape[1]]
        place |= letter[: place.shape[0], : place.shape[1]]
    return opened, lead
