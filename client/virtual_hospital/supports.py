"""What a virtual patient lies on, and what holds the head."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

AIR_HU = -1000.0
_SKIN_HU = -300.0
_TABLE_SKIN_HU, _TABLE_CORE_HU = -80.0, -900.0
_TABLE_SKIN_MM = 2.0
_SUPPORT_RADIUS_MM = 110.0
# A mask of warmed plastic lies on the skin, in front of the ears, and is drawn down to the couch at both sides.
_MASK_HU, _MASK_MM = -60.0, 2.4

Volume = NDArray[np.float32]


class Table(StrEnum):
    """Form of what the head lies on; a couch is flat and reaches beyond both edges of the image."""

    CURVED = "curved"
    FLAT = "flat"
    COUCH = "couch"


_GAP_MM = {Table.CURVED: 5.0, Table.FLAT: 5.0, Table.COUCH: 0.0}
_HALF_WIDTHS_MM = {Table.FLAT: 210.0, Table.COUCH: 265.0}
_THICK_MM = {Table.FLAT: 25.0, Table.COUCH: 20.0}


def put_on_mask(plane: Volume, y_mm: NDArray[np.float64], pixel_mm: float) -> None:
    """Lay a mask over the head in a slice, in place; nothing where there is no head.

    Args:
        plane: (row, column) HU.
        y_mm: of each row, towards posterior.
        pixel_mm: pixel edge.
    """
    skin = ndimage.binary_fill_holes(plane > _SKIN_HU)
    rows, columns = np.flatnonzero(skin.any(axis=1)), np.flatnonzero(skin.any(axis=0))
    if rows.size * pixel_mm < 60.0:
        return
    middle = (rows[0] + rows[-1]) // 2
    away_mm = ndimage.distance_transform_edt(~skin, sampling=pixel_mm)
    share = np.clip((_MASK_MM - away_mm) / pixel_mm + 0.5, 0.0, 1.0) * ~skin
    share[middle:] = 0.0
    # The flanges: from where the mask ends beside the head straight down to what the head lies on.
    for column in (columns[0] - 1, columns[-1] + 1):
        if 0 <= column < plane.shape[1]:
            share[middle : rows[-1] + 1, column] = min(1.0, _MASK_MM / pixel_mm)
    mask = AIR_HU + share * (_MASK_HU - AIR_HU)
    np.copyto(plane, mask.astype(np.float32), where=(share > 0) & ~skin & (y_mm[:, None] < y_mm[-1]))


def table_hu(table: Table, posterior_mm: float, x: NDArray[np.float64], y: NDArray[np.float64]) -> Volume:
    """HU of the empty table at columns x and rows y."""
    pixel_mm = float(x[1] - x[0])
    inner = posterior_mm + _GAP_MM[table]
    if table in _HALF_WIDTHS_MM:
        depth = np.broadcast_to(y[:, None] - inner, (y.size, x.size))
        return _shell(depth, _THICK_MM[table], np.abs(x)[None, :] - _HALF_WIDTHS_MM[table], pixel_mm)
    behind = y[:, None] - (inner - _SUPPORT_RADIUS_MM)
    depth = np.hypot(x[None, :], behind) - _SUPPORT_RADIUS_MM
    # The cradle holds the head up to 55 degrees to each side of the lowest point.
    return _shell(depth, 12.0, _SUPPORT_RADIUS_MM * np.cos(np.deg2rad(55.0)) - behind, pixel_mm)


def _shell(depth_mm: NDArray[np.float64], thick_mm: float, beyond_mm: NDArray[np.float64], pixel_mm: float) -> Volume:
    """A light core between two skins, from depth 0 to ``thick_mm``, where ``beyond_mm`` is negative."""

    def share(distance: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(0.5 - distance / pixel_mm, 0.0, 1.0)

    whole = share(np.maximum(np.maximum(-depth_mm, depth_mm - thick_mm), beyond_mm))
    inside = share(np.maximum(np.maximum(_TABLE_SKIN_MM - depth_mm, depth_mm - thick_mm + _TABLE_SKIN_MM), beyond_mm))
    hu = AIR_HU + whole * (_TABLE_SKIN_HU - AIR_HU) + inside * (_TABLE_CORE_HU - _TABLE_SKIN_HU)
    return hu.astype(np.float32)
