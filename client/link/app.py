"""The site's answer to a message: message → work → gate → reply.

Whatever comes in, one released message goes out: a reply, or an error that carries a refusal code alone. The reasons in
words stay in the site's own log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import final

from flwr.app import Message

from client.gate import Approvals, Gate, Released
from client.link.work import StudyWork
from common.errors import ExitCode, Refusal
from common.exchange import (
    EvaluateRequest,
    Kind,
    RefusalCode,
    RegisterRequest,
    Request,
    RequestEnvelope,
    TrainRequest,
    evaluate_manifests,
    read_request,
    train_manifests,
    unpack_weights,
)
from common.roles import Role

log = logging.getLogger("tomoray.site")

_CODES = {
    ExitCode.STUDY_NOT_APPROVED: RefusalCode.STUDY_NOT_APPROVED,
    ExitCode.ROLE_REFUSED: RefusalCode.ROLE_FORBIDS,
    ExitCode.EXCHANGE_INVALID: RefusalCode.MESSAGE_INVALID,
    ExitCode.COHORT_TOO_SMALL: RefusalCode.COHORT_UNAVAILABLE,
    ExitCode.TRAINING_DIVERGED: RefusalCode.TRAINING_DIVERGED,
    ExitCode.EGRESS_REFUSED: RefusalCode.EGRESS_REFUSED,
    ExitCode.DISK_FULL: RefusalCode.DISK_FULL,
    ExitCode.DISK_UNWRITABLE: RefusalCode.DISK_FULL,
}


@final
class SiteApp:
    """Answers messages for the approved studies of one site.

    Args:
        role: what this site is; a held-out site refuses to train.
        approvals: the studies this site approved.
        gate: the only way out.
        work_for: gives the work of an approved study; called once it is needed.
    """

    def __init__(self, role: Role, approvals: Approvals, gate: Gate, work_for: Callable[[str], StudyWork]) -> None:
        self._role = role
        self._approvals = approvals
        self._gate = gate
        self._work_for = work_for

    def answer(self, message: Message) -> Released:
        """The released reply to a message.

        Raises:
            Refusal: ``INTERRUPTED`` where the site is being stopped, and where the gate cannot even record an error
                reply (the disk is full): nothing is then sent, and the coordinator asks again.
        """
        try:
            return self._answer(message)
        except Refusal as refusal:
            if refusal.code is ExitCode.INTERRUPTED:
                raise
            log.error("refused: %s", refusal)
            return self.refuse(message, _CODES.get(refusal.code, RefusalCode.INTERNAL))
        except Exception:
            # The coordinator learns that the site failed; the traceback stays in the site's log.
            log.exception("failed while answering")
            return self.refuse(message, RefusalCode.INTERNAL)

    def refuse(self, message: Message, code: RefusalCode) -> Released:
        """An error reply with this code."""
        return self._gate.refuse(code, in_reply_to=message)

    def _answer(self, message: Message) -> Released:
        envelope = self._gate.receive(message)
        if self._gate.is_shared(envelope):
            log.error("another computer answers with this site's key: stop one of them, or make a key for each")
        if self._gate.is_contradicted(envelope):
            log.error("the coordinator has seen entries of this ledger that are gone: tell your security officer")
        kind = envelope.kind
        request = read_request(message.content, kind)
        _check_signed(envelope, request)
        study = self._approvals.study(request.study_sha256)
        self._check_role(kind)
        work = self._work_for(request.study_sha256)
        if isinstance(request, RegisterRequest):
            unpack_weights(message.content, {})
            return self._gate.release(work.register(request), {}, study=study, in_reply_to=message)
        if isinstance(request, EvaluateRequest):
            weights = unpack_weights(message.content, evaluate_manifests(study))
            return self._gate.release(work.evaluate(request, weights), {}, study=study, in_reply_to=message)
        return self._train(message, request, work)

    def _train(self, message: Message, request: TrainRequest, work: StudyWork) -> Released:
        manifests = train_manifests(work.study)
        reply, trained = work.train(request, unpack_weights(message.content, manifests))
        return self._gate.release(reply, trained, study=work.study, in_reply_to=message)

    def _check_role(self, kind: Kind) -> None:
        if kind is Kind.TRAIN and self._role is not Role.TRAIN:
            mend = "the coordinator must not ask a held-out site to train"
            raise Refusal(ExitCode.ROLE_REFUSED, "this site is held out", where="train request", mend=mend)


def _check_signed(envelope: RequestEnvelope, request: Request) -> None:
    """What was signed and what was sent are about the same round."""
    said = (request.study_sha256, request.run, getattr(request, "round", 0))
    if said != (envelope.study, envelope.run, envelope.round):
        mend = "check that both sides run the same release"
        raise Refusal(ExitCode.EXCHANGE_INVALID, "signed for another round", where="request", mend=mend)


def works_by_study(works: Mapping[str, StudyWork]) -> Callable[[str], StudyWork]:
    """Looks a study's work up by hash.

    Raises (from the returned function):
        Refusal: ``COHORT_TOO_SMALL`` where the site has no usable cohort for the study.
    """

    def work_for(sha256: str) -> StudyWork:
        if sha256 not in works:
            mend = "see the site's log for the cohort's verdicts"
            raise Refusal(ExitCode.COHORT_TOO_SMALL, "no cohort for this study", where=sha256[:12], mend=mend)
        return works[sha256]

    return work_for
