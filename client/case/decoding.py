"""Pixel data to HU: rescaled, padding made air, and averaged down to what a grid can hold."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from client.archive import SliceHeader
from client.case.padding import HIGHEST_HU, padded
from client.case.value_survey import ValueSurvey
from client.dicom import Fault, Frame, Reader, shared_reader

AIR_HU = -1000.0
_BLUR_SHARE = 0.6

Volume = NDArray[np.float32]
Vectors = NDArray[np.float64]
Mask = NDArray[np.bool_]


@final
@dataclass(frozen=True)
class SliceStack:
    """Parallel slices in HU with the true place of each.

    Attributes:
        hu: (slice, row, column), float32; air is -1000 and nothing is below.
        origins_mm: (slice, 3), LPS (x, y, z) of the centre of each slice's first pixel, ascending along the normal.
        row_mm, column_mm: (3,), LPS step from one row, or column, to the next.
        raw_low_hu, raw_high_hu: air, as the median of the lowest quarter of the range of values, and their 99.9th
            percentile, as rescaled, padding left out.
        unscanned: (row, column) of the whole image at any resolution, padding in every slice; None where none is.
        wrapped_share: how much there is of what values beyond the stored bits leave; from 1 on they wrapped around.
    """

    hu: Volume
    origins_mm: NDArray[np.float64]
    row_mm: NDArray[np.float64]
    column_mm: NDArray[np.float64]
    raw_low_hu: float
    raw_high_hu: float
    unscanned: Mask | None = None
    wrapped_share: float = 0.0

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the slices, LPS (x, y, z)."""
        across = np.cross(self.column_mm, self.row_mm)
        unit: NDArray[np.float64] = across / np.linalg.norm(across)
        return unit

    @property
    def positions_mm(self) -> NDArray[np.float64]:
        """(slice,), place of each slice along the normal."""
        return self.origins_mm @ self.normal

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Mean step between slices, rows and columns."""
        steps = np.diff(self.positions_mm)
        return float(steps.mean()), float(np.linalg.norm(self.row_mm)), float(np.linalg.norm(self.column_mm))


class UnreadablePixels(Exception):
    """Pixel data that are missing, damaged, or not what the header said."""


def decode_stack(slices: Sequence[SliceHeader], fine_mm: float | None, reader: Reader | None = None) -> SliceStack:
    """Decode slices one at a time, each multi-frame object once if its frames follow each other.

    Args:
        slices: parallel slices of equal size, ascending along the normal.
        fine_mm: voxel edge of the grid that the stack will be resampled to, for which it is averaged as by
            :func:`averaged`; None keeps every pixel of every slice.
        reader: reads the pixels; by default this thread's.

    Raises:
        UnreadablePixels: if a slice cannot be decoded.
    """
    first = slices[0]
    row_mm = np.array(first.orientation[3:]) * first.pixel_spacing_mm[0]
    column_mm = np.array(first.orientation[:3]) * first.pixel_spacing_mm[1]
    origins = np.array([header.position for header in slices])
    survey = ValueSurvey(min(first.pixel_spacing_mm))
    blocks = (1, 1, 1) if fine_mm is None else _blocks(origins, row_mm, column_mm, fine_mm)
    with closing(_decoded(slices, reader or shared_reader(), survey)) as decoded:
        planes = (plane for plane, _ in decoded)
        content = _block_means(planes, (first.rows, first.columns), origins, row_mm, column_mm, blocks)
    return SliceStack(*content, *survey.range_hu, survey.unscanned, survey.wrapped_share)


def stack_of_hu(volume_hu: Volume, origins_mm: Vectors, row_mm: Vectors, column_mm: Vectors) -> SliceStack:
    """Slices that are in HU already, padding made air in place and values looked at as in :func:`decode_stack`.

    Args:
        volume_hu: (slice, row, column) float32, changed in place.
        origins_mm, row_mm, column_mm: as of the stack.
    """
    survey = ValueSurvey(float(np.linalg.norm(column_mm)))
    for plane in volume_hu:
        stored = plane.copy()
        _freed(plane, stored, padded(stored), survey)
    found = *survey.range_hu, survey.unscanned, survey.wrapped_share
    return SliceStack(volume_hu, origins_mm, row_mm, column_mm, *found)


def averaged(stack: SliceStack, fine_mm: float) -> SliceStack:
    """The stack as coarse as a grid needs it; itself if it is not finer.

    Pixels and slices much finer than the grid are averaged in blocks, which is the filter against aliasing: blocks of
    about 0.6 voxels with linear interpolation blur as much as the mean over one voxel does. Slices that are left over
    are averaged among themselves, pixels that are left over are dropped.

    Args:
        stack: any stack.
        fine_mm: voxel edge of the grid that it will be resampled to.
    """
    blocks = _blocks(stack.origins_mm, stack.row_mm, stack.column_mm, fine_mm)
    if blocks == (1, 1, 1):
        return stack
    _, rows, columns = stack.hu.shape
    content = _block_means(stack.hu, (rows, columns), stack.origins_mm, stack.row_mm, stack.column_mm, blocks)
    return SliceStack(*content, stack.raw_low_hu, stack.raw_high_hu, stack.unscanned, stack.wrapped_share)


def decode_slice(header: SliceHeader, reader: Reader | None = None) -> tuple[Volume, tuple[float, float]]:
    """HU of one slice, (row, column), with padding made air, and the HU of air and the 99.9th percentile of the rest.

    Padding is what :func:`client.case.padding.padded` finds, and anything at or below -1500 HU.

    Args:
        header: of the slice.
        reader: reads the pixels; by default this thread's.

    Raises:
        UnreadablePixels: if the pixel data are missing, damaged, or of another size than the header says.
    """
    survey = ValueSurvey(min(header.pixel_spacing_mm, default=1.0))
    ((plane, low_and_high),) = _decoded([header], reader or shared_reader(), survey)
    return plane, low_and_high


def block_mean(volume: Volume, blocks: tuple[int, int, int]) -> Volume:
    """Mean over blocks of voxels along (z, y, x); voxels beyond the last whole block are left out."""
    for axis, size in enumerate(blocks):
        if size > 1:
            whole = volume.shape[axis] // size
            kept = np.moveaxis(volume, axis, 0)[: whole * size]
            # One lane after another: several times as fast as a mean over so short an axis.
            total = kept[::size] + kept[1::size]
            for lane in range(2, size):
                total += kept[lane::size]
            total /= np.float32(size)
            volume = np.moveaxis(total, 0, axis)
    return np.ascontiguousarray(volume)


def _decoded(
    slices: Sequence[SliceHeader], reader: Reader, survey: ValueSurvey
) -> Generator[tuple[Volume, tuple[float, float]]]:
    wanted = (Frame(one.path, one.rows, one.columns, one.frame, one.size_bytes) for one in slices)
    with closing(reader.frames(wanted)) as frames:
        for header, stored in zip(slices, frames, strict=True):
            if isinstance(stored, Fault):
                raise UnreadablePixels(stored.value)
            yield _rescaled(header, stored, survey)


def _rescaled(header: SliceHeader, stored: NDArray[Any], survey: ValueSurvey) -> tuple[Volume, tuple[float, float]]:
    if header.slope is None or header.intercept is None:
        raise UnreadablePixels("no rescale")
    hu: Volume = np.multiply(stored, np.float32(header.slope), dtype=np.float32)
    hu += np.float32(header.intercept)
    stated = header.padding, header.padding_limit
    return hu, _freed(hu, stored, padded(stored, header.slope, header.intercept, stated), survey)


def _freed(
    hu: Volume, stored: NDArray[Any], padding: Iterable[tuple[float, Mask]], survey: ValueSurvey
) -> tuple[float, float]:
    """Make padding air, in place; the HU of air and the 99.9th percentile."""
    unscanned: Mask | None = None
    for value_hu, where in padding:
        unscanned = where if unscanned is None else unscanned | where
        # What is clearly below air becomes air by clipping, at a fraction of the price of a mask.
        if value_hu > AIR_HU - 1:
            np.copyto(hu, np.float32(AIR_HU), where=where)
    low_and_high = survey.take(stored, hu, unscanned)
    np.clip(hu, AIR_HU, HIGHEST_HU, out=hu)
    return low_and_high


def _blocks(origins_mm: Vectors, row_mm: Vectors, column_mm: Vectors, fine_mm: float) -> tuple[int, int, int]:
    """Slices, rows and columns that are averaged into one voxel."""
    normal = np.cross(column_mm, row_mm)
    slice_mm = np.diff(origins_mm @ normal).mean() / np.linalg.norm(normal)
    steps_mm = float(slice_mm), float(np.linalg.norm(row_mm)), float(np.linalg.norm(column_mm))
    along, down, across = (max(1, round(_BLUR_SHARE * fine_mm / step)) for step in steps_mm)
    return along, down, across


def _block_means(
    planes: Iterable[Volume],
    shape: tuple[int, int],
    origins_mm: Vectors,
    row_mm: Vectors,
    column_mm: Vectors,
    blocks: tuple[int, int, int],
) -> tuple[Volume, Vectors, Vectors, Vectors]:
    """HU of slices of a shape, taken one at a time and averaged in blocks, with their new origins and steps."""
    group, rows, columns = blocks
    starts = range(0, len(origins_mm), group)
    hu = np.empty((len(starts), shape[0] // rows, shape[1] // columns), dtype=np.float32)
    coming = iter(planes)
    for mean in hu:
        held = [block_mean(plane[None], (1, rows, columns))[0] for plane in islice(coming, group)]
        np.mean(held, axis=0, dtype=np.float32, out=mean)
    places = np.array([origins_mm[start : start + group].mean(axis=0) for start in starts])
    shift = row_mm * (rows - 1) / 2 + column_mm * (columns - 1) / 2
    return hu, places + shift, row_mm * rows, column_mm * columns
