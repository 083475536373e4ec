"""What a generator must beat: the mean of other heads, its own skull with their soft tissue in it, the average
procedural head, and back-projection without a filter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from client.case import Case
from client.phantom import template_head
from common.attenuation import mu_to_hu
from common.metrics import SOFT_HU, within_skull
from common.objective import from_window, to_window
from common.projection import Projector, unfiltered_back_projection
from common.study import SOFT_TISSUE_HU, Study, Window


def mean_volumes_hu(cases: Sequence[Case], references: Sequence[Case], window: Window) -> list[Tensor] | None:
    """For each case the mean windowed volume of the other patients among the references.

    At a held-out site cases and references are the same, and each case is predicted from all others. At a training site
    the references are the training cases.

    Returns:
        One (z, y, x) in HU per case; None if a case has no other patient.
    """
    if not references:
        return None
    own = {reference.pseudonym: to_window(torch.from_numpy(reference.volume_hu), window) for reference in references}
    total = torch.stack(list(own.values())).double().sum(dim=0)
    means: list[Tensor] = []
    for case in cases:
        others = len(own) - (case.pseudonym in own)
        if others == 0:
            return None
        rest = total - own[case.pseudonym].double() if case.pseudonym in own else total
        means.append(from_window((rest / others).float(), window))
    return means


def mean_soft_tissues_hu(cases: Sequence[Case], references: Sequence[Case]) -> list[Tensor] | None:
    """For each case the mean soft tissue of the other patients among the references, as :func:`mean_volumes_hu` takes
    them: in every voxel over those who have soft tissue there.

    Returns:
        One (z, y, x) in HU per case, -20..100 HU; None if a case has no other patient.
    """
    if not references:
        return None
    own = {reference.pseudonym: torch.from_numpy(reference.volume_hu).float() for reference in references}
    sums = {name: _soft_sums(hu) for name, hu in own.items()}
    total = torch.stack(list(sums.values())).sum(dim=0)
    found: list[Tensor] = []
    for case in cases:
        if len(own) == (case.pseudonym in own):
            return None
        values, counts = total - sums[case.pseudonym] if case.pseudonym in own else total
        found.append(torch.where(counts > 0, values / counts.clamp(min=1), SOFT_TISSUE_HU).float())
    return found


def with_soft_tissue(predicted_hu: Tensor, soft_hu: Tensor, voxel_mm: float) -> Tensor:
    """A prediction's own skull, filled with other soft tissue, each (z, y, x) in HU."""
    predicted = predicted_hu.double().cpu().numpy()
    inside = torch.from_numpy(within_skull(predicted, voxel_mm, spill_mm=voxel_mm))
    return torch.where(inside, soft_hu, predicted_hu.cpu())


def template_hu(study: Study) -> Tensor:
    """The average procedural head on the study's grid, (z, y, x) in HU: nobody."""
    return torch.from_numpy(template_head(study.grid)).float()


def _soft_sums(hu: Tensor) -> Tensor:
    """(2, z, y, x): soft tissue's HU, and 1 where it is."""
    soft = (hu >= SOFT_HU[0]) & (hu <= SOFT_HU[1])
    return torch.stack([hu * soft, soft.float()]).double()


def back_projection_hu(study: Study, projector: Projector, integrals: Tensor) -> Tensor:
    """Unfiltered back-projection of a radiograph pair (2, rows, columns) as HU (z, y, x)."""
    mu_per_mm = unfiltered_back_projection(projector, integrals.unsqueeze(0))
    return mu_to_hu(mu_per_mm, study.radiograph.water_mu_per_mm)[0, 0]
