"""What a generator must beat: the mean of other heads, and back-projection without a filter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from client.case import Case
from common.attenuation import mu_to_hu
from common.objective import from_window, to_window
from common.projection import Projector, unfiltered_back_projection
from common.study import Study, Window


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


def back_projection_hu(study: Study, projector: Projector, integrals: Tensor) -> Tensor:
    """Unfiltered back-projection of a radiograph pair (2, rows, columns) as HU (z, y, x)."""
    mu_per_mm = unfiltered_back_projection(projector, integrals.unsqueeze(0))
    return mu_to_hu(mu_per_mm, study.radiograph.water_mu_per_mm)[0, 0]
