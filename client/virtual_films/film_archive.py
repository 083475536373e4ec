"""The films of a virtual hospital: a frontal and a lateral one of every patient whose CT its archive holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from client.virtual_films.exposing import expose
from client.virtual_films.film_format import FilmFormat
from client.virtual_films.film_style import AntiScatterGrid, FilmStyle
from client.virtual_films.film_writing import write_film
from client.virtual_hospital import VirtualAnatomy, digest
from common.geometry import FrontalView, Geometry, LateralView, Pose
from common.spectrum import Spectrum

_PIXELS, _PIXEL_MM = 320, 1.2
_MOST_TURN_DEG, _MOST_SHIFT_MM = 5.0, 8.0
_FORMATS: Final = (
    FilmFormat(),
    FilmFormat(bits=12, photometric="MONOCHROME1", quarter_turns=1),
    FilmFormat("CR", relationship="LOG", bits=12, in_densities=True),
    FilmFormat("XA", bits=12),
)


def write_virtual_films(
    root: Path, anatomy: VirtualAnatomy, patients: int, *, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write the films of the patients of :func:`client.virtual_hospital.write_virtual_archive`, beside their CT.

    A hospital has one room: tube voltage, grid, distances and format are its own, drawn from the seed. Poses, exposure,
    collimation and marker are each patient's.

    Args:
        root, patients: as the archive was written with.
        anatomy: of the style, seed, head and matrix that the archive was written with.
        progress: called with (patients written, patients) after each patient.

    Returns:
        Number of files written.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``, and what reading ``head`` refuses.
    """
    seed = anatomy.seed
    room = np.random.default_rng(int.from_bytes(digest(seed, "film room")[:7], "big"))
    kvp, has_grid = float(room.uniform(68, 85)), bool(room.random() < 0.7)
    scatter = float(room.uniform(0.8, 1.6) if has_grid else room.uniform(0.15, 0.4))
    stored_as = _FORMATS[int(room.integers(len(_FORMATS)))]
    near_mm, far_mm = (float(mm) for mm in (room.uniform(950, 1050), room.uniform(1180, 1280)))
    for number in range(1, patients + 1):
        random = np.random.default_rng(int.from_bytes(digest(seed, "films", number)[:7], "big"))
        volume_hu, voxel_mm = anatomy.patient(number)
        geometry = Geometry(
            source_patient_mm=near_mm,
            source_detector_mm=far_mm,
            detector_shape=(_PIXELS, _PIXELS),
            pixel_mm=_PIXEL_MM,
            frontal=FrontalView.PA,
            lateral=LateralView.LEFT,
            frontal_pose=_pose(random),
            lateral_pose=_pose(random),
        )
        magnified = far_mm / near_mm
        exposure = FilmStyle(
            Spectrum(kvp=kvp),
            kerma_ugy=float(random.uniform(1.5, 5.0)),
            scatter_to_primary=scatter,
            grid=AntiScatterGrid() if has_grid else None,
            field_mm=(magnified * float(random.uniform(270, 300)), magnified * float(random.uniform(255, 280))),
            marker="L" if random.random() < 0.5 else "R",
        )
        for view, beam in enumerate(geometry.beams):
            own = 2 * number + view
            write_film(
                root,
                expose(volume_hu, voxel_mm, geometry, beam, exposure, seed=own),
                stored_as,
                seed=seed,
                number=number,
            )
        if progress is not None:
            progress(number, patients)
    return 2 * patients


def _pose(random: np.random.Generator) -> Pose:
    pitch, roll, yaw = (float(angle) for angle in random.uniform(-_MOST_TURN_DEG, _MOST_TURN_DEG, 3))
    left, posterior, superior = (float(shift) for shift in random.uniform(-_MOST_SHIFT_MM, _MOST_SHIFT_MM, 3))
    return Pose(pitch_deg=pitch, roll_deg=roll, yaw_deg=yaw, translation_mm=(left, posterior, superior))
