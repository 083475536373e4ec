"""A volume as NIfTI-1, for tools that read no DICOM: the same voxels in the same place of the patient."""

from __future__ import annotations

import gzip
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.geometry import Grid

_HEADER_BYTES, _DATA_BYTES = 348, 352
_INT16, _FLOAT32 = (4, 16), (16, 32)
_MM: Final = 2
_SCANNER: Final = 1
_LONGEST_NOTE: Final = 79


def nifti_bytes(volume: NDArray[np.int16] | NDArray[np.float32], grid: Grid, note: str) -> bytes:
    """A gzipped NIfTI-1 file (``.nii.gz``); equal arguments give equal bytes.

    Args:
        volume: (z, y, x), int16 or float32, on the grid.
        grid: centred on the origin.
        note: in ASCII, for ``descrip``.
    """
    header = bytearray(_DATA_BYTES)
    kind = _INT16 if volume.dtype == np.int16 else _FLOAT32
    slices, rows, columns = volume.shape
    voxel_mm = grid.voxel_mm
    # NIfTI counts towards the patient's right side's opposite: right, anterior, superior.
    left, back, up = (float(grid.centres_mm(axis)[0]) for axis in (2, 1, 0))
    struct.pack_into("<i", header, 0, _HEADER_BYTES)
    struct.pack_into("<8h", header, 40, 3, columns, rows, slices, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, *kind)
    # A turn by 180 degrees about the superior axis: (b, c, d) = (0, 0, 1).
    struct.pack_into("<8f", header, 76, 1.0, voxel_mm, voxel_mm, voxel_mm, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, float(_DATA_BYTES), 1.0, 0.0)
    header[123] = _MM
    text = note.encode("ascii", "replace")[:_LONGEST_NOTE]
    header[148 : 148 + len(text)] = text
    struct.pack_into("<2h", header, 252, _SCANNER, _SCANNER)
    struct.pack_into("<6f", header, 256, 0.0, 0.0, 1.0, -left, -back, up)
    for row, values in enumerate(((-voxel_mm, 0, 0, -left), (0, -voxel_mm, 0, -back), (0, 0, voxel_mm, up))):
        struct.pack_into("<4f", header, 280 + 16 * row, *values)
    header[344:348] = b"n+1\0"
    values_bytes = np.ascontiguousarray(volume).astype(volume.dtype.newbyteorder("<")).tobytes()
    return gzip.compress(bytes(header) + values_bytes, compresslevel=4, mtime=0)
