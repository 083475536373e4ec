"""The coordinator's side of signed messages: it seals each request for one site, and knows its answer again.

It also remembers of every key what its last reply said: the ledger's head, which the next request countersigns, and the
process that answered, because two machines with one key have two.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from flwr.app import Message, RecordDict
from pydantic import TypeAdapter, ValidationError

from common.errors import ExitCode, Refusal
from common.exchange import (
    LedgerHead,
    ReplyEnvelope,
    Request,
    RequestEnvelope,
    new_nonce,
    opened_reply,
    sealed,
)
from common.files import write_atomic
from common.signatures import SigningKey
from server.link.inspection import Addressee

log = logging.getLogger("tomoray.coordinator")

REMEMBERED_PROCESSES = 16
_HEADS = TypeAdapter(dict[str, LedgerHead])


@dataclass
class _Seen:
    """What a key's replies said so far."""

    ledger: LedgerHead | None = None
    processes: list[str] = field(default_factory=list)


@final
class Correspondence:
    """Seals requests, and inspects replies before they are fetched.

    Args:
        key: the coordinator's.
        sites: whom it writes to, by name.
        memory: file that keeps what ledgers said, so that a restart forgets none.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if that file is damaged.
    """

    def __init__(self, key: SigningKey, sites: Mapping[str, Addressee], memory: Path | None = None) -> None:
        self._key = key
        self._memory = memory
        self._sender = key.verifying.sha256
        self.sites = dict(sites)
        self._seen = {key_sha256: _Seen(head) for key_sha256, head in _remembered(memory).items()}
        self._asked: dict[str, tuple[RequestEnvelope, Addressee]] = {}
        self._unsigned: set[str] = set()

    def envelope(self, site: str, request: Request, record: RecordDict, attempt: int) -> RequestEnvelope:
        """What is to be signed of a salted record for a site; its nonce is new each time."""
        key_sha256 = self.sites[site].key.sha256
        seen = self._seen.setdefault(key_sha256, _Seen())
        return RequestEnvelope(
            kind=request.kind,
            study=request.study_sha256,
            run=request.run,
            round=getattr(request, "round", 0),
            attempt=attempt,
            nonce=new_nonce(),
            sender=self._sender,
            receiver=key_sha256,
            content=record.object_id,
            witnessed=seen.ledger,
            answered_by=seen.processes[-1] if seen.processes else None,
        )

    def seal(self, envelope: RequestEnvelope) -> str:
        """The signed text that travels in the message's head."""
        return sealed(envelope, self._key)

    def expect(self, message_id: str, site: str, envelope: RequestEnvelope) -> None:
        """From now on the answer to this message is known."""
        self._asked[message_id] = (envelope, self.sites[site])

    def forget(self, message_id: str) -> None:
        """Nobody waits for the answer to this message any more."""
        self._asked.pop(message_id, None)
        self._unsigned.discard(message_id)

    def inspect(self, head: Message, content: str) -> bool:
        """Whether a reply is the signed answer of the site that was asked, over the record with this id."""
        message_id = head.metadata.reply_to_message_id
        try:
            signed = self._opened(message_id, head.metadata.group_id)
        except Refusal as refusal:
            log.warning("a reply was dropped unread: %s", refusal)
            self._unsigned.add(message_id)
            return False
        if signed is None:
            return False
        if signed.content != content:
            log.warning("a reply was dropped unread: another record than was signed")
            self._unsigned.add(message_id)
            return False
        return True

    def was_unsigned(self, message_id: str) -> bool:
        """Whether what came as the answer to this message was dropped for its signature."""
        return message_id in self._unsigned

    def signed(self, reply: Message) -> ReplyEnvelope | None:
        """What the site signed of a reply that passed the inspection; None of an error that this side made."""
        if not reply.metadata.group_id:
            return None
        return self._opened(reply.metadata.reply_to_message_id, reply.metadata.group_id)

    def note(self, signed: ReplyEnvelope) -> tuple[str, ...]:
        """Remember a reply; what a person should know of it."""
        seen = self._seen.setdefault(signed.request.receiver, _Seen())
        remarks = []
        if signed.process in seen.processes[:-1]:
            remarks.append("two computers answer with this site's key: one of them must stop")
        elif seen.ledger is not None and signed.ledger.sequence <= seen.ledger.sequence:
            remarks.append(f"this site's ledger has lost entries: it ended at {seen.ledger.sequence} before")
        if not seen.processes or seen.processes[-1] != signed.process:
            seen.processes = [*seen.processes[-REMEMBERED_PROCESSES:], signed.process]
        seen.ledger = signed.ledger
        if self._memory is not None:
            heads = {key: kept.ledger for key, kept in self._seen.items() if kept.ledger is not None}
            write_atomic(self._memory, _HEADS.dump_json(heads))
        return tuple(remarks)

    def _opened(self, message_id: str, text: str) -> ReplyEnvelope | None:
        asked = self._asked.get(message_id)
        return None if asked is None else opened_reply(text, asked[1].key, asked[0])


def _remembered(memory: Path | None) -> dict[str, LedgerHead]:
    if memory is None or not memory.exists():
        return {}
    try:
        return _HEADS.validate_json(memory.read_bytes())
    except ValidationError as error:
        mend = "move it aside: the ledgers of the sites are then witnessed from now on"
        raise Refusal(ExitCode.SETTINGS_INVALID, "damaged file", where=str(memory), mend=mend) from error
