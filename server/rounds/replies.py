"""What the coordinator checks of a reply before it counts for anything."""

from __future__ import annotations

from flwr.app import RecordDict
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import (
    EvaluateReply,
    EvaluateRequest,
    Kind,
    RegisterReply,
    RegisterRequest,
    Reply,
    TrainReply,
    TrainRequest,
    read_reply,
    train_manifests,
    unpack_weights,
)
from common.plausibility import fault_of
from common.roles import Role
from common.study import Study
from server.consortium import AdmittedSite
from server.rounds.record import SiteRecord


def read_register(record: RecordDict, request: RegisterRequest, admitted: AdmittedSite, study: Study) -> RegisterReply:
    """A registration whose role and case numbers are such as the site was admitted with, and fit each other.

    Raises:
        Refusal: ``EXCHANGE_INVALID``, ``ROLE_REFUSED``.
    """
    reply = read_reply(record, Kind.REGISTER)
    assert isinstance(reply, RegisterReply)  # noqa: S101 - the kind decides the type
    unpack_weights(record, {})
    _check_identity(reply.study_sha256, reply.run, request)
    role = admitted.role
    if reply.role is not role:
        mend = "make the site's settings and the coordinator's admission name the same role"
        raise Refusal(
            ExitCode.ROLE_REFUSED, f"site says {reply.role.value}, admitted as {role.value}", where="role", mend=mend
        )
    if role is Role.EVALUATE and reply.train_cases:
        raise _invalid("held-out site has training cases", "train_cases")
    if admitted.most_cases is not None and reply.flow.used > admitted.most_cases:
        raise _invalid(f"{reply.flow.used} cases, admitted with at most {admitted.most_cases}", "flow.used")
    _check_plausible(reply, study)
    return reply


def read_train(
    record: RecordDict, request: TrainRequest, site: SiteRecord, study: Study
) -> tuple[TrainReply, dict[str, dict[str, Tensor]]]:
    """A training reply and its weights, held against manifest, registration and what the study asks for.

    Raises:
        Refusal: ``EXCHANGE_INVALID``.
    """
    reply = read_reply(record, Kind.TRAIN)
    assert isinstance(reply, TrainReply)  # noqa: S101 - the kind decides the type
    _check_identity(reply.study_sha256, reply.run, request)
    _check_round(reply.round, request.round)
    if not 0 < reply.cases <= site.train_cases:
        raise _invalid(f"{reply.cases} cases, registered {site.train_cases}", "cases")
    _check_plausible(reply, study)
    return reply, unpack_weights(record, train_manifests(study))


def read_evaluate(record: RecordDict, request: EvaluateRequest, site: SiteRecord, study: Study) -> EvaluateReply:
    """An evaluation reply whose statistics fit the registration, the study's minimum count and what metrics can be.

    Raises:
        Refusal: ``EXCHANGE_INVALID``.
    """
    reply = read_reply(record, Kind.EVALUATE)
    assert isinstance(reply, EvaluateReply)  # noqa: S101 - the kind decides the type
    unpack_weights(record, {})
    _check_identity(reply.study_sha256, reply.run, request)
    _check_round(reply.round, request.round)
    if reply.cases > site.evaluation_cases:
        raise _invalid(f"{reply.cases} cases, registered {site.evaluation_cases}", "cases")
    _check_plausible(reply, study)
    return reply


def _check_plausible(reply: Reply, study: Study) -> None:
    if fault := fault_of(reply, study):
        raise _invalid(fault.what, fault.where)


def _check_identity(study_sha256: str, run: str, request: RegisterRequest | TrainRequest | EvaluateRequest) -> None:
    if (study_sha256, run) != (request.study_sha256, request.run):
        raise _invalid("reply to another study or run", "study_sha256")


def _check_round(got: int, asked: int) -> None:
    if got != asked:
        raise _invalid(f"reply to round {got}, asked for {asked}", "round")


def _invalid(what: str, where: str) -> Refusal:
    return Refusal(ExitCode.EXCHANGE_INVALID, what, where=where, mend="check the site's release, settings and log")
