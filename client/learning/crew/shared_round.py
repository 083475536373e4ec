"""A rank's part in a round: the same in a site's own process and in its children."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from client.case import Case
from client.learning.crew.order import RENDEZVOUS, CrewOrder
from client.learning.local_training import LocalTrainer
from client.learning.ranks import Ranks
from client.learning.trainer import StepProgress, TrainOutcome
from common.exchange import Weights

log = logging.getLogger("tomoray.site")


def train_together(
    order: CrewOrder,
    rank: int,
    folder: Path,
    cases: Sequence[Case],
    generator: Weights,
    discriminator: Weights | None,
    on_step: Callable[[StepProgress], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainOutcome:
    """Meet the other ranks and train the round with them.

    Args:
        order: the round.
        rank: this process.
        folder: the round's private folder.
        cases: the order's cases.
        generator, discriminator: broadcast weights.
        on_step: called after each step.
        stop: asked before each step.

    Raises:
        RankLost: if another rank does not come, ends early, or does not answer in time.
        Refusal: what :meth:`LocalTrainer.train_round` refuses.
    """
    device = order.device_of(rank)
    with Ranks.joined(rank, order.count, device, folder / RENDEZVOUS, order.answer_seconds) as ranks:
        trainer = LocalTrainer(order.study, cases, order.state, device, ranks)
        outcome = trainer.train_round(order.round, generator, discriminator, on_step, stop)
        if not ranks.have_equal(outcome.generator):
            # They start the next round from one broadcast again, so this is worth a word and no refusal.
            log.warning("the devices ended round %d with unequal weights: are they of one kind?", order.round)
        return outcome
