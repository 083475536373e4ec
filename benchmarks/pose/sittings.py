"""Two films of a person in a room of its own, and the CT that they are posed against."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from client.archive import Pseudonyms
from client.radiographs import Film, FilmVerdict, Origin, read_films
from client.virtual_films import AntiScatterGrid, FilmFormat, FilmStyle, expose, write_film
from common.geometry import FrontalView, Geometry, LateralView, Pose
from common.spectrum import Spectrum

HEAD_MM: Final = 1.8
TWIN_MM: Final = 2.1
TWIN_NOISE_HU: Final = 25.0
MOST_TURN_DEG, MOST_SHIFT_MM, DISTANCES_WITHIN = 10.0, 15.0, 0.10
_SOURCE_PATIENT_MM, _SOURCE_DETECTOR_MM, _LEAST_GAP_MM = 1000.0, 1300.0, 150.0
_PIXELS, _PIXEL_MM = 512, 0.84
# What a room that states no distances is taken for.
USUAL_MAGNIFICATION: Final = 1.2
_FORMATS: Final = (
    FilmFormat(),
    FilmFormat(bits=12, photometric="MONOCHROME1", quarter_turns=1),
    FilmFormat("CR", relationship="LOG", bits=12),
    FilmFormat("CR", relationship="LOG", bits=10, flipped=True),
    FilmFormat("XA", bits=12),
    FilmFormat(presentation=True, relationship="LOG", bits=12, quarter_turns=2),
)

Volume = NDArray[np.float32]


@final
@dataclass(frozen=True)
class Sitting:
    """One person's films and the truth about them.

    Attributes:
        films: frontal and lateral, or the reader's verdict where it refused one.
        geometry: of the room, with the true poses of both views.
    """

    films: tuple[Film | FilmVerdict, Film | FilmVerdict]
    geometry: Geometry


def sitting(head_hu: NDArray[np.int16], seed: int) -> Sitting:
    """Both films of a head, exposed, written as DICOM and read: room, poses, tube, lead and format drawn by the seed.

    Args:
        head_hu: (z, y, x) at 1.8 mm.
        seed: equal ones give equal sittings.
    """
    random = np.random.default_rng(seed)
    geometry = _room(random)
    style = _style(random, geometry.source_detector_mm / geometry.source_patient_mm)
    stored_as = _FORMATS[int(random.integers(len(_FORMATS)))]
    with tempfile.TemporaryDirectory(prefix="tomoray-pose-") as folder:
        paths = [
            write_film(
                Path(folder),
                expose(head_hu, HEAD_MM, geometry, beam, style, seed=seed + view),
                stored_as,
                seed=seed,
                number=1,
            )
            for view, beam in enumerate(geometry.beams)
        ]
        frontal, lateral = read_films(paths, Pseudonyms(b"benchmark" * 4))
    return Sitting((frontal, lateral), geometry)


def twin(head_hu: NDArray[np.int16], seed: int) -> Volume:
    """(z, y, x) at 2.1 mm: the head as another scan shows it, in voxels of its own, blurred and noisy."""
    factor = TWIN_MM / HEAD_MM
    shape = tuple(math.ceil(edge / factor) for edge in head_hu.shape)
    first = [(edge - 1) / 2 - factor * (wanted - 1) / 2 for edge, wanted in zip(head_hu.shape, shape, strict=True)]
    smooth = ndimage.gaussian_filter(head_hu.astype(np.float32), 0.4)
    scanned = ndimage.affine_transform(smooth, np.full(3, factor), first, shape, order=1, cval=-1000.0)
    noise = np.random.default_rng(seed).normal(0, TWIN_NOISE_HU, shape)
    return np.asarray(scanned + noise, dtype=np.float32)


def cut_short(scanned_hu: Volume) -> Volume:
    """The scan as rooms end one, above the jaw: the volume's lowest third is air."""
    short = scanned_hu.copy()
    short[: len(short) // 3] = -1000.0
    return short


def with_distances(film: Film, source_patient: float, source_detector: float) -> Film:
    """The film with its stated distances so many times as large."""
    geometry = film.geometry
    if geometry.source_patient_mm is None or geometry.source_detector_mm is None:
        raise ValueError("the film states no distances")
    near, far = geometry.source_patient_mm * source_patient, geometry.source_detector_mm * source_detector
    told = replace(geometry, source_patient_mm=near, source_detector_mm=far, magnification=far / near)
    return replace(film, geometry=told)


def without_distances(film: Film) -> Film:
    """The film as a room sends it that states none."""
    told = replace(
        film.geometry,
        source_patient_mm=None,
        source_detector_mm=None,
        magnification=USUAL_MAGNIFICATION,
        magnification_origin=Origin.ASSUMED,
    )
    return replace(film, geometry=told)


def _room(random: np.random.Generator) -> Geometry:
    """Distances within 10 % of a usual room's, independently, as far as the head fits before the detector."""
    near, far = _SOURCE_PATIENT_MM, 0.0
    while far < near + _LEAST_GAP_MM:
        factors = random.uniform(1 - DISTANCES_WITHIN, 1 + DISTANCES_WITHIN, 2)
        near, far = _SOURCE_PATIENT_MM * float(factors[0]), _SOURCE_DETECTOR_MM * float(factors[1])
    return Geometry(
        source_patient_mm=near,
        source_detector_mm=far,
        detector_shape=(_PIXELS, _PIXELS),
        pixel_mm=_PIXEL_MM,
        frontal=list(FrontalView)[int(random.integers(2))],
        lateral=list(LateralView)[int(random.integers(2))],
        frontal_pose=_pose(random),
        lateral_pose=_pose(random),
    )


def _pose(random: np.random.Generator) -> Pose:
    pitch, roll, yaw = (float(angle) for angle in random.uniform(-MOST_TURN_DEG, MOST_TURN_DEG, 3))
    left, posterior, superior = (float(shift) for shift in random.uniform(-MOST_SHIFT_MM, MOST_SHIFT_MM, 3))
    return Pose(pitch_deg=pitch, roll_deg=roll, yaw_deg=yaw, translation_mm=(left, posterior, superior))


def _style(random: np.random.Generator, magnification: float) -> FilmStyle:
    has_grid = bool(random.random() < 0.7)
    return FilmStyle(
        Spectrum(kvp=float(random.uniform(65, 90)), copper_mm=float(random.choice([0.0, 0.1]))),
        kerma_ugy=float(random.uniform(1.5, 5.0)),
        scatter_to_primary=float(random.uniform(0.8, 2.0) if has_grid else random.uniform(0.3, 0.8)),
        grid=AntiScatterGrid() if has_grid else None,
        focal_spot_mm=float(random.choice([0.6, 1.2])),
        field_mm=(magnification * float(random.uniform(255, 280)), magnification * float(random.uniform(240, 265))),
        marker="L" if random.random() < 0.5 else "R",
    )
