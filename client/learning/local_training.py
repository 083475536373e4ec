"""Local training: one round from the broadcast weights, exact to repeat."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import final

import torch

from client.case import Case
from client.learning.moments import RoundMemory, moments_of, parameters_of, restore_moments, restore_parameters
from client.learning.players import Players, StepLosses
from client.learning.ranks import Ranks
from client.learning.running_average import RunningAverage
from client.learning.samples import Samples
from client.learning.trainer import StepProgress, TrainOutcome
from common.errors import ExitCode, Refusal
from common.exchange import TrainLosses, Weights, weights_of
from common.networks import build_discriminator, load_parameters
from common.study import Study


def require_cases(cases: Sequence[object]) -> None:
    """Refuse to train on nothing.

    Raises:
        Refusal: ``COHORT_TOO_SMALL``.
    """
    if not cases:
        mend = "give the site more studies, or the role of a held-out centre"
        raise Refusal(ExitCode.COHORT_TOO_SMALL, "no case to train on", where="cohort", mend=mend)


@final
class LocalTrainer:
    """Trains at one site in one run.

    On a CPU convolutions of two or more cases take a much faster path than those of one: a ``batch_size`` of 2 costs
    hardly more than 1.

    Args:
        study: what is trained and how.
        cases: the site's training cases, at least one.
        state: the run's private folder for what is kept between rounds.
        device: where the networks run.
        ranks: the processes that train this round together, each with a trainer of its own on the same folder.

    Raises:
        Refusal: ``COHORT_TOO_SMALL`` without cases, ``STUDY_INVALID`` if the networks do not fit the study's grid.
    """

    def __init__(
        self, study: Study, cases: Sequence[Case], state: Path, device: torch.device, ranks: Ranks | None = None
    ) -> None:
        require_cases(cases)
        self._study = study
        self._cases = cases
        self._memory = RoundMemory(state)
        self._players = Players(study, device, ranks)
        self._ranks = ranks
        self._average: RunningAverage | None = None

    def train_round(
        self,
        round: int,  # noqa: A002 - the word for it
        generator: Weights,
        discriminator: Weights | None,
        on_step: Callable[[StepProgress], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> TrainOutcome:
        """Local steps on this process's device; what is kept for the next round is written before returning.

        Arguments and refusals as of :meth:`client.learning.Trainer.train_round`.
        """
        started = time.monotonic()
        self._start(round, generator, discriminator)
        steps, device = self._study.optimisation.steps_per_round, self._players.device
        counted: list[StepLosses] = []
        for done, batch in zip(range(steps), Samples(self._study, self._cases, round, device), strict=False):
            if stop():
                mend = "start again: the round is repeated from its beginning"
                raise Refusal(ExitCode.INTERRUPTED, "training stopped", where=f"round {round}", mend=mend)
            losses = self._players.step(batch, (round - 1) * steps + done)
            if losses is not None:
                counted.append(losses)
                if self._average is not None:
                    self._average.follow(self._players.generator)
            self._check_bad(done + 1 - len(counted), round)
            if on_step is not None:
                on_step(StepProgress(done + 1, steps, counted[-1].generator if counted else 0.0))
        self._keep(round)
        players = self._players
        return TrainOutcome(
            generator=weights_of(players.generator),
            discriminator=None if players.discriminator is None else weights_of(players.discriminator),
            averaged=None if self._average is None else self._average.weights(),
            losses=_means(counted),
            steps=steps,
            skipped_steps=steps - len(counted),
            seconds=time.monotonic() - started,
        )

    def _start(self, number: int, generator: Weights, discriminator: Weights | None) -> None:
        players, kept = self._players, self._memory.load(number)
        load_parameters(players.generator, generator)
        restore_moments("generator", players.generator, players.optimiser_g, kept)
        players.start_round()
        decay = self._study.optimisation.ema_decay
        self._average = RunningAverage.restored(decay, kept, players.device) if decay > 0 else None
        if players.discriminator is None or players.optimiser_d is None:
            return
        if discriminator is not None:
            load_parameters(players.discriminator, discriminator)
        elif not restore_parameters("discriminator", players.discriminator, kept):
            load_parameters(players.discriminator, weights_of(build_discriminator(self._study)))
        restore_moments("discriminator", players.discriminator, players.optimiser_d, kept)

    def _keep(self, number: int) -> None:
        """Write what the next round needs: rank 0 alone, and none goes on before."""
        if self._ranks is None or self._ranks.rank == 0:
            self._memory.save(number, self._kept())
        if self._ranks is not None:
            self._ranks.wait()

    def _kept(self) -> dict[str, torch.Tensor]:
        players = self._players
        kept = moments_of("generator", players.generator, players.optimiser_g)
        if self._average is not None:
            kept |= self._average.kept()
        if players.discriminator is not None and players.optimiser_d is not None:
            kept |= moments_of("discriminator", players.discriminator, players.optimiser_d)
            if not self._study.networks.discriminator.federated:
                kept |= parameters_of("discriminator", players.discriminator)
        return kept

    def _check_bad(self, bad: int, number: int) -> None:
        if bad > self._study.optimisation.max_bad_steps:
            what = f"{bad} steps with a loss that is not finite"
            mend = "lower lr_generator in a new study, or look for broken cases at this site"
            raise Refusal(ExitCode.TRAINING_DIVERGED, what, where=f"round {number}", mend=mend)


def _means(counted: list[StepLosses]) -> TrainLosses:
    """Means over the steps that have a loss; zero where no step counted."""
    return TrainLosses(
        generator=_mean(losses.generator for losses in counted) or 0.0,
        reconstruction=_mean(losses.reconstruction for losses in counted) or 0.0,
        reprojection=_mean(losses.reprojection for losses in counted) or 0.0,
        adversarial=_mean(losses.adversarial for losses in counted),
        discriminator=_mean(losses.discriminator for losses in counted),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
