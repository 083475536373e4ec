"""One line of the ledger: what came or left, chained to the line before it and signed with the site's key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Literal, final

from pydantic import BaseModel, ConfigDict

from common.signatures import Purpose, SigningKey, VerifyingKey

LedgerEvent = Literal["request", "reply", "refusal", "recovered"]
# Lines written before these existed lack them, and must still have the hash they had.
_YOUNGER = ("content", "envelope", "signer")


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class SentRecord(_Line):
    """One record that came or left: its name, its size, and the hash of its bytes."""

    name: str
    bytes: int
    sha256: str


@final
class LedgerEntry(_Line):
    """One arrival or departure. ``header`` is the message's text; weights are named by hash and size.

    Attributes:
        content: SHA-256 of the very record that travelled, in which the hashes of all its parts stand.
        envelope: of a request, what the coordinator signed, as it came.
        signer: SHA-256 of the site's key that signed this entry's hash.
        signature: that signature, in base64.
    """

    sequence: int
    at: str
    event: LedgerEvent
    kind: str
    message: str
    header: str
    records: tuple[SentRecord, ...]
    previous: str
    content: str = ""
    envelope: str = ""
    signer: str = ""
    hash: str = ""
    signature: str = ""

    def computed_hash(self) -> str:
        """SHA-256 over the entry's other fields as canonical JSON."""
        document = self.model_dump(mode="json", exclude={"hash", "signature"})
        document = {name: value for name, value in document.items() if value or name not in _YOUNGER}
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def sealed(self, key: SigningKey | None) -> LedgerEntry:
        """The entry with its hash and, where there is a key, its signature."""
        named = self.model_copy(update={"signer": key.verifying.sha256 if key else ""})
        digest = named.computed_hash()
        signature = key.sign(Purpose.LEDGER, digest.encode("ascii")) if key else b""
        return named.model_copy(update={"hash": digest, "signature": base64.b64encode(signature).decode("ascii")})

    def is_signed_by(self, key: VerifyingKey) -> bool:
        """Whether this key signed the entry's hash."""
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except binascii.Error:
            return False
        return key.holds(Purpose.LEDGER, self.hash.encode("ascii"), signature)
