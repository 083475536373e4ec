"""Small pictures of a case: middle slices in two windows, and its radiographs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch

from client.case import Case
from common.geometry import Grid
from common.hanging import PLANES, RADIOGRAPHS, Edges, hung
from common.pictures import jpeg_address
from common.radiograph_display import display
from common.study import Study, Window

WINDOWS = (("brain", Window(low_hu=0, high_hu=80)), ("bone", Window(low_hu=-500, high_hu=1500)))
LARGEST_PIXELS = 160


@final
@dataclass(frozen=True)
class Thumbnail:
    """One picture: ``width`` is its share of the widest picture's extent in mm, ``aspect`` its width to its height."""

    title: str
    data: str
    edges: Edges
    width: float
    aspect: float


def thumbnails(case: Case, study: Study) -> list[Thumbnail]:
    """For each window the middle axial, coronal and sagittal slice, followed by one of the radiographs."""
    radiographs = _radiographs(case, study)
    rows = (_slices(case.volume_hu, study.grid, name, window) for name, window in WINDOWS)
    return [picture for row, radiograph in zip(rows, radiographs, strict=True) for picture in (*row, radiograph)]


def _slices(volume_hu: npt.NDArray[np.int16], grid: Grid, name: str, window: Window) -> Iterator[Thumbnail]:
    for plane, axis, edges in PLANES:
        cut = hung(volume_hu, axis, grid.shape[axis] // 2).astype(np.float32)
        grey = np.clip((cut - window.low_hu) / window.width_hu, 0, 1) * 255
        rows, columns = cut.shape
        width = columns * grid.voxel_mm / max(grid.extent_mm)
        yield Thumbnail(
            f"{plane}, {name}", jpeg_address(grey.astype(np.uint8), LARGEST_PIXELS), edges, width, columns / rows
        )


def _radiographs(case: Case, study: Study) -> Iterator[Thumbnail]:
    rows, columns = study.geometry.detector_shape
    for grey, (name, edges) in zip(display(torch.from_numpy(case.integrals)), RADIOGRAPHS, strict=True):
        yield Thumbnail(f"{name} DRR", jpeg_address(grey, LARGEST_PIXELS), edges, 1.0, columns / rows)
