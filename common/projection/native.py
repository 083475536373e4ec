"""A radiograph pair from a CT in its native resolution and pose, once per case: forward only, on the CPU.

The same method as :class:`common.projection.projector.Projector`, compiled, for int16 or float32 HU as scanned:
voxels need not be cubic, and the volume may lie turned, shifted or sheared by a tilted gantry.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from common.attenuation import AIR_HU
from common.errors import ExitCode, Refusal
from common.geometry import Geometry
from common.projection.compiled.image_readout import read_rows
from common.projection.compiled.rays import BAND_ROWS
from common.projection.compiled.sweep import sweep_band, tissue_spans
from common.projection.lattice import Lattice, Placement, ray_lattice

MOST_THREADS = 256
_SLICES_AT_ONCE = 16


def native_projection(
    volume_hu: NDArray[np.int16] | NDArray[np.float32],
    placement: Placement,
    geometry: Geometry,
    water_mu_per_mm: float,
    *,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Line integrals of attenuation through a CT as it was scanned.

    Attenuation is :func:`common.attenuation.hu_to_mu`. Memory beyond the volume is a few megabytes a thread.

    Args:
        volume_hu: (z, y, x), int16 or float32, C-contiguous, its axes nearest to superior, posterior and left in this
            order, in either direction.
        placement: where its voxels lie, as the patient lies to the geometry's poses.
        geometry: source, detector and views.
        water_mu_per_mm: attenuation of water.
        threads: bands of detector rows computed at a time.

    Returns:
        (2, rows, columns) float32, dimensionless; view 0 frontal, view 1 lateral.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if the placement is not finite or degenerate, source or detector lies among the
            volume's planes, or nothing but air is met in a view; ``IMAGE_INVALID`` if a voxel met is not finite.
    """
    _expect_volume(volume_hu, threads)
    _expect_placement(placement)
    frontal, lateral = (ray_lattice(placement, volume_hu.shape, geometry, beam) for beam in geometry.beams)
    slices = volume_hu.shape[0]
    tissue = np.zeros((*volume_hu.shape[:2], 2), dtype=np.int16)
    tissue[..., 1] = volume_hu.shape[2]
    bands = -(-max(frontal.shape[0], lateral.shape[0]) // BAND_ROWS)
    sums = [np.zeros((bands, view.shape[1], BAND_ROWS), dtype=np.float32) for view in (frontal, lateral)]
    pair = np.empty((2, *geometry.detector_shape), dtype=np.float32)
    air = volume_hu.dtype.type(AIR_HU)

    def narrow(first: int) -> None:
        tissue_spans(volume_hu, air, first, min(first + _SLICES_AT_ONCE, slices), tissue)

    def sweep(band: int) -> None:
        views = frontal.sweep, lateral.sweep
        sweep_band(volume_hu, tissue, air, np.float32(air), *views, band * BAND_ROWS, sums[0][band], sums[1][band])

    def read(part: tuple[int, int]) -> None:
        index, start = part
        view = (frontal, lateral)[index]
        rows = slice(start, min(start + BAND_ROWS, pair.shape[1]))
        read_rows(
            sums[index],
            view.sweep,
            view.source,
            view.corner + start * view.row_step,
            view.row_step,
            view.column_step,
            view.beam.along,
            placement.steps_mm,
            water_mu_per_mm / -AIR_HU,
            pair[index, rows],
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(narrow, range(0, slices, _SLICES_AT_ONCE)))
        list(pool.map(sweep, range(bands)))
        list(pool.map(read, [(view, row) for view in (0, 1) for row in range(0, pair.shape[1], BAND_ROWS)]))
    _expect_seen(pair, (frontal, lateral))
    return pair


def _expect_volume(volume_hu: NDArray[np.int16] | NDArray[np.float32], threads: int) -> None:
    if volume_hu.ndim != 3 or volume_hu.dtype not in (np.int16, np.float32) or not volume_hu.flags.c_contiguous:
        raise _refused("volume is not (z, y, x) int16 or float32 in C order", "convert it first")
    if min(volume_hu.shape) < 2 or max(volume_hu.shape) > np.iinfo(np.int16).max:
        raise _refused(f"volume of shape {volume_hu.shape}", "give each axis 2 to 32767 voxels")
    if not 1 <= threads <= MOST_THREADS:
        raise _refused(f"{threads} threads", f"choose 1 to {MOST_THREADS}")


def _expect_placement(placement: Placement) -> None:
    finite = np.isfinite(placement.first_mm).all() and np.isfinite(placement.steps_mm).all()
    if not finite or abs(np.linalg.det(placement.steps_mm)) < 1e-9:
        raise _refused("placement of the volume is not finite or is degenerate", "repair position and spacing")


def _expect_seen(pair: NDArray[np.float32], views: tuple[Lattice, Lattice]) -> None:
    if not np.isfinite(pair).all():
        raise Refusal(
            ExitCode.IMAGE_INVALID,
            "volume holds NaN or infinite attenuation",
            where="projection",
            mend="leave the case out, or repair its volume",
        )
    for image, view in zip(pair, views, strict=True):
        if not image.any():
            raise _refused(
                f"no ray of the {view.beam.name} view meets anything but air",
                "check the detector's size and offset, the pose, and the volume",
            )


def _refused(what: str, mend: str) -> Refusal:
    return Refusal(ExitCode.GEOMETRY_INVALID, what, where="projection", mend=mend)
