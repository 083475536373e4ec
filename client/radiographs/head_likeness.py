"""What an image shows, held against the average head seen from the front and from the side, turned and mirrored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from client.phantom import template_head
from common.attenuation import hu_to_mu, water_mu_per_mm
from common.geometry import Geometry, Grid
from common.projection import Projector

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

CELL_MM: Final = 4.0
_CELLS: Final = 64
_DISTANCES_MM: Final = (1500.0, 1000.0)
_ENERGY_KEV: Final = 60.0
_CHIN_BELOW_MM: Final = 113.0
# Against the average head: from an infant's to more than any adult's.
SIZES: Final = (0.55, 0.62, 0.7, 0.78, 0.86, 0.93, 1.0, 1.08, 1.17, 1.27)
_LEAST_SEEN: Final = 0.6
_OUTLINE, _INNER = 0.3, 1.0
_DEEPEST: Final = 6.0
_FINE_CELLS: Final = 2.5
_FINE_WEIGHT: Final = 8.0


@final
@dataclass(frozen=True, slots=True)
class Likeness:
    """How an image resembles the average head best in one view.

    Attributes:
        is_lateral: the view.
        quarter_turns: by how many quarter turns, against the clock, the image has to be turned to stand upright.
        is_mirrored: whether it has to be mirrored then, so that the face looks to the image's left.
        score: cosine of the angle between image and template, 1 for the same.
        size: of the head against the average one.
        cut_share: share of the head, without the neck, that lies outside the exposed field.
        saturated_share: share of what is well within its outline that is saturated.
    """

    is_lateral: bool
    quarter_turns: int
    is_mirrored: bool
    score: float
    size: float
    cut_share: float
    saturated_share: float


@lru_cache(maxsize=1)
def _templates() -> tuple[Image, Mask, Mask]:
    """(2, 64, 64) line integrals of the average head, where it is without its neck, and its inner part."""
    grid = Grid(shape=(_CELLS, _CELLS, _CELLS), voxel_mm=CELL_MM)
    far, near = _DISTANCES_MM
    geometry = Geometry(
        source_detector_mm=far,
        source_patient_mm=near,
        detector_shape=(_CELLS, _CELLS),
        pixel_mm=CELL_MM * far / near,
    )
    head = template_head(grid).astype(np.float32)
    with torch.inference_mode():
        mu = hu_to_mu(torch.from_numpy(head), water_mu_per_mm(_ENERGY_KEV))
        integrals: Image = Projector(grid, geometry)(mu[None, None])[0].numpy().clip(min=0.0)
    outline = integrals > _OUTLINE
    outline[:, round(_CELLS / 2 + _CHIN_BELOW_MM / CELL_MM) :] = False
    return integrals, outline, outline & (integrals > _INNER)


def likenesses(attenuation: Image, exposed: Mask, saturated: Mask, cell_mm: float) -> tuple[Likeness, ...]:
    """Every way in which an image may show a head, most alike first.

    Args:
        attenuation: (row, column) line integrals, zero outside the exposed field.
        exposed: (row, column), the field.
        saturated: (row, column), where the most that can be stored is.
        cell_mm: edge of its square pixels at the patient.
    """
    seen, field, full = (
        _resized(image.astype(np.float32), cell_mm / CELL_MM) for image in (attenuation, exposed, saturated)
    )
    whole = (field > 0.5).astype(np.float32)
    found = []
    for turns in range(4):
        turned, (open_field, lost) = (
            np.rot90(_features(seen * whole), turns, (1, 2)),
            np.rot90(np.stack((whole, full)), turns, (1, 2)),
        )
        for size in SIZES:
            for is_lateral, is_mirrored in ((False, False), (True, False), (True, True)):
                kind = is_lateral, turns, is_mirrored, size
                found.append(_best(turned, open_field, lost, _sized(is_lateral, is_mirrored, size), kind))
    best: dict[tuple[bool, int, bool], Likeness] = {}
    for one in sorted(found, key=lambda likeness: -likeness.score):
        best.setdefault((one.is_lateral, one.quarter_turns, one.is_mirrored), one)
    return tuple(best.values())


def _features(integrals: Image) -> Image:
    """(2, row, column): the image, and what is finer than a centimetre in it."""
    clipped = np.clip(integrals, 0.0, _DEEPEST)
    fine = clipped - ndimage.gaussian_filter(clipped, _FINE_CELLS)
    return np.stack((clipped, _FINE_WEIGHT * fine)).astype(np.float32)


@lru_cache(maxsize=64)
def _sized(is_lateral: bool, is_mirrored: bool, size: float) -> tuple[Image, Image, Image]:
    images = (_resized(image[int(is_lateral)].astype(np.float32), size) for image in _templates())
    scaled, outline, inner = (image[:, ::-1] if is_mirrored else image for image in images)
    return _features(scaled), (outline > 0.5).astype(np.float32), (inner > 0.5).astype(np.float32)


def _best(
    image: Image,
    field: Image,
    full: Image,
    templates: tuple[Image, Image, Image],
    kind: tuple[bool, int, bool, float],
) -> Likeness:
    """The likeness at the best shift: the cosine over the field, wherever enough of the head would lie in it."""
    template, outline, inner = templates
    shape = tuple(int(edge + other) for edge, other in zip(field.shape, outline.shape, strict=True))
    spectra = {"field": np.fft.rfft2(field, shape), "outline": np.fft.rfft2(outline, shape)}
    product_, energy = np.zeros(shape), np.zeros(shape)
    for plane, wanted in zip(image, template, strict=True):
        product_ += _correlated(np.fft.rfft2(plane, shape), np.fft.rfft2(wanted, shape), shape)
        energy += _correlated(spectra["field"], np.fft.rfft2(wanted**2, shape), shape)
    seen = _correlated(spectra["field"], spectra["outline"], shape) / max(float(outline.sum()), 1.0)
    norm = float((image.astype(np.float64) ** 2).sum())
    scores = product_ / np.sqrt(np.maximum(energy * norm, 1e-9))
    scores[seen < _LEAST_SEEN] = 0.0
    place = int(scores.argmax())
    is_lateral, turns, is_mirrored, size = kind
    cut = 1.0 - float(seen.flat[place])
    lost = _correlated(np.fft.rfft2(full, shape), np.fft.rfft2(inner, shape), shape).flat[place] / inner.sum()
    return Likeness(is_lateral, turns, is_mirrored, float(scores.flat[place]), size, max(cut, 0.0), float(lost))


def _correlated(
    one: NDArray[np.complex128], other: NDArray[np.complex128], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    return np.asarray(np.fft.irfft2(one * other.conj(), shape))


def _resized(image: Image, factor: float) -> Image:
    """The image in pixels so many times as many, its mean kept from aliasing."""
    if factor < 1:
        image = ndimage.gaussian_filter(image, 0.4 / factor)
    sized: Image = ndimage.zoom(image, factor, order=1, grid_mode=True, mode="nearest")
    return sized
