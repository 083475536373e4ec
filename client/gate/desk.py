"""Where letters are opened and sealed: what the coordinator did not sign for this site is not looked at.

Requests carry the coordinator's signature, replies this site's. Both stand in the message's head, bound to the record
that travels with it, so that a forged request is dropped before anything of it is fetched.
"""

from __future__ import annotations

from typing import final

from flwr.app import Message

from common.errors import ExitCode, Refusal
from common.exchange import (
    LedgerHead,
    RefusalCode,
    ReplyEnvelope,
    RequestEnvelope,
    new_nonce,
    opened_request,
    sealed,
)
from common.signatures import SigningKey, VerifyingKey


@final
class Desk:
    """One process of one site, as its letters show it.

    Args:
        key: this site's.
        coordinator: the key that requests are signed with.
    """

    def __init__(self, key: SigningKey, coordinator: VerifyingKey) -> None:
        self.key = key
        self.coordinator = coordinator
        self.process = new_nonce()
        self._own = key.verifying.sha256
        self._has_answered = False

    def opened(self, head: Message) -> RequestEnvelope:
        """What the coordinator signed of a request.

        Raises:
            Refusal: ``EXCHANGE_INVALID`` if it did not sign it for this site, or as another kind of message.
        """
        envelope = opened_request(head.metadata.group_id, self.coordinator, self._own)
        if head.metadata.message_type != envelope.kind.value:
            raise refused_letter("request is signed as another kind of message")
        return envelope

    def reply(self, request: RequestEnvelope, content: str, refusal: RefusalCode | None, ledger: LedgerHead) -> str:
        """The sealed text of an answer: to a record with this id, or to a refusal."""
        self._has_answered = True
        envelope = ReplyEnvelope(request=request, content=content, refusal=refusal, process=self.process, ledger=ledger)
        return sealed(envelope, self.key)

    def is_shared(self, request: RequestEnvelope) -> bool:
        """Whether another process answered with this site's key after this one did: another computer holds the key."""
        return self._has_answered and request.answered_by not in (None, self.process)


def refused_letter(what: str) -> Refusal:
    """A request that is not taken."""
    mend = "nothing of it was read; tell the coordinator if this goes on"
    return Refusal(ExitCode.EXCHANGE_INVALID, what, where="request", mend=mend)
