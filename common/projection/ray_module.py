"""Modules whose buffers are ray coordinates and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from common.geometry import Geometry, Grid, expect_outside


class FullPrecision(nn.Module):
    """Base of modules that keep float32 or float64 buffers: no parameters, an empty state.

    Casting a network to bf16 or half leaves these buffers as they are, because such coordinates are off by pixels.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        moved: Self = super()._apply(lambda tensor: _full_precision(fn(tensor), tensor), recurse)  # type: ignore[no-untyped-call]
        return moved


class RayModule(FullPrecision):
    """A :class:`FullPrecision` module for the rays of a study's geometry through its grid.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if source or detector lies inside the volume.
    """

    def __init__(self, grid: Grid, geometry: Geometry) -> None:
        super().__init__()
        expect_outside(geometry, grid)
        self.grid = grid
        self.geometry = geometry


def _full_precision(moved: Tensor, original: Tensor) -> Tensor:
    if not moved.is_floating_point() or torch.finfo(moved.dtype).bits >= 32:
        return moved
    return original.to(moved.device)
