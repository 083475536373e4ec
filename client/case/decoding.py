"""Pixel data to HU: rescaled, padding made air, and averaged down to what a grid can hold."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from client.archive import SliceHeader
from client.dicom import Fault, Frame, Reader, shared_reader

AIR_HU = -1000.0
PADDING_HU = -1500.0
HIGHEST_HU = 30_000.0
_TRUSTED_PADDING_HU = -900.0
_BLUR_SHARE = 0.6
# Percentiles of a slice are taken over every fourth pixel of every fourth row.
_SAMPLED = 4

Volume = NDArray[np.float32]
Vectors = NDArray[np.float64]


@final
@dataclass(frozen=True)
class SliceStack:
    """Parallel slices in HU with the true place of each.

    Attributes:
        hu: (slice, row, column), float32; air is -1000 and nothing is below.
        origins_mm: (slice, 3), LPS (x, y, z) of the centre of each slice's first pixel, ascending along the normal.
        row_mm, column_mm: (3,), LPS step from one row, or column, to the next.
        raw_low_hu, raw_high_hu: 1st and 99.9th percentile of the values as rescaled, padding left out.
    """

    hu: Volume
    origins_mm: NDArray[np.float64]
    row_mm: NDArray[np.float64]
    column_mm: NDArray[np.float64]
    raw_low_hu: float
    raw_high_hu: float

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
    ranges: list[tuple[float, float]] = []

    def planes(decoded: Iterable[tuple[Volume, tuple[float, float]]]) -> Iterator[Volume]:
        for plane, low_and_high in decoded:
            ranges.append(low_and_high)
            yield plane

    blocks = (1, 1, 1) if fine_mm is None else _blocks(origins, row_mm, column_mm, fine_mm)
    with closing(_decoded(slices, reader or shared_reader())) as decoded:
        content = _block_means(planes(decoded), (first.rows, first.columns), origins, row_mm, column_mm, blocks)
    low, high = np.median(np.array(ranges), axis=0)
    return SliceStack(*content, float(low), float(high))


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
    return SliceStack(*content, stack.raw_low_hu, stack.raw_high_hu)


def decode_slice(header: SliceHeader, reader: Reader | None = None) -> tuple[Volume, tuple[float, float]]:
    """HU of one slice, (row, column), with padding made air, and the 1st and 99.9th percentile of the rest.

    Padding is the stored Pixel Padding Value (0028,0120), anything at or below -1500 HU, and the ring outside the
    inscribed circle where it is filled with one value.

    Args:
        header: of the slice.
        reader: reads the pixels; by default this thread's.

    Raises:
        UnreadablePixels: if the pixel data are missing, damaged, or of another size than the header says.
    """
    ((plane, low_and_high),) = _decoded([header], reader or shared_reader())
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


def _decoded(slices: Sequence[SliceHeader], reader: Reader) -> Generator[tuple[Volume, tuple[float, float]]]:
    wanted = (Frame(one.path, one.rows, one.columns, one.frame, one.size_bytes) for one in slices)
    with closing(reader.frames(wanted)) as frames:
        for header, stored in zip(slices, frames, strict=True):
            if isinstance(stored, Fault):
                raise UnreadablePixels(stored.value)
            yield _rescaled(header, stored)


def _rescaled(header: SliceHeader, stored: NDArray[Any]) -> tuple[Volume, tuple[float, float]]:
    if header.slope is None or header.intercept is None:
        raise UnreadablePixels("no rescale")
    hu: Volume = np.multiply(stored, np.float32(header.slope), dtype=np.float32)
    hu += np.float32(header.intercept)
    sample, kept = hu[::_SAMPLED, ::_SAMPLED].ravel(), hu[::_SAMPLED, ::_SAMPLED] > PADDING_HU
    for value, where in _padding(header, stored):
        kept &= ~where[::_SAMPLED, ::_SAMPLED]
        # What is clearly below air becomes air by clipping, at a fraction of the price of a mask.
        if value * header.slope + header.intercept > AIR_HU - 1:
            np.copyto(hu, np.float32(AIR_HU), where=where)
    sample = sample[kept.ravel()]
    low, high = np.percentile(sample, (1.0, 99.9)) if sample.size else (AIR_HU, AIR_HU)
    np.clip(hu, AIR_HU, HIGHEST_HU, out=hu)
    return hu, (float(low), float(high))


def _padding(header: SliceHeader, stored: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Stored values that mean nothing, and the pixels in which they do."""
    ring, places = _outside_circle(stored.shape)
    outside = stored.take(places)
    if outside.size and bool((outside == outside[0]).all()):
        yield int(outside[0]), ring
    if header.padding is not None and header.slope is not None and header.intercept is not None:
        # Some writers store a signed value's padding as if it were unsigned.
        value = header.padding - 65536 if stored.dtype == np.int16 and header.padding > 32767 else header.padding
        # A padding value in the range of tissue also occurs as tissue: it is believed outside the circle alone.
        trusted = value * header.slope + header.intercept <= _TRUSTED_PADDING_HU
        yield value, stored == value if trusted else (stored == value) & ring


@lru_cache(maxsize=8)
def _outside_circle(shape: tuple[int, ...]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """The pixels outside the inscribed circle, as a mask and as places in the flattened slice."""
    rows, columns = (np.arange(length) - (length - 1) / 2 for length in shape)
    radius = min(shape) / 2 + 1
    outside: NDArray[np.bool_] = rows[:, None] ** 2 + columns[None, :] ** 2 > radius**2
    return outside, np.flatnonzero(outside)


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
