"""NIfTI files as sources of heads: bounded, verified, and with what is no number known as such.

SimpleITK reads the geometry and applies the scale. But it replaces what is no number by 0, which is water, and fills
what a cut file lacks: both are looked for in the file itself.
"""

from __future__ import annotations

import gzip
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from client.case import SliceStack, stack_of_hu
from common.errors import ExitCode, Refusal
from common.files import disk_refusals

MAXIMUM_BYTES = 2 << 30
MAXIMUM_VOXELS = 1 << 28
# Anything this low is padding wherever slices are read.
NO_NUMBER_HU = -2000.0
_ENDINGS = (".nii", ".nii.gz")
_GZIP = b"\x1f\x8b"
_READ_BYTES = 1 << 20
# Of the first version of the format, the only one that is read.
_HEADER_BYTES = 348
_FLOATS = {16: "f4", 64: "f8"}


@final
@dataclass(frozen=True)
class _Layout:
    """Where a NIfTI file keeps its voxels: shape (z, y, x), bytes of each, first byte, and their type if a float."""

    shape: tuple[int, int, int]
    voxel_bytes: int
    start: int
    floats: np.dtype[np.floating] | None

    @property
    def end(self) -> int:
        """The byte after the last voxel."""
        return self.start + self.voxel_bytes * self.shape[0] * self.shape[1] * self.shape[2]


def is_nifti(name: str) -> bool:
    """Whether a file's name says that it is NIfTI, in whatever case."""
    return name.lower().endswith(_ENDINGS)


def read_nifti(path: Path) -> SliceStack:
    """The slices of a NIfTI file in LPS, as stated to be HU; padding and what is no number made air.

    Args:
        path: plain or packed by gzip, whatever its name says of that.

    Raises:
        Refusal: ``ARCHIVE_UNREADABLE`` if it is damaged, no three-dimensional scalar image, or too large,
            ``DISK_FULL`` if the temporary copy has no room.
    """
    with tempfile.TemporaryDirectory(prefix="tomoray-head-") as folder:
        plain = Path(folder) / "head.nii"
        _unpack(path, plain)
        layout = _layout(plain, path)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(plain))
        try:
            reader.ReadImageInformation()
            if reader.GetSize() != layout.shape[::-1] or reader.GetNumberOfComponents() != 1:
                raise unreadable("not a three-dimensional scalar image, or too large", path)
            image = sitk.Cast(reader.Execute(), sitk.sitkFloat32)
            image = sitk.DICOMOrient(_with_padding(image, plain, layout), "LPS")
        except RuntimeError as error:
            raise unreadable("NIfTI file unreadable", path) from error
    directions = np.array(image.GetDirection()).reshape(3, 3)
    column_mm, row_mm, slice_mm = (directions * np.array(image.GetSpacing())).T
    volume: NDArray[np.float32] = sitk.GetArrayFromImage(image)
    origins = np.array(image.GetOrigin()) + np.arange(len(volume))[:, None] * slice_mm
    return stack_of_hu(volume, origins, row_mm, column_mm)


def unreadable(what: str, path: Path) -> Refusal:
    """The refusal of a source that is no CT volume."""
    mend = "name a DICOM folder, a zip of DICOM files, or a NIfTI file of one head CT in HU"
    return Refusal(ExitCode.ARCHIVE_UNREADABLE, what, where=str(path), mend=mend)


def _with_padding(image: sitk.Image, plain: Path, layout: _Layout) -> sitk.Image:
    """The image with padding in place of what the file holds no number for."""
    if layout.floats is None:
        return image
    voxels = np.memmap(plain, layout.floats, "r", layout.start, layout.shape)
    values: NDArray[np.float32] = sitk.GetArrayFromImage(image)
    for plane, stored in zip(values, voxels, strict=True):
        plane[~np.isfinite(stored)] = NO_NUMBER_HU
    padded = sitk.GetImageFromArray(values)
    padded.CopyInformation(image)
    return padded


def _layout(plain: Path, path: Path) -> _Layout:
    with plain.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    order = next((order for order in "<>" if head[:4] == struct.pack(f"{order}i", _HEADER_BYTES)), None)
    if order is None or len(head) < _HEADER_BYTES:
        raise unreadable("NIfTI file unreadable (no header of version 1)", path)
    axes, *shape = struct.unpack_from(f"{order}8h", head, 40)
    kind, bits = struct.unpack_from(f"{order}2h", head, 70)
    (start,) = struct.unpack_from(f"{order}f", head, 108)
    x, y, z = shape[:3]
    if axes != 3 or min(x, y, z) < 1 or x * y * z > MAXIMUM_VOXELS:
        raise unreadable("not a three-dimensional scalar image, or too large", path)
    if bits not in (8, 16, 32, 64) or not 0 <= start <= MAXIMUM_BYTES:
        raise unreadable("NIfTI header damaged, or of another kind of voxel", path)
    floats = np.dtype(order + _FLOATS[kind]) if kind in _FLOATS else None
    if floats is not None and floats.itemsize != bits // 8:
        raise unreadable("NIfTI header damaged, or of another kind of voxel", path)
    layout = _Layout((z, y, x), bits // 8, int(start), floats)
    if plain.stat().st_size < layout.end:
        raise unreadable("NIfTI file is cut short", path)
    return layout


def _unpack(path: Path, plain: Path) -> None:
    """Copy a NIfTI file, unpacked: gzip's checksum and end are verified here, and by no reader of images."""
    left = MAXIMUM_BYTES
    try:
        with path.open("rb") as stream:
            is_packed = stream.read(2) == _GZIP
        with gzip.open(path) if is_packed else path.open("rb") as packed, plain.open("xb") as target:
            while block := packed.read(_READ_BYTES):
                left -= len(block)
                if left < 0:
                    raise unreadable(f"more than {MAXIMUM_BYTES} bytes in the file", path)
                with disk_refusals(plain.parent):
                    target.write(block)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(f"NIfTI file unreadable ({type(error).__name__})", path) from error
