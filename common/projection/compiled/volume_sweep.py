"""Sweep and transpose for volumes on the study's grid, compiled for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.projection.compiled.image_readout import read_images, spread_images
from common.projection.compiled.rays import BAND_ROWS
from common.projection.compiled.smear import smear_rows
from common.projection.compiled.sweep import sweep_band
from common.projection.lattice import Lattice

FROM_VOXELS = 1 << 20
_ROWS_AT_ONCE = 32
_NO_FLOOR = np.float32(-np.inf)

Views = tuple[Lattice, Lattice]


def suits(tensor: Tensor, voxels: int) -> bool:
    """Whether the compiled sweep serves: float32 on the CPU, and so many voxels that compiling, seconds, pays."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32 and voxels >= FROM_VOXELS


def sweep(volumes: Tensor, views: Views) -> list[Tensor]:
    """(B, z, y, x) float32 to both detectors, (B, rows, columns) each: values summed over planes."""
    cases = volumes.detach().contiguous().numpy()
    spans = np.zeros((*cases.shape[1:3], 2), dtype=np.int16)
    spans[..., 1] = cases.shape[3]
    images = _band_images(len(cases), views)

    def work(part: tuple[int, int]) -> None:
        case, band = part
        sweeps = views[0].sweep, views[1].sweep
        targets = images[0][case, band], images[1][case, band]
        sweep_band(cases[case], spans, _NO_FLOOR, np.float32(0), *sweeps, band * BAND_ROWS, *targets)

    _in_threads(work, [(case, band) for case in range(len(cases)) for band in range(images[0].shape[1])])
    return [_from_bands(image, view) for image, view in zip(images, views, strict=True)]


def smear(images: list[Tensor], views: Views, shape: tuple[int, int, int]) -> Tensor:
    """The transpose of :func:`sweep`: two (B, rows, columns) float32 to (B, z, y, x)."""
    bands = _band_images(len(images[0]), views)
    for target, image, view in zip(bands, images, views, strict=True):
        _to_bands(image, target, view)
    volumes = np.zeros((len(images[0]), *shape), dtype=np.float32)

    def work(part: tuple[int, int]) -> None:
        case, y = part
        last = min(y + _ROWS_AT_ONCE, shape[1])
        smear_rows(views[0].sweep, views[1].sweep, bands[0][case], bands[1][case], y, last, volumes[case])

    _in_threads(work, [(case, y) for case in range(len(volumes)) for y in range(0, shape[1], _ROWS_AT_ONCE)])
    return torch.from_numpy(volumes)


def _band_images(cases: int, views: Views) -> list[NDArray[np.float32]]:
    """Zero images, (case, band, column, row in band), as many bands in both views."""
    bands = -(-max(view.shape[0] for view in views) // BAND_ROWS)
    return [np.zeros((cases, bands, view.shape[1], BAND_ROWS), dtype=np.float32) for view in views]


def _from_bands(image: NDArray[np.float32], view: Lattice) -> Tensor:
    lattice = torch.from_numpy(image).permute(0, 1, 3, 2).flatten(1, 2)[:, : view.shape[0]]
    if view.is_detector:
        return lattice
    row, column, _ = view.pixels
    detector = np.empty((len(image), *view.detector_shape), dtype=np.float32)
    read_images(lattice.contiguous().numpy(), row, column, detector)
    return torch.from_numpy(detector)


def _to_bands(image: Tensor, target: NDArray[np.float32], view: Lattice) -> None:
    cases, bands, columns, _ = target.shape
    padded = torch.zeros(cases, bands * BAND_ROWS, columns)
    if view.is_detector:
        padded[:, : image.shape[1]] = image.detach()
    else:
        row, column, _ = view.pixels
        spread_images(image.detach().contiguous().numpy(), row, column, padded[:, : view.shape[0]].numpy())
    torch.from_numpy(target).copy_(padded.view(cases, bands, BAND_ROWS, columns).permute(0, 1, 3, 2))


def _in_threads(work: Callable[[tuple[int, int]], None], parts: Iterable[tuple[int, int]]) -> None:
    """Every part, in as many threads as torch uses; results do not depend on their number."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(work, parts))
