"""Real heads as a source of virtual hospitals: from a DICOM folder, a zip of DICOM files or NIfTI to isotropic HU."""

from __future__ import annotations

import secrets
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from client.archive import SECRET_BYTES, Pseudonyms, Series, SliceHeader, VerdictCode, discover
from client.case import (
    AIR_HU,
    Body,
    Pose,
    SliceStack,
    UnreadablePixels,
    align,
    averaged,
    decode_stack,
    find_body,
    judge_alignment,
    judge_scale,
    resample,
)
from client.virtual_hospital.nifti_head import is_nifti, read_nifti, unreadable
from common.errors import ExitCode, Refusal
from common.files import disk_refusals
from common.geometry import MINIMUM_CELLS, Grid

HEAD_VOXEL_MM = 1.5
MAXIMUM_ARCHIVE_BYTES = 2 << 30
MAXIMUM_ARCHIVE_FILES = 5000
MAXIMUM_SOURCE_VOXELS = 1 << 28
MAXIMUM_EXTENT_MM = 700.0
MINIMUM_SLICES = 8
HIGHEST_HU = 3071
# Along x and y; patients lie aside more than they lie high or low.
OFF_CENTRE_MM = {0: 30.0, 1: 12.0}
ROOM_MM = 6.0
_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
_READ_BYTES = 1 << 20


@final
@dataclass(frozen=True)
class HeadVolume:
    """One head.

    Attributes:
        volume_hu: (z, y, x) int16 HU in LPS order, isotropic; air is -1000.
        voxel_mm: edge of the voxel.
        name: stem of the source's file name.
    """

    volume_hu: NDArray[np.int16]
    voxel_mm: float
    name: str


def find_head(folder: Path, prefix: str) -> Path:
    """The source whose name begins with ``<prefix>_``; DICOM goes before NIfTI.

    Args:
        folder: holds the sources, or the subfolders ``dicom`` and ``nifti`` with them.
        prefix: e.g. ``03``.

    Raises:
        Refusal: ``ARCHIVE_EMPTY`` without a source of that name, ``ARCHIVE_UNREADABLE`` without the folder.
    """
    if not folder.is_dir():
        mend = "name the folder that holds the head CTs"
        raise Refusal(ExitCode.ARCHIVE_UNREADABLE, "folder of heads is missing", where=str(folder), mend=mend)
    found = [
        entry
        for place in (folder / "dicom", folder / "nifti", folder)
        if place.is_dir()
        for entry in sorted(place.iterdir())
        if entry.name.startswith(f"{prefix}_")
        and (entry.is_dir() or entry.name.lower().endswith(".zip") or is_nifti(entry.name))
    ]
    if not found:
        mend = f"add a DICOM folder, zip or NIfTI file whose name begins with {prefix}_"
        raise Refusal(ExitCode.ARCHIVE_EMPTY, f"no head with id {prefix}", where=str(folder), mend=mend)
    return min(found, key=lambda path: is_nifti(path.name))


def read_head(path: Path, voxel_mm: float = HEAD_VOXEL_MM) -> HeadVolume:
    """Read a head, take table and headrest off, and resample it from its true slice positions.

    That undoes tilt and uneven spacing. Of several series the one with most slices is taken. Nothing is written but a
    temporary copy of a zip's files.

    Args:
        path: DICOM folder, zip of DICOM files, or NIfTI file.
        voxel_mm: voxel edge of the result.

    Raises:
        Refusal: ``ARCHIVE_UNREADABLE`` if it cannot be read or is no CT volume, ``ARCHIVE_EMPTY`` without DICOM in it,
            ``IMAGE_INVALID`` if its values are not HU, ``DISK_FULL`` if the temporary copy has no room.
    """
    if path.is_dir():
        volume = _read_dicom(path, voxel_mm, where=path)
    elif path.suffix.lower() == ".zip":
        with tempfile.TemporaryDirectory(prefix="tomoray-head-") as folder:
            _unpack(path, Path(folder))
            volume = _read_dicom(Path(folder), voxel_mm, where=path)
    elif is_nifti(path.name) and path.is_file():
        volume = _isotropic(read_nifti(path), voxel_mm, path)
    else:
        raise unreadable("not a DICOM folder, zip or NIfTI file", path)
    return HeadVolume(volume_hu=volume, voxel_mm=voxel_mm, name=path.name.split(".")[0])


def _unpack(archive: Path, folder: Path) -> None:
    """Copy a zip's files out under numbers of our own: the names in it decide nothing."""
    left = MAXIMUM_ARCHIVE_BYTES
    try:
        with zipfile.ZipFile(archive) as source:
            members = [member for member in source.infolist() if not member.is_dir()]
            if len(members) > MAXIMUM_ARCHIVE_FILES:
                raise unreadable(f"more than {MAXIMUM_ARCHIVE_FILES} files in the zip", archive)
            for number, member in enumerate(members):
                with source.open(member) as packed, (folder / f"{number:05d}").open("xb") as plain:
                    # The bytes are counted as they come: the sizes that the zip declares are not believed.
                    while block := packed.read(_READ_BYTES):
                        left -= len(block)
                        if left < 0:
                            raise unreadable(f"more than {MAXIMUM_ARCHIVE_BYTES} bytes in the zip", archive)
                        with disk_refusals(folder):
                            plain.write(block)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise unreadable(f"zip unreadable ({type(error).__name__})", archive) from error


def _read_dicom(folder: Path, voxel_mm: float, *, where: Path) -> NDArray[np.int16]:
    try:
        found = discover(folder, Pseudonyms(secrets.token_bytes(SECRET_BYTES)))
    except Refusal as refusal:
        raise Refusal(refusal.code, refusal.what, where=str(where), mend=refusal.mend) from refusal
    slices = max((_stackable(series) for series in found), key=len, default=[])
    if len(slices) < MINIMUM_SLICES:
        raise unreadable("no CT series with a geometry", where)
    if sum(header.rows * header.columns for header in slices) > MAXIMUM_SOURCE_VOXELS:
        raise unreadable("the CT series is too large", where)
    try:
        stack = decode_stack(slices, voxel_mm)
    except UnreadablePixels as error:
        raise unreadable("a slice cannot be decoded", where) from error
    return _isotropic(stack, voxel_mm, where)


def _isotropic(stack: SliceStack, voxel_mm: float, where: Path) -> NDArray[np.int16]:
    if len(stack.hu) < MINIMUM_SLICES:
        raise unreadable(f"fewer than {MINIMUM_SLICES} slices", where)
    body = find_body(stack)
    if body is None:
        raise unreadable("no tissue in the volume", where)
    _expect_hu(body, where)
    rows, columns = stack.hu.shape[1:]
    edges = [r * stack.row_mm + c * stack.column_mm for r in (0, rows - 1) for c in (0, columns - 1)]
    corners = np.concatenate([stack.origins_mm + edge for edge in edges])
    low, high = corners.min(axis=0), corners.max(axis=0)
    if not np.all(np.isfinite(corners)) or (high - low).max() > MAXIMUM_EXTENT_MM:
        raise unreadable(f"wider than {MAXIMUM_EXTENT_MM:.0f} mm", where)
    low, high = _around_body(body, low, high)
    x, y, z = (max(MINIMUM_CELLS, int(np.ceil(length / voxel_mm)) + 1) for length in high - low)
    pose = Pose(rotation=np.eye(3), centre_mm=(low + high) / 2)
    volume = resample(body.stack, pose, Grid(shape=(z, y, x), voxel_mm=voxel_mm))
    return np.rint(np.clip(volume, AIR_HU, HIGHEST_HU)).astype(np.int16)


def _around_body(
    body: Body, low_mm: NDArray[np.float64], high_mm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scan's box, or where the head lies far off its middle, as on a couch, a box around the head: LPS corners."""
    coarse, (low, high) = body.coarse, (low_mm.copy(), high_mm.copy())
    slices, rows, columns = np.nonzero(coarse.hu > AIR_HU)
    places = coarse.origins_mm[slices] + rows[:, None] * coarse.row_mm + columns[:, None] * coarse.column_mm
    first, last = places.min(axis=0), places.max(axis=0)
    for axis, most_mm in OFF_CENTRE_MM.items():
        if abs(first[axis] + last[axis] - low[axis] - high[axis]) / 2 > most_mm:
            low[axis], high[axis] = first[axis] - ROOM_MM, last[axis] + ROOM_MM
    return low, high


def _expect_hu(body: Body, where: Path) -> None:
    """Refuse what is not in HU, by its air and its brightest, and by the brain where there is a skull around one."""
    verdict = judge_scale(body.stack)
    if verdict is VerdictCode.ACCEPTED:
        alignment = align(averaged(body.stack, HEAD_VOXEL_MM), body.brain_guesses_mm)
        verdict = judge_alignment(alignment)
    if verdict in (VerdictCode.HU_IMPLAUSIBLE, VerdictCode.VALUES_WRAPPED):
        what = "values are not HU: air, brain or bone are far from theirs, or metal wrapped around"
        mend = "convert it again with its rescale, in 16 bits and without a window; air is -1000 HU, brain 30"
        raise Refusal(ExitCode.IMAGE_INVALID, what, where=str(where), mend=mend)


def _stackable(series: Series) -> list[SliceHeader]:
    """The slices of a CT series that share the commonest matrix and orientation, ascending, each place once."""
    images = [
        header
        for header in series.slices
        if header.sop_class == _CT_IMAGE_STORAGE
        and header.modality == "CT"
        and header.has_geometry
        and header.frames == 1
        and header.slope is not None
        and "LOCALIZER" not in header.image_type
    ]
    if not images:
        return []
    kinds = [(*header.matrix, *(round(cosine, 3) for cosine in header.orientation)) for header in images]
    commonest = max(set(kinds), key=lambda kind: (kinds.count(kind), kind))
    kept = [header for header, kind in zip(images, kinds, strict=True) if kind == commonest]
    normal = np.cross(kept[0].orientation[:3], kept[0].orientation[3:])
    places: dict[float, SliceHeader] = {}
    for header in kept:
        places.setdefault(round(float(np.dot(normal, header.position)), 2), header)
    return [places[place] for place in sorted(places)]
