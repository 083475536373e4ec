"""Small pictures of a case: middle slices in two windows, and its radiographs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from client.case import Case
from common.geometry import Grid
from common.hanging import PLANES, RADIOGRAPHS, Edges, hung
from common.radiograph_display import display
from common.study import Study, Window

WINDOWS = (("brain", Window(low_hu=0, high_hu=80)), ("bone", Window(low_hu=-500, high_hu=1500)))
LARGEST_PIXELS = 160
_JPEG_QUALITY = 85


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
        yield Thumbnail(f"{plane}, {name}", _jpeg(grey.astype(np.uint8)), edges, width, columns / rows)


def _radiographs(case: Case, study: Study) -> Iterator[Thumbnail]:
    rows, columns = study.geometry.detector_shape
    for grey, (name, edges) in zip(display(torch.from_numpy(case.integrals)), RADIOGRAPHS, strict=True):
        yield Thumbnail(f"{name} DRR", _jpeg(grey), edges, 1.0, columns / rows)


def _jpeg(grey: npt.NDArray[np.uint8]) -> str:
    """A data address of the picture, shrunk where it is larger than a thumbnail needs to be."""
    picture = Image.fromarray(grey)
    picture.thumbnail((LARGEST_PIXELS, LARGEST_PIXELS), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
