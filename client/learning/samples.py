"""Which cases a step sees, how widened and with which noise: drawn from study, cohort and round, exact to repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from client.case import Case, add_noise
from client.learning.widening import Plan, Widener
from common.objective import to_window
from common.study import Study

_CPU = torch.device("cpu")


@final
@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        target: (B, 1, z, y, x), windowed to 0..1.
        integrals: (B, 2, rows, columns), line integrals with fresh photon noise.
        exposed: (B, 2, rows, columns), 1 where they count, else 0; None where the study sees no films.
    """

    target: Tensor
    integrals: Tensor
    exposed: Tensor | None = None


@final
class Samples:
    """Endless shuffled batches of one site's cases in one round.

    Where the study widens its cohort, every sample is a new head with radiographs of its own. Two sites draw
    differently because their pseudonyms differ; the digest over them stays at the site.

    Args:
        study: seed, batch size, window, photons and widening.
        cases: the site's training cases.
        number: the round.
        device: where cases are widened and where batches lie. Equal draws are exact on one kind of device.
    """

    def __init__(self, study: Study, cases: Sequence[Case], number: int, device: torch.device = _CPU) -> None:
        self._study = study
        self._cases = cases
        self._device = device
        seed = _seed(study, cases, number)
        self._random = torch.Generator().manual_seed(seed)
        # One source for all draws on the CPU; another device needs one of its own for what it draws.
        self._noise = self._random if device.type == "cpu" else torch.Generator(device).manual_seed(seed)
        widens = study.widening.is_on or study.film.share > 0
        self._widener = Widener(study, device) if widens else None

    def __iter__(self) -> Iterator[Batch]:
        waiting: list[int] = []
        size = self._study.optimisation.batch_size
        while True:
            while len(waiting) < size:
                waiting += torch.randperm(len(self._cases), generator=self._random).tolist()
            chosen, waiting = waiting[:size], waiting[size:]
            yield self._batch([self._cases[index] for index in chosen])

    def _batch(self, cases: list[Case]) -> Batch:
        volumes = torch.stack([torch.from_numpy(case.volume_hu).to(self._device) for case in cases]).unsqueeze(1)
        clean = torch.stack([torch.from_numpy(case.integrals) for case in cases]).to(self._device)
        plans: list[Plan] = []
        if self._widener is not None:
            plans = self._widener.draw(len(cases), self._random)
        if self._widener is not None and self._study.widening.is_on:
            volumes, clean = self._widener.widened(volumes.float(), plans)
        integrals = add_noise(clean, self._study.radiograph.photons, self._noise)
        exposed = torch.ones_like(integrals) if self._study.sees_films else None
        if exposed is not None:
            volumes = volumes.float()
            for place, case in enumerate(cases):
                self._film(case, plans[place : place + 1], (volumes, integrals, exposed), slice(place, place + 1))
        return Batch(to_window(volumes, self._study.window), integrals, exposed)

    def _film(self, case: Case, plans: list[Plan], batch: tuple[Tensor, Tensor, Tensor], place: slice) -> None:
        """Puts films in the place of a sample's DRRs, as often as the study says: simulated ones, or the case's own.

        A head that is widened has no films of its own: the case's are of the case as it is.
        """
        volumes, integrals, exposed = batch
        simulated, own = torch.rand(2, generator=self._random).tolist()
        if self._widener is not None and simulated < self._study.film.share:
            film = self._widener.draw_film(plans[0], self._random)
            integrals[place], exposed[place] = self._widener.filmed(volumes[place], [film])
        elif case.films is not None and own < self._study.own_films:
            volumes[place] = torch.from_numpy(case.volume_hu).to(volumes)
            integrals[place] = torch.from_numpy(case.films.integrals).to(integrals)
            exposed[place] = torch.from_numpy(case.films.exposed).to(exposed)


def _seed(study: Study, cases: Sequence[Case], number: int) -> int:
    text = "\n".join([str(study.optimisation.seed), str(number), *sorted(case.pseudonym for case in cases)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
