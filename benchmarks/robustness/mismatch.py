"""What a generator loses when the radiographs are not quite what the study says: distances, gain, density, scatter.

Every mismatch changes the radiographs of known volumes and nothing else, so that its price is the difference between
two rows of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from common.attenuation import hu_to_mu
from common.geometry import Geometry
from common.metrics import BONE_HU, mae_hu, psnr_db
from common.projection import Projector
from common.study import Study

EXACT = "none"
DISTANCE_MM = 30.0
GAIN = 1.05
DENSER_BONE = 1.3
SHIFT_PIXELS = 2
SCATTER_SHARE = 0.1
# Pixels that the head shades: beyond, the primary is not the head's.
SHADED = 0.1

Synthesise = Callable[[Tensor], Tensor]
"""Line integrals (B, 2, rows, columns) to volumes (B, z, y, x) in HU."""


@final
@dataclass(frozen=True)
class RobustnessRow:
    """Means over the volumes with one mismatch, in the study's window."""

    mismatch: str
    psnr_db: float
    mae_hu: float


def robustness_table(study: Study, volumes_hu: Sequence[Tensor], synthesise: Synthesise) -> tuple[RobustnessRow, ...]:
    """One row a mismatch, the first without any; noise-free radiographs.

    Args:
        study: grid, geometry, window and attenuation of water.
        volumes_hu: true volumes (z, y, x) on the study's grid, not clipped.
        synthesise: the generator.
    """
    rows = []
    for name, measured in mismatched_integrals(study, torch.stack([volume.float() for volume in volumes_hu])).items():
        pairs = list(zip(volumes_hu, synthesise(measured), strict=True))
        psnr = [psnr_db(truth, predicted, study.window) for truth, predicted in pairs]
        errors = [mae_hu(truth, predicted, study.window) for truth, predicted in pairs]
        rows.append(RobustnessRow(name, sum(psnr) / len(psnr), sum(errors) / len(errors)))
    return tuple(rows)


def mismatched_integrals(study: Study, volumes_hu: Tensor) -> dict[str, Tensor]:
    """The volumes' line integrals (B, 2, rows, columns) by mismatch.

    Args:
        study: grid, geometry and attenuation of water.
        volumes_hu: (B, z, y, x).
    """
    geometry, water = study.geometry, study.radiograph.water_mu_per_mm
    mu_per_mm = hu_to_mu(volumes_hu, water)[:, None]
    denser = torch.where(volumes_hu[:, None] > BONE_HU, DENSER_BONE * mu_per_mm, mu_per_mm)
    exact = _projected(study, geometry, mu_per_mm)
    return {
        EXACT: exact,
        f"detector {DISTANCE_MM:g} mm further": _projected(study, _moved(geometry, DISTANCE_MM), mu_per_mm),
        f"detector {DISTANCE_MM:g} mm nearer": _projected(study, _moved(geometry, -DISTANCE_MM), mu_per_mm),
        f"gain {GAIN:g}": GAIN * exact,
        f"bone {DENSER_BONE - 1:.0%} denser": _projected(study, geometry, denser),
        f"shift of {SHIFT_PIXELS} pixels": _shifted(exact),
        f"scatter of {SCATTER_SHARE:.0%}": _scattered(exact),
    }


def _projected(study: Study, geometry: Geometry, mu_per_mm: Tensor) -> Tensor:
    with torch.inference_mode():
        integrals: Tensor = Projector(study.grid, geometry)(mu_per_mm)
    return integrals


def _moved(geometry: Geometry, distance_mm: float) -> Geometry:
    return geometry.model_copy(update={"source_detector_mm": geometry.source_detector_mm + distance_mm})


def _shifted(integrals: Tensor) -> Tensor:
    """Towards higher columns; air comes in."""
    shifted = torch.zeros_like(integrals)
    shifted[..., SHIFT_PIXELS:] = integrals[..., :-SHIFT_PIXELS]
    return shifted


def _scattered(integrals: Tensor) -> Tensor:
    """With a uniform veil of a tenth of the mean primary intensity behind the head, in each view."""
    primary, shaded = torch.exp(-integrals), integrals > SHADED
    behind = (primary * shaded).sum((-2, -1), keepdim=True) / shaded.sum((-2, -1), keepdim=True).clamp(min=1)
    return -torch.log(primary + SCATTER_SHARE * behind)
