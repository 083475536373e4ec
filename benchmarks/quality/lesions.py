"""From which size on a finding in an unseen head shows in its synthetic CT."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from benchmarks.quality.cohort import GEOMETRY, RADIOGRAPH, Fold, on_training_grid, study_on
from benchmarks.quality.heads import FINE
from client.case import add_noise
from client.learning import BRAIN_CENTRE_MM, Finding, FindingKind, Widener, soft_tissue, with_finding
from common.attenuation import hu_to_mu
from common.projection import Projector
from common.study import Widening

BLEED_RADII_MM = (4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0)
VENTRICLE_SIZES = (1.1, 1.2, 1.3, 1.4, 1.5)
BLEED_HU = 65.0
BLEED_CENTRE_MM = (25.0, 10.0, 38.0)
NOISES = 4
# Rose's criterion for a disc to be seen, and a share of the contrast below which it would be taken for something else.
SEEN_CNR, SEEN_SHARE = 3.0, 0.25
_CHANGED_HU = 10.0
_BESIDE_VOXELS = 3

SHIFTS_MM = (3.0, 5.0, 8.0, 11.0, 15.0)
_SHIFTED_WITHIN_MM = 60.0

Predict = Callable[[Tensor], Tensor]
# A finding's size, and the head with it on the fine grid, (z, y, x) HU.
Changed = tuple[float, Tensor]


@final
@dataclass(frozen=True)
class Shown:
    """What became of a finding.

    Attributes:
        size: radius in mm of a bleed, size relative to the truth of ventricles.
        true_hu: mean change of the truth where it changed, less that of the brain next to it.
        shown_hu: the same of the prediction.
        cnr: that contrast, over its SD from one exposure's noise to the next and over like regions of the same head.
    """

    size: float
    true_hu: float
    shown_hu: float
    cnr: float

    @property
    def is_seen(self) -> bool:
        """Whether a reader could see it."""
        return self.cnr >= SEEN_CNR and self.shown_hu / self.true_hu >= SEEN_SHARE


def with_bleeds(head_hu: Tensor) -> list[Changed]:
    """A bleed of growing radius in the left hemisphere."""
    return [(radius, _with_bleed(head_hu, radius)) for radius in BLEED_RADII_MM]


def with_ventricles(head_hu: Tensor) -> list[Changed]:
    """Ventricles of growing size."""
    widener = Widener(study_on("fine", Widening()), torch.device("cpu"))
    (still,) = widener.draw(1, torch.Generator().manual_seed(0))
    head = head_hu[None, None]
    return [(size, widener.widened(head, [replace(still, ventricles=size)])[0][0, 0]) for size in VENTRICLE_SIZES]


def with_shifts(head_hu: Tensor) -> list[Changed]:
    """The midline moved to the left, most in the brain's middle and not at all at the skull."""
    return [(shift_mm, _shifted(head_hu, shift_mm)) for shift_mm in SHIFTS_MM]


def shown_by(fold: Fold, predict: Predict, changed: Sequence[Changed]) -> list[Shown]:
    """What a method shows of findings in the held-out head."""
    return _shown(fold, predict, [size for size, _ in changed], [hu for _, hu in changed])


def smallest_seen(shown: Sequence[Shown]) -> float | None:
    """The size from which on everything larger is seen too, or None."""
    seen = None
    for one in reversed(shown):
        if not one.is_seen:
            break
        seen = one.size
    return seen


def _shifted(head_hu: Tensor, shift_mm: float) -> Tensor:
    """``x -> x + d (1 - r^2 / R^2)^2`` about the brain's middle, which does not fold for these d."""
    z, y, x = (torch.from_numpy(FINE.centres_mm(axis)).float() for axis in range(3))
    cx, cy, cz = BRAIN_CENTRE_MM
    away = ((z - cz) ** 2)[:, None, None] + ((y - cy) ** 2)[None, :, None] + ((x - cx) ** 2)[None, None, :]
    moved_mm = shift_mm * (1 - away / _SHIFTED_WITHIN_MM**2).clamp(min=0).square()
    reach_mm = [float(axis[-1]) for axis in (x, y, z)]
    shape = head_hu.shape
    places = torch.stack(
        [
            (x.expand(shape) - moved_mm) / reach_mm[0],
            y[:, None].expand(shape) / reach_mm[1],
            z[:, None, None].expand(shape) / reach_mm[2],
        ],
        dim=-1,
    )
    return torch.nn.functional.grid_sample(
        head_hu[None, None], places[None], mode="bilinear", padding_mode="border", align_corners=True
    )[0, 0]


def _with_bleed(head: Tensor, radius_mm: float) -> Tensor:
    finding = Finding(FindingKind.BLEED, BLEED_CENTRE_MM, (radius_mm,) * 3, BLEED_HU)
    return with_finding(head, FINE, finding, soft_tissue(head))


def _shown(fold: Fold, predict: Predict, sizes: Sequence[float], changed: Sequence[Tensor]) -> list[Shown]:
    projector = Projector(FINE, GEOMETRY)
    head = fold.heads.fine_hu.float()
    before = on_training_grid(head).float()
    plain = _predictions(projector, head, predict)
    found = []
    for size, hu in zip(sizes, changed, strict=True):
        true_change = on_training_grid(hu).float() - before
        region, beside = region_of(true_change, before)
        sign = true_change.sign()
        changes = _predictions(projector, hu, predict) - plain
        shown = statistics.fmean(contrast_of(change, region, beside, sign) for change in changes)
        noise = statistics.stdev(contrast_of(exposure, region, beside, sign) for exposure in plain)
        spread = spread_elsewhere(plain[0], before, region)
        cnr = shown / max((noise**2 + spread**2) ** 0.5, 1e-6)
        found.append(Shown(size, contrast_of(true_change, region, beside, sign), shown, cnr))
    return found


def region_of(true_change: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Where a finding changed the truth, and the soft tissue beside it."""
    region = true_change.abs() > min(_CHANGED_HU, float(true_change.abs().max()) / 2)
    return region, _beside(before, region)


def contrast_of(change: Tensor, region: Tensor, beside: Tensor, sign: Tensor) -> float:
    """Mean change in a region less that beside it, along the truth's own sign, so that what gets darker and what gets
    brighter add up."""
    return float((change * sign)[region].mean() - change[beside].mean() * sign[region].mean())


def _predictions(projector: Projector, fine_hu: Tensor, predict: Predict) -> Tensor:
    """(NOISES, z, y, x) HU, each from the same radiographs with other photon noise."""
    clean = projector(hu_to_mu(fine_hu, RADIOGRAPH.water_mu_per_mm)[None, None])
    random = torch.Generator().manual_seed(77)
    return predict(add_noise(clean.expand(NOISES, -1, -1, -1), RADIOGRAPH.photons, random))


def _beside(truth: Tensor, region: Tensor) -> Tensor:
    """The soft tissue around a region, as far as three voxels from it."""
    near = torch.nn.functional.max_pool3d(region.float()[None, None], 2 * _BESIDE_VOXELS + 1, 1, _BESIDE_VOXELS)[0, 0]
    return (near > 0) & ~region & (soft_tissue(truth) > 0.9)


def spread_elsewhere(predicted: Tensor, truth: Tensor, region: Tensor) -> float:
    """SD of the prediction's error over regions as large as this one, elsewhere in the brain.

    A reader has no second CT without the finding: what is known of the brain from elsewhere is the background.
    """
    edge = max(1, round(float(region.sum()) ** (1 / 3)))
    brain = (soft_tissue(truth) > 0.9) & ~region
    shares = torch.nn.functional.avg_pool3d(brain.float()[None, None], edge, 1)[0, 0]
    means = torch.nn.functional.avg_pool3d(((predicted - truth) * brain)[None, None], edge, 1)[0, 0]
    inside = shares > 0.95
    return float((means[inside] / shares[inside]).std()) if int(inside.sum()) > 1 else 0.0
