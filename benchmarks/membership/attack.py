"""The plainest attack: a network errs less on a head that it was trained on (Yeom et al., CSF 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from client.case import Case
from client.synthesis import Synthesiser
from common.exchange import Weights
from common.objective import from_window, to_window
from common.study import Study

RESAMPLES, COVERED = 4000, 0.95


@final
@dataclass(frozen=True)
class Attack:
    """How well a threshold on the error tells members from strangers.

    Attributes:
        auc: share of pairs of a member and a stranger in which the member has the smaller error; 0.5 is chance.
        low, high: 95 % interval over members and strangers drawn again.
        members_hu, strangers_hu: mean errors.
    """

    auc: float
    low: float
    high: float
    members_hu: float
    strangers_hu: float


def errors_hu(study: Study, weights: Weights, cases: Sequence[Case]) -> NDArray[np.float64]:
    """Mean absolute error inside the window, HU, of each case from its own noise-free radiographs."""
    synthesiser = Synthesiser(study, torch.device("cpu"))
    synthesiser.load(weights)
    found = []
    for case in cases:
        shown = synthesiser.volumes_hu(torch.from_numpy(case.integrals)[None])[0]
        truth = from_window(to_window(torch.from_numpy(case.volume_hu), study.window), study.window)
        found.append(float((shown - truth).abs().mean()))
    return np.array(found)


def attacked(members: NDArray[np.float64], strangers: NDArray[np.float64], seed: int = 0) -> Attack:
    """The attack on errors of members and of strangers, each (n,), HU."""
    random = np.random.default_rng(seed)
    drawn = [
        auc(random.choice(members, len(members)), random.choice(strangers, len(strangers))) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return Attack(auc(members, strangers), float(low), float(high), float(members.mean()), float(strangers.mean()))


def auc(members: NDArray[np.float64], strangers: NDArray[np.float64]) -> float:
    """Share of pairs in which the member errs less, ties by half (Mann and Whitney, Ann Math Stat 18:50, 1947)."""
    less = members[:, None] < strangers[None, :]
    equal = members[:, None] == strangers[None, :]
    return float(less.mean() + equal.mean() / 2)
