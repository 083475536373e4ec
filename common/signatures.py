"""Signatures over what travels: a key signs for one purpose at a time, and nothing it signed serves another.

The coordinator's key is Ed25519, a site's EC P-384 with SHA-384. Every signed text starts with its purpose, so that a
signed request can stand for no reply, no ledger entry and no release.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from common.errors import ExitCode, Refusal
from common.trust import MAX_KEY_BYTES

_HASH = ec.ECDSA(hashes.SHA384())


class Purpose(StrEnum):
    """What a signature is for."""

    REQUEST = "tomoray-request-1"
    REPLY = "tomoray-reply-1"
    LEDGER = "tomoray-ledger-1"


@final
@dataclass(frozen=True)
class VerifyingKey:
    """A public half, which says whether a signature holds."""

    public: Ed25519PublicKey | ec.EllipticCurvePublicKey

    @property
    def openssh(self) -> bytes:
        """One OpenSSH line without comment."""
        return self.public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)

    @property
    def sha256(self) -> str:
        """SHA-256 in hex, as ``ssh-keygen -l -E sha256`` means it."""
        return hashlib.sha256(base64.b64decode(self.openssh.split()[1])).hexdigest()

    def holds(self, purpose: Purpose, message: bytes, signature: bytes) -> bool:
        """Whether this key signed these very bytes for this purpose."""
        text = _text(purpose, message)
        try:
            if isinstance(self.public, Ed25519PublicKey):
                self.public.verify(signature, text)
            else:
                self.public.verify(signature, text, _HASH)
        except InvalidSignature:
            return False
        return True


@final
@dataclass(frozen=True)
class SigningKey:
    """A private half."""

    private: Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    @property
    def verifying(self) -> VerifyingKey:
        """The public half."""
        return VerifyingKey(self.private.public_key())

    def sign(self, purpose: Purpose, message: bytes) -> bytes:
        """The signature of these bytes for this purpose."""
        text = _text(purpose, message)
        if isinstance(self.private, Ed25519PrivateKey):
            return self.private.sign(text)
        return self.private.sign(text, _HASH)


def verifying_key(openssh_line: str, *, where: str) -> VerifyingKey:
    """A public key of either kind from its OpenSSH line.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if it is neither Ed25519 nor EC P-384.
    """
    mend = "copy the one line that starts with ssh-ed25519 or ecdsa-sha2-nistp384"
    try:
        key = serialization.load_ssh_public_key(openssh_line[:MAX_KEY_BYTES].encode())
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm) as error:
        raise Refusal(ExitCode.SETTINGS_INVALID, "not an OpenSSH public key", where=where, mend=mend) from error
    is_site = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
    if isinstance(key, Ed25519PublicKey) or (is_site and isinstance(key, ec.EllipticCurvePublicKey)):
        return VerifyingKey(key)
    raise Refusal(ExitCode.SETTINGS_INVALID, "neither Ed25519 nor EC P-384", where=where, mend=mend)


def _text(purpose: Purpose, message: bytes) -> bytes:
    return purpose.value.encode("ascii") + b"\0" + message
