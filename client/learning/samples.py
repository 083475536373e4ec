"""Which cases a step sees, and with which noise: drawn from study, cohort and round, so that a repeat is exact."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from client.archive import Case, add_noise
from common.objective import to_window
from common.study import Study


@final
@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        target: (B, 1, z, y, x), windowed to 0..1.
        integrals: (B, 2, rows, columns), line integrals with fresh photon noise.
    """

    target: Tensor
    integrals: Tensor


@final
class Samples:
    """Endless shuffled batches of one site's cases in one round.

    Two sites draw differently because their pseudonyms differ; the digest over them stays at the site.

    Args:
        study: seed, batch size, window and photons.
        cases: the site's training cases.
        number: the round.
    """

    def __init__(self, study: Study, cases: Sequence[Case], number: int) -> None:
        self._study = study
        self._cases = cases
        self._random = torch.Generator().manual_seed(_seed(study, cases, number))

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[int] = []
        size = self._study.optimisation.batch_size
        while True:
            while len(waiting) < size:
                waiting += torch.randperm(len(self._cases), generator=self._random).tolist()
            chosen, waiting = waiting[:size], waiting[size:]
            yield self._batch([self._cases[index] for index in chosen])

    def _batch(self, cases: list[Case]) -> Batch:
        target = torch.stack([to_window(torch.from_numpy(case.volume_hu), self._study.window) for case in cases])
        clean = torch.stack([torch.from_numpy(case.integrals) for case in cases])
        return Batch(target.unsqueeze(1), add_noise(clean, self._study.radiograph.photons, self._random))


def _seed(study: Study, cases: Sequence[Case], number: int) -> int:
    text = "\n".join([str(study.optimisation.seed), str(number), *sorted(case.pseudonym for case in cases)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
