"""Signed letters for tests: a coordinator's key, sites' keys, and apps that answer as a site's desk does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Error, Message, RecordDict

from client.gate import Desk
from common.exchange import (
    LedgerHead,
    RefusalCode,
    RegisterRequest,
    Request,
    RequestEnvelope,
    new_nonce,
    salted,
    sealed,
    unsalted,
)
from common.signatures import SigningKey, VerifyingKey
from common.trust import load_private_key
from server.link import Addressee, InspectingGrid, Line

App = Callable[[Message], Message]
COORDINATOR = SigningKey(Ed25519PrivateKey.generate())
STUDY_SHA256 = "5" * 64
NO_LEDGER = LedgerHead(sequence=0, hash="0" * 64)
ABOUT = RegisterRequest(study_sha256=STUDY_SHA256, run="run")


def new_key() -> SigningKey:
    """A site's key."""
    return SigningKey(ec.generate_private_key(ec.SECP384R1()))


def key_of(openssh_pem: bytes) -> SigningKey:
    """A site's key from its file."""
    return SigningKey(load_private_key(openssh_pem, where="test"))


KEYS = {name: new_key() for name in ("east", "north", "south", "west")}
"""Of a consortium that stays the same from test to test."""


@dataclass
class SignedSite:
    """A site whose app sees plain records, while its letters are opened and sealed around it."""

    app: App
    key: SigningKey = field(default_factory=new_key)
    coordinator: VerifyingKey = COORDINATOR.verifying

    def __post_init__(self) -> None:
        self.desk = Desk(self.key, self.coordinator)

    def answer(self, message: Message) -> Message:
        """The sealed reply to a sealed request."""
        envelope = self.desk.opened(message)
        message.content = unsalted(message.content)
        reply = self.app(message)
        if reply.has_error():
            known = set(RefusalCode)
            code = RefusalCode(reply.error.reason) if reply.error.reason in known else RefusalCode.INTERNAL
            reply.metadata.group_id = self.desk.reply(envelope, "", code, NO_LEDGER)
        else:
            reply.content = salted(reply.content) if "header" in reply.content else reply.content
            reply.metadata.group_id = self.desk.reply(envelope, reply.content.object_id, None, NO_LEDGER)
        return reply

    def admit(self, head: Message, content: str) -> None:
        """Raises Refusal for what the coordinator did not sign."""
        if self.desk.opened(head).content != content:
            raise ValueError("another record than was signed")

    def refuse(self, head: Message, code: RefusalCode = RefusalCode.BUNDLE_UNKNOWN) -> Message:
        """A sealed refusal."""
        reply = Message(Error(200, code.value), reply_to=head)
        reply.metadata.group_id = self.desk.reply(self.desk.opened(head), "", code, NO_LEDGER)
        return reply


def line_of(
    grid: InspectingGrid, nodes: dict[str, int], keys: dict[str, SigningKey], *, reconnect_s: float = 60.0
) -> Line:
    """The line to sites with these nodes and keys."""
    sites = {name: Addressee(node, keys[name].verifying) for name, node in nodes.items()}
    return Line(grid, sites, COORDINATOR, reconnect_s=reconnect_s)


def request_envelope(request: Request, record_id: str, site: SigningKey, **changes: object) -> RequestEnvelope:
    """What the coordinator would sign."""
    envelope = RequestEnvelope(
        kind=request.kind,
        study=request.study_sha256,
        run=request.run,
        round=getattr(request, "round", 0),
        attempt=1,
        nonce=new_nonce(),
        sender=COORDINATOR.verifying.sha256,
        receiver=site.verifying.sha256,
        content=record_id,
    )
    return envelope.model_copy(update=changes)


def signed_request(
    request: Request,
    record: RecordDict,
    site: SigningKey,
    signer: SigningKey = COORDINATOR,
    *,
    raw: bool = False,
    **changes: object,
) -> Message:
    """A request as it arrives at a site: salted unless it is raw, and signed by the coordinator or somebody else."""
    content = record if raw else salted(record)
    envelope = request_envelope(request, content.object_id, site, **changes)
    message = Message(content, 7, request.kind.value, group_id=sealed(envelope, signer))
    message.metadata.__dict__["_message_id"] = message.object_id
    return message
