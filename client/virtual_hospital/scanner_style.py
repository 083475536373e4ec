"""CT scanners of the stand-in archives: how a head becomes the slices that a given scanner would have stored.

Slice spacing, noise, tilt and tube voltage were measured on head CTs of the scanners named; pixel sizes, kernels and
padding of the Toshiba and GE HiSpeed styles were read from their headers. MTF, noise correlation, tables and the other
styles' kernels and padding are plausible choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from client.virtual_hospital.supports import Table, put_on_mask, table_hu

AIR_HU = -1000.0
LOWEST_HU = -1024
HIGHEST_HU = 3071
_TISSUE_HU = -300.0
_TOP_MARGIN_MM = 8.0
_CROWN_HALF_MM = 45.0
_SAMPLES_AT_ONCE = 1 << 21

Volume = NDArray[np.float32]


@final
@dataclass(frozen=True)
class ScannerStyle:
    """One scanner with its head protocol.

    Attributes:
        name: key in ``STYLES``.
        manufacturer, model, kernel: as stored in DICOM.
        kvp: tube voltage in kV.
        slice_mm: slice thickness; with two values the lower half is scanned with the first, the upper with the second.
        pixel_mm, matrix: pixel edge and pixels along each side; their product is the diameter of the field of view.
        gantry_tilt_deg: DICOM Gantry/Detector Tilt (0018,1120); positive leans the posterior side to inferior.
        noise_hu: standard deviation of the noise.
        noise_sigma_mm: apodisation of the ramp-shaped noise spectrum; larger is coarser.
        mtf_sigma_mm: standard deviation of the point spread in the slice.
        padding_hu: value outside the circular field of view.
        rescale_intercept: HU = stored value + intercept.
        table: form of the table.
        mask: whether a thermoplastic mask holds the head, as in planning for radiotherapy.
    """

    name: str
    manufacturer: str
    model: str
    kernel: str
    kvp: float
    slice_mm: tuple[float, ...]
    pixel_mm: float
    matrix: int
    gantry_tilt_deg: float
    noise_hu: float
    noise_sigma_mm: float
    mtf_sigma_mm: float
    padding_hu: int
    rescale_intercept: int
    table: Table
    mask: bool = False


STYLES: Mapping[str, ScannerStyle] = MappingProxyType(
    {
        style.name: style
        for style in (
            ScannerStyle(
                "toshiba", "TOSHIBA", "Aquilion", "FC23", 120.0, (3.0,), 0.527, 512,
                0.0, 2.1, 0.7, 0.45, -2048, 0, Table.CURVED,
            ),
            ScannerStyle(
                "ge-hispeed", "GE MEDICAL SYSTEMS", "HiSpeed Dual", "STD+", 120.0, (4.0, 7.0), 0.488, 512,
                18.5, 3.1, 0.7, 0.5, -1500, 0, Table.CURVED,
            ),
            ScannerStyle(
                "ge-petct", "GE MEDICAL SYSTEMS", "Discovery STE", "STANDARD", 140.0, (4.25,), 0.977, 512,
                0.0, 4.2, 0.8, 0.6, -3024, -1024, Table.CURVED,
            ),
            ScannerStyle(
                "picker-rt", "Picker International, Inc.", "PQ5000", "STANDARD", 120.0, (3.0,), 1.0, 512,
                0.0, 3.1, 0.8, 0.6, -1024, 0, Table.FLAT,
            ),
            ScannerStyle(
                "siemens", "SIEMENS", "SOMATOM Definition AS", "B31f", 120.0, (2.0,), 0.977, 512,
                0.0, 13.6, 0.65, 0.55, -1024, -1024, Table.FLAT,
            ),
            ScannerStyle(
                "radiotherapy", "Philips", "Brilliance Big Bore", "B", 120.0, (3.0,), 0.977, 512,
                0.0, 4.0, 0.8, 0.6, -1000, -1024, Table.COUCH, mask=True,
            ),
        )
    }
)  # fmt: skip


@final
@dataclass(frozen=True)
class Acquisition:
    """What a scanner stored of one head.

    Attributes:
        slices_hu: (slice, row, column) int16 HU, from inferior to superior; padding outside the field of view.
        positions_mm: (slice, 3) LPS (x, y, z) of the centre of each slice's first pixel.
        orientation: direction cosines along a row, then along a column (0020,0037).
        pixel_mm: pixel edge.
        thickness_mm: (slice,) thickness of each slice.
    """

    slices_hu: NDArray[np.int16]
    positions_mm: NDArray[np.float64]
    orientation: tuple[float, float, float, float, float, float]
    pixel_mm: float
    thickness_mm: NDArray[np.float64]


def acquire(
    volume_hu: NDArray[np.int16], voxel_mm: float, style: ScannerStyle, seed: int, *, matrix: int | None = None
) -> Acquisition:
    """Scan a head: slices at their true places, with profile, blur, correlated noise, table and field of view.

    The volume's centre lies at LPS (0, 0, 0). The table moves along z whatever the tilt, so tilted slices form a
    sheared stack, one step being thickness / cos(tilt). The lower end of the scan is drawn from the seed.

    Args:
        volume_hu: (z, y, x) int16 HU in LPS order, isotropic.
        voxel_mm: edge of its voxel.
        style: the scanner.
        seed: at least 0; decides noise, lower end and off-centre.
        matrix: pixels along each side of a slice, by default the style's; fewer pixels are larger ones.
    """
    rng = np.random.default_rng([seed, 0x5CA2])
    size = matrix or style.matrix
    pixel_mm = style.pixel_mm * style.matrix / size
    tilt = np.deg2rad(style.gantry_tilt_deg)
    down = np.array([0.0, np.cos(tilt), -np.sin(tilt)])
    heights, thickness = _schedule(volume_hu, voxel_mm, style, rng)
    off_centre = np.concatenate([rng.uniform(-4.0, 4.0, 2), [0.0]])
    half = (size - 1) / 2 * pixel_mm
    first = np.array([[0.0, 0.0, height] for height in heights]) + off_centre - half * down - [half, 0.0, 0.0]
    across = (np.arange(size) * pixel_mm).astype(np.float64)
    planes = np.empty((len(heights), size, size), dtype=np.float32)
    for width in sorted(set(thickness.tolist())):
        chosen = np.flatnonzero(thickness == width)
        profile = _averaged_along_z(volume_hu, width / np.cos(tilt) / voxel_mm)
        planes[chosen] = _sample(profile, voxel_mm, first[chosen], across, down)
    planes = ndimage.gaussian_filter(planes, (0.0, style.mtf_sigma_mm / pixel_mm, style.mtf_sigma_mm / pixel_mm))
    # Slices differ in z alone, so the table looks the same in each.
    behind_mm = _posterior_mm(volume_hu, voxel_mm)
    x, y = across + first[0, 0], first[0, 1] + across * down[1]
    table = table_hu(style.table, behind_mm, x, y)
    for plane in planes:
        if style.mask:
            put_on_mask(plane, y, pixel_mm)
        np.copyto(plane, table, where=(plane < _TISSUE_HU) & (table > plane))
    planes += correlated_noise(rng, planes.shape, pixel_mm, style)
    np.clip(planes, LOWEST_HU, HIGHEST_HU, out=planes)
    slices = np.rint(planes, out=planes).astype(np.int16)
    centred = (np.arange(size) - (size - 1) / 2) ** 2
    slices[:, centred[:, None] + centred[None, :] > (size / 2) ** 2] = style.padding_hu
    orientation = (1.0, 0.0, 0.0, 0.0, float(down[1]), float(down[2]))
    return Acquisition(slices, first, orientation, pixel_mm, thickness)


def correlated_noise(rng: np.random.Generator, shape: tuple[int, ...], pixel_mm: float, style: ScannerStyle) -> Volume:
    """Noise of the style's standard deviation with the spectrum of filtered back-projection.

    The amplitude grows with frequency f and is cut off by exp(-2 π² σ² f²) (ramp with apodisation, after Kijewski and
    Judy, Phys Med Biol 32:565, 1987). Slices are independent.

    Returns:
        float32 of ``shape``, (slice, row, column), in HU.
    """
    rows, columns = shape[1:]
    frequency = np.hypot(np.fft.fftfreq(rows, pixel_mm)[:, None], np.fft.fftfreq(columns, pixel_mm)[None, :])
    amplitude = frequency * np.exp(-2 * np.square(np.pi * style.noise_sigma_mm * frequency))
    amplitude *= style.noise_hu / np.sqrt(np.mean(np.square(amplitude)))
    kept = torch.from_numpy(amplitude[:, : columns // 2 + 1].astype(np.float32))
    white = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    noise: Volume = torch.fft.irfft2(torch.fft.rfft2(white) * kept, s=(rows, columns)).numpy()
    return noise


def _schedule(
    volume_hu: NDArray[np.int16], voxel_mm: float, style: ScannerStyle, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Height of each slice's centre along z, ascending, and its thickness."""
    occupied = np.flatnonzero((volume_hu > _TISSUE_HU).sum(axis=(1, 2)) * voxel_mm**2 > 100.0)
    if occupied.size == 0:
        occupied = np.array([0, volume_hu.shape[0] - 1])
    middle = (volume_hu.shape[0] - 1) / 2
    bottom, top = (float((index - middle) * voxel_mm) for index in (occupied[0], occupied[-1]))
    bottom += float(rng.uniform(0.0, 0.08)) * (top - bottom)
    # Tilted slices reach the back of the crown only from further up.
    end = top + _TOP_MARGIN_MM + _CROWN_HALF_MM * abs(float(np.sin(np.deg2rad(style.gantry_tilt_deg))))
    heights: list[float] = []
    thickness: list[float] = []
    height = bottom
    while height < end:
        upper = height > (bottom + top) / 2
        width = style.slice_mm[-1] if upper else style.slice_mm[0]
        heights.append(height)
        thickness.append(width)
        height += width / np.cos(np.deg2rad(style.gantry_tilt_deg))
    return np.array(heights), np.array(thickness)


def _averaged_along_z(volume_hu: NDArray[np.int16], voxels: float) -> Volume:
    """Mean over a slab of a fractional number of voxels: the slice's sensitivity profile."""
    volume = volume_hu.astype(np.float32)
    if voxels <= 1.0:
        return volume
    side = int(np.ceil((voxels - 1) / 2))
    weights = np.ones(2 * side + 1, dtype=np.float32)
    weights[0] = weights[-1] = (voxels - (2 * side - 1)) / 2
    averaged: Volume = ndimage.correlate1d(volume, weights / weights.sum(), axis=0, mode="nearest")
    return averaged


def _sample(
    volume: Volume,
    voxel_mm: float,
    first_mm: NDArray[np.float64],
    across_mm: NDArray[np.float64],
    down: NDArray[np.float64],
) -> Volume:
    """Trilinear samples on slices, (slice, row, column); air outside the volume."""
    above_air = torch.from_numpy(volume - np.float32(AIR_HU))[None, None]
    scale = [2.0 / ((n - 1) * voxel_mm) for n in reversed(volume.shape)]
    planes: list[Volume] = []
    group = max(1, _SAMPLES_AT_ONCE // across_mm.size**2)
    for start in range(0, len(first_mm), group):
        origins = first_mm[start : start + group]
        points = np.empty((1, len(origins), across_mm.size, across_mm.size, 3), dtype=np.float32)
        points[..., 0] = (origins[:, 0, None, None] + across_mm) * scale[0]
        for axis in (1, 2):
            points[..., axis] = ((origins[:, axis, None] + across_mm * down[axis]) * scale[axis])[:, :, None]
        sampled = torch.nn.functional.grid_sample(
            above_air, torch.from_numpy(points), mode="bilinear", padding_mode="zeros", align_corners=True
        )
        planes.append(sampled[0, 0].numpy())
    sampled_planes: Volume = np.concatenate(planes) + np.float32(AIR_HU)
    return sampled_planes


def _posterior_mm(volume_hu: NDArray[np.int16], voxel_mm: float) -> float:
    """y of the hindmost tissue of the upper half: where the head rests."""
    upper = volume_hu[volume_hu.shape[0] // 2 :] > _TISSUE_HU
    occupied = np.flatnonzero(upper.sum(axis=(0, 2)) > 8)
    last = occupied[-1] if occupied.size else volume_hu.shape[1] - 1
    return float((last - (volume_hu.shape[1] - 1) / 2) * voxel_mm)
