"""The signed half of a message: what it is, from whom, to whom, and the hash of all that travels with it.

An envelope travels in the message's head, so that it is verified before anything else is fetched, let alone unpacked.
``content`` is Flower's id of the record: the SHA-256 of its bytes, in which the ids of its parts stand, and so on down
to every piece of every array. Whoever fetches only what hashes to its id has fetched only what was signed.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from typing import Annotated, Final, Literal, TypeVar, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import ExitCode, Refusal
from common.exchange.messages import Kind, RefusalCode, Round, RunId
from common.signatures import Purpose, SigningKey, VerifyingKey
from common.study import Sha256

MAX_ENVELOPE_BYTES = 8 * 1024
MAX_SERIAL = 2**53
Nonce = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def new_nonce() -> str:
    """32 random hex digits."""
    return secrets.token_hex(16)


class _Signed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class LedgerHead(_Signed):
    """Where a site's ledger stood: its newest entry's number and hash."""

    sequence: Annotated[int, Field(ge=0, le=MAX_SERIAL)]
    hash: Sha256


@final
class RequestEnvelope(_Signed):
    """What the coordinator signs of one request to one site.

    Attributes:
        kind: what is asked for.
        study: the study's SHA-256.
        run: the run's identity.
        round: the round, 0 outside rounds.
        attempt: how often this was asked before, from 1.
        nonce: random, new for each attempt and site; the reply carries it.
        sender: SHA-256 of the coordinator's key.
        receiver: SHA-256 of the site's key.
        content: SHA-256 of the record that travels with it.
        witnessed: head of the site's ledger in its last reply: the coordinator's countersignature.
        answered_by: process that sent that reply.
    """

    direction: Literal["request"] = "request"
    kind: Kind
    study: Sha256
    run: RunId
    round: Round
    attempt: Annotated[int, Field(ge=1, le=1_000_000)]
    nonce: Nonce
    sender: Sha256
    receiver: Sha256
    content: Sha256
    witnessed: LedgerHead | None = None
    answered_by: Nonce | None = None


@final
class ReplyEnvelope(_Signed):
    """What a site signs of its answer to one request.

    Attributes:
        request: the very request it answers.
        content: SHA-256 of the record that travels with it, empty for a refusal.
        refusal: why the site refused, where it did.
        process: random, of the process that answers: two machines with one key have two.
        ledger: the site's ledger with the entry of this reply.
    """

    direction: Literal["reply"] = "reply"
    request: RequestEnvelope
    content: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    refusal: RefusalCode | None = None
    process: Nonce
    ledger: LedgerHead


_Envelope = TypeVar("_Envelope", RequestEnvelope, ReplyEnvelope)
_PURPOSE: Final[dict[type[RequestEnvelope | ReplyEnvelope], Purpose]] = {
    RequestEnvelope: Purpose.REQUEST,
    ReplyEnvelope: Purpose.REPLY,
}


def sealed(envelope: RequestEnvelope | ReplyEnvelope, key: SigningKey) -> str:
    """The envelope's canonical JSON and its signature, each in base64, with a point between."""
    document = envelope.model_dump(mode="json")
    body = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    signature = key.sign(_PURPOSE[type(envelope)], body)
    return f"{base64.b64encode(body).decode('ascii')}.{base64.b64encode(signature).decode('ascii')}"


def nonce_of(text: str) -> str:
    """The nonce in a sealed request that was verified before, or nothing."""
    try:
        document = json.loads(base64.b64decode(text.partition(".")[0]))
    except ValueError:
        return ""
    return str(document.get("nonce", "")) if isinstance(document, dict) else ""


def opened_request(text: str, coordinator: VerifyingKey, receiver: str | None = None) -> RequestEnvelope:
    """The request in a sealed text that the coordinator signed for this receiver, or for whomever.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` if it is not signed by this key, not well formed, or for another site.
    """
    envelope = _opened(text, coordinator, RequestEnvelope)
    if (envelope.sender, envelope.receiver) != (coordinator.sha256, receiver or envelope.receiver):
        raise _unsigned("request is signed for another site")
    return envelope


def opened_reply(text: str, site: VerifyingKey, request: RequestEnvelope) -> ReplyEnvelope:
    """The reply in a sealed text that the site signed as its answer to this very request.

    Raises:
        Refusal: ``EXCHANGE_INVALID`` as :func:`opened_request` does.
    """
    envelope = _opened(text, site, ReplyEnvelope)
    if envelope.request != request:
        raise _unsigned("reply answers another request")
    if (envelope.refusal is None) != bool(envelope.content):
        raise _unsigned("reply is neither a record nor a refusal")
    return envelope


def _opened(text: str, key: VerifyingKey, model: type[_Envelope]) -> _Envelope:
    """The signature is verified over the bytes that came, before these are parsed."""
    if len(text) > MAX_ENVELOPE_BYTES:
        raise _unsigned("signature is too long")
    head, _, tail = text.partition(".")
    try:
        body, signature = base64.b64decode(head, validate=True), base64.b64decode(tail, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unsigned("message is not signed") from error
    if not key.holds(_PURPOSE[model], body, signature):
        raise _unsigned("signature does not hold")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _unsigned("what was signed is not well formed") from error


def _unsigned(what: str) -> Refusal:
    mend = "check that both sides hold each other's present key; what is not signed is dropped"
    return Refusal(ExitCode.EXCHANGE_INVALID, what, where="signature", mend=mend)
