"""The one gate: nothing leaves the site but what it releases, and it records what it releases first.

The gate does not trust its caller. It reads the packed record back as the coordinator will, holds it against the
study's wire contract, its privacy settings and what can be true, writes the ledger, and only then hands out the signed
message to send. What comes in passes it too: a request that the coordinator did not sign for this site is dropped
unread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict

from client.gate.desk import Desk, refused_letter
from client.gate.ledger import Ledger
from client.gate.ledger_entry import SentRecord
from client.gate.ledger_export import remember_keys
from common.errors import ExitCode, Refusal
from common.exchange import (
    WEIGHT_RECORDS,
    Kind,
    Manifest,
    RefusalCode,
    Reply,
    RequestEnvelope,
    Weights,
    pack,
    read_reply,
    salted,
    train_manifests,
    unpack_weights,
    unsalted,
)
from common.plausibility import fault_of
from common.study import Study

HEADER = "header"
MAX_RECORDED = 4096
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
        desk: opens requests and seals replies.
    """

    def __init__(self, ledger: Ledger, desk: Desk) -> None:
        self._ledger = ledger
        self._desk = desk
        ledger.sign_with(desk.key)
        remember_keys(ledger, desk.key.verifying, desk.coordinator)

    def admit(self, head: Message, content: str) -> None:
        """Let a request in, by its head and the id of the record that it announces.

        Raises:
            Refusal: ``EXCHANGE_INVALID`` if the coordinator did not sign just this for this site, or if it came before.
        """
        envelope = self._desk.opened(head)
        if envelope.content != content:
            raise refused_letter("another record than was signed")
        if self._ledger.knows_request(envelope.nonce):
            raise refused_letter("this very request came before")

    def receive(self, message: Message) -> RequestEnvelope:
        """Open and record a request that was fetched; afterwards the message holds what the coordinator packed.

        Raises:
            Refusal: ``EXCHANGE_INVALID`` as :meth:`admit` does, and if the record is another or has no salt.
        """
        self.admit(message, message.content.object_id)
        envelope = self._desk.opened(message)
        record = unsalted(message.content)
        content = record.get("header")
        self._ledger.append(
            "request",
            kind=envelope.kind.value,
            message=_id(message),
            header=str(content.get("json", ""))[:MAX_RECORDED] if isinstance(content, ConfigRecord) else "",
            records=tuple(_sent(name, record) for name in sorted(record) if name in (HEADER, *WEIGHT_RECORDS)),
            content=envelope.content,
            envelope=message.metadata.group_id,
        )
        message.content = record
        return envelope

    def is_contradicted(self, request: RequestEnvelope) -> bool:
        """Whether the coordinator has seen an entry of this site's ledger that is not there any more."""
        return request.witnessed is not None and not self._ledger.holds(request.witnessed)

    def is_shared(self, request: RequestEnvelope) -> bool:
        """Whether a request shows that another computer answers with this site's key."""
        return self._desk.is_shared(request)

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
        travelling = salted(record)
        self._ledger.append(
            "reply",
            kind=reply.kind.value,
            message=_id(in_reply_to),
            header=header,
            records=sent,
            content=travelling.object_id,
        )
        return self._sealed(travelling, in_reply_to)

    def refuse(self, code: RefusalCode, *, in_reply_to: Message) -> Released:
        """Record and release an error reply that carries the code alone."""
        kind = in_reply_to.metadata.message_type
        self._ledger.append("refusal", kind=kind, message=_id(in_reply_to), header=code.value, records=())
        return self._sealed(code, in_reply_to)

    def _sealed(self, answer: RecordDict | RefusalCode, in_reply_to: Message) -> Released:
        request = self._desk.opened(in_reply_to)
        if isinstance(answer, RefusalCode):
            seal = self._desk.reply(request, "", answer, self._ledger.head)
            message = Message(Error(code=ERROR_CODE, reason=answer.value), reply_to=in_reply_to)
        else:
            seal = self._desk.reply(request, answer.object_id, None, self._ledger.head)
            message = Message(answer, reply_to=in_reply_to)
        message.metadata.group_id = seal
        return Released(message)


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
