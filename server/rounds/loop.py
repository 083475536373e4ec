"""The round loop: broadcast → local training → aggregation → held-out evaluation, and its resume.

The loop owns no socket: it speaks through a line, which carries the real processes' messages or an in-process grid's
alike. A bad reply never stops a round; a round without enough replies is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import final

from common.averaging import AVERAGED_GENERATOR, moved_average, released, round_decay
from common.errors import ExitCode, Refusal
from common.exchange import Weights, on_the_wire, weights_sha256
from server.aggregation import IncomingReplies, NetworkWeights, RoundStart, strategy_of
from server.rounds.context import RunContext
from server.rounds.evaluation import EvaluationHalf
from server.rounds.outlying_updates import judge_updates
from server.rounds.record import RoundRecord, RunRecord, SiteEvaluation, SiteTraining
from server.rounds.registration import Registration
from server.rounds.training import TrainingHalf

MAX_ATTEMPTS = 5


@final
class RoundLoop:
    """Runs the rounds of one run, from wherever its directory stands.

    Args:
        context: the run.
        record: the run's record as far as it is known.
        wait_for_sites_s: patience for sites before the first round.
        on_round: called after each finished round, e.g. to refresh the report.
    """

    def __init__(
        self, context: RunContext, record: RunRecord, *, wait_for_sites_s: float, on_round: Callable[[], None]
    ) -> None:
        self._context = context
        self._registration = Registration(context, record)
        self._strategy = strategy_of(context.study.federation)
        self._training = TrainingHalf(context, self._registration, self._strategy)
        self._evaluation = EvaluationHalf(context, self._registration)
        self._wait_for_sites_s = wait_for_sites_s
        self._on_round = on_round

    def run(self) -> None:
        """All rounds that are still to do.

        Raises:
            Refusal: ``TOO_FEW_SITES`` if a round does not get enough replies in several attempts, ``DISK_FULL`` if a
                checkpoint cannot be written, ``INTERRUPTED`` if asked to stop. What was finished is kept.
        """
        self._registration.gather(self._wait_for_sites_s)
        self._close_unrecorded_round()
        rounds = self._context.study.federation.rounds
        for number in range(self._latest() + 1, rounds + 1):
            self._round(number)
        self._context.events.say("finished", round_number=rounds, rounds=rounds)

    def _round(self, number: int) -> None:
        federation, events = self._context.study.federation, self._context.events
        start, average = self._start(number)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self._context.asker.check_stop()
            clock = _Clock()
            self._registration.register_newcomers()
            events.say("round_started", round_number=number, rounds=federation.rounds)
            incoming = IncomingReplies(self._context.directory.incoming(number))
            training = self._training.run(number, start, incoming)
            if len(incoming.replies()) >= federation.minimum_train_sites:
                training = judge_updates(self._context, number, start, incoming, training)
            if len(incoming.replies()) >= federation.minimum_train_sites:
                self._context.directory.write_checkpoint(number, self._aggregated(start, average, incoming), training)
                events.say("aggregated", round_number=number, rounds=federation.rounds)
                return self._close(number, clock, training)
            self._record(number, clock, start.sent, training, (), aggregated=False)
            events.say("problem", round_number=number, detail=f"attempt {attempt}: too few replies, trying again")
            self._context.asker.pause(self._context.reask_wait_s)
        mend = "look at the sites' logs, then start the coordinator again: it resumes at this round"
        raise Refusal(ExitCode.TOO_FEW_SITES, "too few valid training replies", where=f"round {number}", mend=mend)

    def _start(self, number: int) -> tuple[RoundStart, Weights | None]:
        """Where a round begins, and the generator's running average so far."""
        held, _ = self._context.directory.read_checkpoint(number - 1)
        average = held.pop(AVERAGED_GENERATOR, None)
        kept = {name: held.pop(name) for name in self._strategy.keeps if name in held}
        # Sites start from what the wire carries, so their updates are measured from that too.
        return RoundStart(on_the_wire(self._context.study, held), kept), average

    def _aggregated(self, start: RoundStart, average: Weights | None, incoming: IncomingReplies) -> NetworkWeights:
        """A round's weights as the wire will carry them, with what the coordinator keeps for itself beside them."""
        study = self._context.study
        found = self._strategy.aggregate(start, incoming)
        weights = on_the_wire(study, {**start.sent, **found.weights})
        aside = dict(found.kept)
        if study.optimisation.ema_decay > 0:
            decay = round_decay(study.optimisation)
            aside[AVERAGED_GENERATOR] = moved_average(average, weights["generator"], decay)
        return {**weights, **aside}

    def _close_unrecorded_round(self) -> None:
        """Evaluate and record a round that was checkpointed only: the trace of a kill during evaluation."""
        latest = self._latest()
        recorded = max((r.round for r in self._context.directory.rounds() if r.aggregated), default=0)
        if latest > recorded:
            _, training = self._context.directory.read_checkpoint(latest)
            self._close(latest, _Clock(), training)

    def _close(self, number: int, clock: _Clock, training: tuple[SiteTraining, ...]) -> None:
        weights, _ = self._context.directory.read_checkpoint(number)
        evaluation = self._evaluation.run(number, released(weights))
        self._record(number, clock, weights, training, evaluation, aggregated=True)
        rounds = self._context.study.federation.rounds
        self._on_round()
        values = {"seconds": clock.seconds()}
        self._context.events.say("round_ended", round_number=number, rounds=rounds, values=values)

    def _record(
        self,
        number: int,
        clock: _Clock,
        weights: Mapping[str, Weights],
        training: tuple[SiteTraining, ...],
        evaluation: tuple[SiteEvaluation, ...],
        *,
        aggregated: bool,
    ) -> None:
        sent, received = self._context.asker.take_traffic()
        discriminator = weights.get("discriminator")
        record = RoundRecord(
            round=number,
            started_at=clock.started_at,
            seconds=clock.seconds(),
            aggregated=aggregated,
            training=training,
            evaluation=evaluation,
            generator_sha256=weights_sha256(released(weights)),
            discriminator_sha256=weights_sha256(discriminator) if discriminator else "",
            bytes_sent=sent,
            bytes_received=received,
        )
        self._context.directory.append_round(record)

    def _latest(self) -> int:
        latest = self._context.directory.latest_checkpoint()
        if latest is None:
            where = str(self._context.directory.path)
            raise Refusal(ExitCode.RUN_INVALID, "run has no checkpoint", where=where, mend="start a new run")
        return latest


@final
class _Clock:
    """When something started, for people and for measuring."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._start = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._start
