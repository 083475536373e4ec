"""Networks trained for a number of processor seconds, alone, at one site, or by rounds over all sites."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from benchmarks.quality.studies import network_of, study_of
from client.case import Case
from client.learning import LocalTrainer, StepProgress
from client.synthesis import Synthesiser
from common.exchange import Weights, weights_of
from common.networks import build_discriminator, build_generator
from common.study import Study

Sites = Mapping[str, Sequence[Case]]

_CPU = torch.device("cpu")
_TRIAL_STEPS, _UNCOUNTED_STEPS = 12, 2
FEWEST_STEPS = 4


@final
@dataclass(frozen=True)
class Trained:
    """A trained generator.

    Attributes:
        study: what it was trained in.
        weights: its parameters.
        steps: steps it took; at each site, where there are several.
        cpu_s: processor seconds of all threads; of all sites together, where there are several.
    """

    study: Study
    weights: Weights
    steps: int
    cpu_s: float

    def predict(self, integrals: Tensor) -> Tensor:
        """(B, z, y, x) HU for (B, 2, rows, columns)."""
        synthesiser = Synthesiser(self.study, _CPU)
        synthesiser.load(self.weights)
        return torch.cat([synthesiser.volumes_hu(pair[None]) for pair in integrals])


def steps_within(network: str, seed: int, cases: Sequence[Case], budget_s: float) -> int:
    """How many steps of a network fit into a budget of processor seconds, by a few trial steps that do not count."""
    joins_at = network_of(network).joins_at
    alone = _step_s(study_of(network, seed, 1000), cases) if joins_at > 0 else 0.0
    game = _step_s(study_of(network, seed, 1), cases) if joins_at < 1 else 0.0
    return max(FEWEST_STEPS, int(budget_s / (joins_at * alone + (1 - joins_at) * game)))


def train(study: Study, cases: Sequence[Case], say: Callable[[StepProgress], None]) -> Trained:
    """All steps of a study at one site."""
    started = time.process_time()
    with tempfile.TemporaryDirectory(prefix="tomoray-quality-") as folder:
        trainer = LocalTrainer(study, cases, Path(folder), _CPU)
        generator, discriminator = first_weights(study)
        for number in range(1, study.federation.rounds + 1):
            outcome = trainer.train_round(number, generator, discriminator, on_step=say)
            generator, discriminator, averaged = outcome.generator, outcome.discriminator, outcome.averaged
    steps = study.federation.rounds * study.optimisation.steps_per_round
    return Trained(study, averaged or generator, steps, time.process_time() - started)


def first_weights(study: Study) -> tuple[Weights, Weights | None]:
    """Weights of G and, where there is a game, of D before the first step."""
    plays = study.optimisation.adversarial_weight > 0
    return weights_of(build_generator(study)), weights_of(build_discriminator(study)) if plays else None


def _step_s(study: Study, cases: Sequence[Case]) -> float:
    """Median processor seconds of a step."""
    update = {"steps_per_round": _TRIAL_STEPS}
    trial = study.model_copy(update={"optimisation": study.optimisation.model_copy(update=update)})
    ends: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tomoray-quality-") as folder:
        trainer = LocalTrainer(trial, cases, Path(folder), _CPU)
        trainer.train_round(1, *first_weights(trial), on_step=lambda _: ends.append(time.process_time()))
    taken = [later - earlier for earlier, later in itertools.pairwise(ends)]
    return statistics.median(taken[_UNCOUNTED_STEPS - 1 :])
