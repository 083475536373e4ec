"""The heads of a virtual hospital's patients: equal arguments give equal heads, whoever takes an image of them."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from client.phantom import AIR_HU, procedural_head
from client.virtual_hospital.head_deformation import random_deformation
from client.virtual_hospital.head_source import HeadVolume, read_head
from client.virtual_hospital.identifiers import digest
from client.virtual_hospital.scanner_style import ScannerStyle
from common.geometry import Grid

HEAD_EXTENT_MM = 232.0
COARSEST_VOXEL_MM = 3.2
QUICK_MATRIX, QUICK_VOXEL_MM, FINEST_VOXEL_MM = 256, 1.8, 1.2
_ROOM_MM = 12.0


@final
class VirtualAnatomy:
    """The patients of one archive.

    Args:
        style: the scanner, whose pixels say how fine a procedural head is.
        seed: the archive's.
        head: a real head that every patient is a deformation of; without it each patient is a procedural head.
        matrix: pixels along each side of a slice.

    Raises:
        Refusal: what reading ``head`` refuses.
    """

    def __init__(self, style: ScannerStyle, seed: int, head: Path | None, matrix: int) -> None:
        self._source = None if head is None else _with_room(read_head(head))
        self.seed = seed
        self._pixel_mm = style.pixel_mm * style.matrix / matrix
        self._matrix = matrix

    def seed_of(self, number: int) -> int:
        """A patient's seed: it follows from the archive's through a hash, so that archives share no patient."""
        return int.from_bytes(digest(self.seed, "patient", number)[:7], "big")

    def patient(self, number: int) -> tuple[NDArray[np.int16], float]:
        """(z, y, x) HU of a patient, counted from 1, and the edge of its voxels in mm."""
        return _anatomy(self._source, self.seed_of(number), self._pixel_mm, self._matrix)


def _with_room(head: HeadVolume) -> HeadVolume:
    """Air around the head, so that a larger or turned one still fits."""
    room = round(_ROOM_MM / head.voxel_mm)
    padded = np.pad(head.volume_hu, room, constant_values=int(AIR_HU))
    return HeadVolume(volume_hu=padded, voxel_mm=head.voxel_mm, name=head.name)


def _anatomy(source: HeadVolume | None, seed: int, pixel_mm: float, matrix: int) -> tuple[NDArray[np.int16], float]:
    if source is not None:
        shape = source.volume_hu.shape
        deformation = random_deformation(seed, (shape[0], shape[1], shape[2]), source.voxel_mm)
        return deformation.apply(source.volume_hu), source.voxel_mm
    # No finer than the pixels show, nor than the time for a small matrix allows.
    finest_mm = QUICK_VOXEL_MM if matrix <= QUICK_MATRIX else FINEST_VOXEL_MM
    voxel_mm = min(max(pixel_mm, finest_mm), COARSEST_VOXEL_MM)
    cells = round(HEAD_EXTENT_MM / voxel_mm)
    return procedural_head(seed, Grid(shape=(cells, cells, cells), voxel_mm=voxel_mm)), voxel_mm
