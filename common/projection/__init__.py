"""Volume to radiograph pair and back.

:class:`Projector` projects volumes on the study's grid, differentiably, on any device; :func:`native_projection`
projects a CT as it was scanned, once, on the CPU.
"""

from common.projection.attenuation import AIR_HU, hu_to_mu, mu_to_hu, water_mu_per_mm
from common.projection.back_projection import unfiltered_back_projection
from common.projection.lattice import Placement
from common.projection.native import native_projection
from common.projection.projector import Projector

__all__ = [
    "AIR_HU",
    "Placement",
    "Projector",
    "hu_to_mu",
    "mu_to_hu",
    "native_projection",
    "unfiltered_back_projection",
    "water_mu_per_mm",
]
