"""The evaluation half of a round: held-out sites always, training sites on their own validation split where asked."""

from __future__ import annotations

from typing import final

from common.errors import Refusal
from common.exchange import EvaluateRequest, Weights, evaluate_manifests, means_by_name, pack
from common.roles import Role
from server.link import Answer
from server.rounds.asking import content, outcome
from server.rounds.context import RunContext
from server.rounds.record import Outcome, SiteEvaluation, SiteRecord
from server.rounds.registration import Registration
from server.rounds.replies import read_evaluate


@final
class EvaluationHalf:
    """Asks for an evaluation of a round's generator.

    Args:
        context: the run.
        registration: its sites.
    """

    def __init__(self, context: RunContext, registration: Registration) -> None:
        self._context = context
        self._registration = registration

    def run(self, number: int, generator: Weights) -> tuple[SiteEvaluation, ...]:
        """Outcomes by site."""
        request = EvaluateRequest(study_sha256=self._context.study.sha256, run=self._context.run, round=number)
        manifest = evaluate_manifests(self._context.study)["generator"]
        record = pack(request, {"generator": (manifest, generator)})
        names = [site.name for site in self._sites(number)]
        timeout_s = self._context.study.federation.round_timeout_s
        answers = self._context.asker.ask(names, request, record, timeout_s)
        done = {answer.site: self._take(answer, request) for answer in answers}
        return tuple(done[name] for name in sorted(done))

    def _sites(self, number: int) -> list[SiteRecord]:
        """Held-out sites, and training sites in the rounds that the study's endpoints name."""
        internal = self._context.study.endpoints.internal_validation
        last = number == self._context.study.federation.rounds
        validating = internal == "every_round" or (internal == "last_round" and last)
        training = [site for site in self._registration.named(Role.TRAIN) if validating and site.evaluation_cases]
        return self._registration.named(Role.EVALUATE) + training

    def _take(self, answer: Answer, request: EvaluateRequest) -> SiteEvaluation:
        site = self._registration.site(answer.site)
        try:
            reply = read_evaluate(content(answer), request, site, self._context.study)
        except Refusal as refusal:
            self._context.events.say("problem", round_number=request.round, site=site.name, detail=str(refusal))
            return SiteEvaluation(site=site.name, role=site.role, outcome=outcome(answer), reason=refusal.what)
        means = means_by_name(reply.methods)
        self._context.events.say("evaluated", round_number=request.round, site=site.name, values=means)
        return SiteEvaluation(
            site=site.name,
            role=site.role,
            outcome=Outcome.ACCEPTED,
            cases=reply.cases,
            suppressed=reply.suppressed,
            seconds=reply.seconds,
            methods=reply.methods,
        )
