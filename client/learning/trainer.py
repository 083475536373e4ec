"""What trains a site's networks for a round, on however many devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final

from common.exchange import TrainLosses, Weights


@final
@dataclass(frozen=True)
class StepProgress:
    """How far a round has come: ``step`` of ``steps`` done, with the loss of the last good step."""

    step: int
    steps: int
    loss: float


@final
@dataclass(frozen=True)
class TrainOutcome:
    """A finished round.

    Attributes:
        generator: trained weights.
        discriminator: trained weights, or None where the study trains without one.
        averaged: the generator's running average over this site's steps in the run, or None where the study takes
            none. It never leaves the site: see :mod:`common.averaging`.
        losses: means over the steps that counted.
        steps: steps asked for.
        skipped_steps: of these, steps with a loss or gradient that was not finite.
        seconds: wall time.
    """

    generator: Weights
    discriminator: Weights | None
    averaged: Weights | None
    losses: TrainLosses
    steps: int
    skipped_steps: int
    seconds: float


class Trainer(Protocol):
    """Trains at one site in one run."""

    def train_round(
        self,
        round: int,  # noqa: A002 - the word for it
        generator: Weights,
        discriminator: Weights | None,
        on_step: Callable[[StepProgress], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> TrainOutcome:
        """Local steps from the broadcast weights; what is kept for the next round is written before returning.

        Args:
            round: number of the round, from 1.
            generator: broadcast weights.
            discriminator: broadcast weights; None where it stays at the site, or where there is none.
            on_step: called after each step.
            stop: asked before each step.

        Raises:
            Refusal: ``TRAINING_DIVERGED`` after more than ``max_bad_steps`` steps that were not finite, ``INTERRUPTED``
                if asked to stop (nothing is kept then), ``EXCHANGE_INVALID`` if weights do not fit the networks,
                ``DISK_FULL`` or ``DISK_UNWRITABLE``.
        """
        ...
