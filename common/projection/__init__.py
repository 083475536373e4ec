"""Volume to radiograph pair and back.

:class:`Projector` projects volumes on the study's grid, differentiably, on any device; :func:`native_projection`
projects a CT as it was scanned, once, on the CPU. To read it: ``lattice`` (rays that a sweep can follow),
``interpolation``, ``swept_beam`` (one view as banded matrix products) with ``readout``, ``projector`` (both views and
their gradient), ``native``, then ``compiled`` (the same sweep on the CPU, several times as fast), ``lifting`` and
``back_projection`` (rays the other way).
"""

from common.projection.back_projection import unfiltered_back_projection
from common.projection.lattice import Placement
from common.projection.lifting import Lifting
from common.projection.native import MOST_THREADS, native_projection
from common.projection.projector import Projector

__all__ = [
    "MOST_THREADS",
    "Lifting",
    "Placement",
    "Projector",
    "native_projection",
    "unfiltered_back_projection",
]
