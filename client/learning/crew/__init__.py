"""A site's devices as one crew: its own process is rank 0, and every further device gets a process for each round."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

import torch

from client.cohort import CaseFile
from client.learning.crew.members import START_SECONDS, Members
from client.learning.crew.order import CrewOrder
from client.learning.crew.shared_round import train_together
from client.learning.local_training import require_cases
from client.learning.ranks import ANSWER_SECONDS, RankLost, require_even_shares
from client.learning.trainer import StepProgress, TrainOutcome
from common.exchange import Weights
from common.files import make_folder
from common.study import Study

__all__ = ["Crew"]

FOLDER = "crew"


@final
class Crew:
    """Trains at one site in one run on several devices, as :class:`client.learning.LocalTrainer` does on one.

    Every round starts processes afresh and ends them: one that has gone wrong cannot spoil the next round, and between
    rounds the memory of their devices is free for evaluation. All that they are told and say lies in a private folder
    that goes with them.

    Args:
        study: what is trained and how.
        cases: the site's training cases, at least one.
        state: the run's private folder for what is kept between rounds.
        device: the kind of device; this process computes on the first.
        count: number of devices, from 2.
        start_seconds: how long the processes may take to start.
        answer_seconds: how long one may keep the others waiting.

    Raises:
        Refusal: ``STUDY_INVALID`` if the study's batch does not divide by the number of devices, ``COHORT_TOO_SMALL``
            without cases.
    """

    def __init__(
        self,
        study: Study,
        cases: Sequence[CaseFile],
        state: Path,
        device: torch.device,
        count: int,
        *,
        start_seconds: float = START_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        require_even_shares(study.optimisation.batch_size, count)
        require_cases(cases)
        self._study = study
        self._files = cases
        self._cases = [file.load() for file in cases]
        self._state = state
        self._device = device
        self._count = count
        self._start_seconds = start_seconds
        self._answer_seconds = answer_seconds

    def train_round(
        self,
        round: int,  # noqa: A002 - the word for it
        generator: Weights,
        discriminator: Weights | None,
        on_step: Callable[[StepProgress], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> TrainOutcome:
        """Local steps from the broadcast weights, each batch shared by all devices.

        Arguments as of :meth:`client.learning.Trainer.train_round`. The losses are those of the first device's share.

        Raises:
            Refusal: what :meth:`client.learning.Trainer.train_round` refuses on any of the devices, and
                ``CHILD_FAILED`` if a process of another device ends, does not start, or does not answer in time.
        """
        order = self._order(round)
        folder = make_folder(self._state) / FOLDER
        # What a kill left.
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder)
        try:
            order.write(folder, generator, discriminator)
            with Members(folder, order) as members:
                members.await_ready(stop, self._start_seconds)
                try:
                    return train_together(order, 0, folder, self._cases, generator, discriminator, on_step, stop)
                except RankLost as lost:
                    raise members.fault() from lost
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _order(self, number: int) -> CrewOrder:
        return CrewOrder(
            study=self._study,
            cases=tuple(file.path.absolute() for file in self._files),
            state=self._state.absolute(),
            round=number,
            device="cuda" if self._device.type == "cuda" else "cpu",
            count=self._count,
            threads=torch.get_num_threads(),
            answer_seconds=self._answer_seconds,
        )
