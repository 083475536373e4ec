"""The one gate: nothing leaves the site but what it releases, and it records what it releases first.

The gate does not trust its caller. It reads the packed record back as the coordinator will, holds it against the
study's wire contract, its privacy settings and what can be true, writes the ledger, and only then hands out the
message to send.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict

from client.gate.ledger import Ledger, SentRecord
from common.errors import ExitCode, Refusal
from common.exchange import (
    Kind,
    Manifest,
    RefusalCode,
    Reply,
    Weights,
    pack,
    read_reply,
    train_manifests,
    unpack_weights,
)
from common.plausibility import fault_of
from common.study import Study

ERROR_CODE = 200
"""Flower error code of every refusal of this software; the reason is a ``RefusalCode`` and nothing else."""


@final
@dataclass(frozen=True)
class Released:
    """A message that passed the gate. Only the gate makes these, and only these are sent."""

    message: Message


@final
class Gate:
    """The gate of one site.

    Args:
        ledger: where each release is recorded before it is handed out.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def release(
        self,
        reply: Reply,
        weights: Mapping[str, Weights],
        *,
        study: Study,
        in_reply_to: Message,
    ) -> Released:
        """Check, record and release a reply.

        Raises:
            Refusal: ``EGRESS_REFUSED`` if the reply holds anything that the wire contract or the study's privacy
                settings do not allow; ``DISK_FULL`` or ``DISK_UNWRITABLE`` if it cannot be recorded.
        """
        manifests = train_manifests(study) if reply.kind is Kind.TRAIN else {}
        if set(weights) != set(manifests):
            raise _refused(f"{reply.kind.value} replies carry {sorted(manifests)} and nothing else", "weights")
        record = _packed(reply, {name: (manifest, weights[name]) for name, manifest in manifests.items()})
        _check(record, reply, manifests, study)
        header = str(_header(record)["json"])
        sent = tuple(_sent(name, record) for name in sorted(record))
        self._ledger.append("reply", kind=reply.kind.value, message=_id(in_reply_to), header=header, records=sent)
        return Released(Message(record, reply_to=in_reply_to))

    def refuse(self, code: RefusalCode, *, in_reply_to: Message) -> Released:
        """Record and release an error reply that carries the code alone."""
        kind = in_reply_to.metadata.message_type
        self._ledger.append("refusal", kind=kind, message=_id(in_reply_to), header=code.value, records=())
        return Released(Message(Error(code=ERROR_CODE, reason=code.value), reply_to=in_reply_to))


def _packed(reply: Reply, weights: Mapping[str, tuple[Manifest, Weights]]) -> RecordDict:
    try:
        return pack(reply, weights)
    except Refusal as refusal:
        raise _refused(refusal.what, refusal.where) from refusal


def _check(record: RecordDict, reply: Reply, manifests: Mapping[str, Manifest], study: Study) -> None:
    if reply.study_sha256 != study.sha256:
        raise _refused("reply names another study", "study_sha256")
    if fault := fault_of(reply, study):
        raise _refused(fault.what, fault.where)
    try:
        if read_reply(record, reply.kind) != reply:
            raise _refused("packed reply differs from the reply", "header")
        unpack_weights(record, manifests)
    except Refusal as refusal:
        raise _refused(refusal.what, refusal.where) from refusal


def _header(record: RecordDict) -> ConfigRecord:
    header = record["header"]
    if not isinstance(header, ConfigRecord):
        raise _refused("header is not a config record", "header")
    return header


def _sent(name: str, record: RecordDict) -> SentRecord:
    content = record[name]
    digest, size = hashlib.sha256(), 0
    if isinstance(content, ArrayRecord):
        for key in sorted(content):
            digest.update(f"{key}\0".encode())
            digest.update(content[key].data)
            size += len(content[key].data)
    else:
        data = str(_header(record)["json"]).encode()
        digest.update(data)
        size = len(data)
    return SentRecord(name=name, bytes=size, sha256=digest.hexdigest())


def _id(message: Message) -> str:
    return message.metadata.message_id[:16]


def _refused(what: str, where: str) -> Refusal:
    mend = "nothing was sent; report this to the makers with the ledger's last lines"
    return Refusal(ExitCode.EGRESS_REFUSED, what, where=where, mend=mend)
