"""The training half of a round: broadcast, check each reply, keep it on disk for aggregation."""

from __future__ import annotations

from typing import final

from common.errors import Refusal
from common.exchange import TrainReply, TrainRequest, pack, train_manifests
from common.roles import Role
from server.aggregation import IncomingReplies, RoundStart, Strategy
from server.link import Answer
from server.rounds.asking import content, outcome
from server.rounds.context import RunContext
from server.rounds.record import Outcome, SiteTraining
from server.rounds.registration import Registration
from server.rounds.replies import read_train


@final
class TrainingHalf:
    """Asks the training sites for one round of local training.

    Args:
        context: the run.
        registration: its sites.
        strategy: what checks a reply's weights before it counts.
    """

    def __init__(self, context: RunContext, registration: Registration, strategy: Strategy) -> None:
        self._context = context
        self._registration = registration
        self._strategy = strategy

    def run(self, number: int, start: RoundStart, incoming: IncomingReplies) -> tuple[SiteTraining, ...]:
        """Outcomes by site; valid replies end up in ``incoming``, those already there are not asked for again."""
        taking_part = [site.name for site in self._registration.named(Role.TRAIN)]
        incoming.keep(taking_part)
        held = incoming.replies()
        outcomes = {name: _accepted(name, reply) for name, reply in held.items()}
        request = TrainRequest(study_sha256=self._context.study.sha256, run=self._context.run, round=number)
        manifests = train_manifests(self._context.study)
        record = pack(request, {network: (manifest, start.sent[network]) for network, manifest in manifests.items()})
        names = [name for name in taking_part if name not in held]
        timeout_s = self._context.study.federation.round_timeout_s
        for answer in self._context.asker.ask(names, request, record, timeout_s):
            outcomes[answer.site] = self._take(answer, request, start, incoming)
        return tuple(outcomes[name] for name in sorted(outcomes))

    def _take(
        self, answer: Answer, request: TrainRequest, start: RoundStart, incoming: IncomingReplies
    ) -> SiteTraining:
        say = self._context.events.say
        try:
            site = self._registration.site(answer.site)
            reply, weights = read_train(content(answer), request, site, self._context.study)
            self._strategy.check(weights, start)
        except Refusal as refusal:
            say("problem", round_number=request.round, site=answer.site, detail=str(refusal))
            return SiteTraining(site=answer.site, outcome=outcome(answer), reason=refusal.what)
        incoming.add(answer.site, reply, weights)
        say("trained", round_number=request.round, site=answer.site, values=reply.losses.model_dump(exclude_none=True))
        return _accepted(answer.site, reply)


def _accepted(site: str, reply: TrainReply) -> SiteTraining:
    return SiteTraining(
        site=site,
        outcome=Outcome.ACCEPTED,
        cases=reply.cases,
        steps=reply.steps,
        skipped_steps=reply.skipped_steps,
        seconds=reply.seconds,
        losses=reply.losses,
    )
