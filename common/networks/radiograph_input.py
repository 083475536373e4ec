"""What a generator is given: line integrals of both views, and where they come from films, what was exposed of each."""

from __future__ import annotations

import torch
from torch import Tensor

VIEWS = 2


def network_input(integrals: Tensor, exposed: Tensor | None, integral_scale: float) -> Tensor:
    """Radiographs as networks see them.

    Args:
        integrals: (B, 2, rows, columns); outside the mask each is that of the nearest exposed pixel.
        exposed: (B, 2, rows, columns), 1 where a film was exposed, else 0; None where everything counts.
        integral_scale: the study's.

    Returns:
        (B, 2, rows, columns), or (B, 4, rows, columns) with the mask of each view behind both.
    """
    radiographs = integrals / integral_scale
    return radiographs if exposed is None else torch.cat([radiographs, exposed.to(radiographs)], dim=1)


def parted(radiographs: Tensor) -> tuple[Tensor, Tensor | None]:
    """The radiographs (B, 2, rows, columns), and their mask of that shape if they have one."""
    if radiographs.shape[1] == VIEWS:
        return radiographs, None
    return radiographs[:, :VIEWS], radiographs[:, VIEWS:]
