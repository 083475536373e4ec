"""The coordinator's signature: Ed25519 in OpenSSH's own format, so that anyone can check it without this program.

    ssh-keygen -Y verify -f allowed_signers -I coordinator -n tomoray-network-release -s SHA256SUMS.sig < SHA256SUMS

The format is SSHSIG (PROTOCOL.sshsig of OpenSSH): what is signed is the namespace and the message's SHA-512. Of the
several spellings that base64 allows, only the one that is written here is read.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from common.errors import ExitCode, Refusal
from common.signatures import VerifyingKey
from common.trust import MAX_KEY_BYTES

NAMESPACE = b"tomoray-network-release"
_ALGORITHM = b"ssh-ed25519"
_KEY_BYTES, _SIGNATURE_BYTES, _LINE = 32, 64, 70
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
_MEND = "copy the one line that starts with ssh-ed25519, which 'tomoray-coordinator release-key' prints"


@final
@dataclass(frozen=True)
class ReleaseKey:
    """The public half of the key that a coordinator signs releases with.

    Attributes:
        raw: (32 bytes) the Ed25519 public key.
    """

    raw: bytes

    @property
    def openssh(self) -> str:
        """One OpenSSH line without comment."""
        return f"ssh-ed25519 {base64.b64encode(_public_blob(self.raw)).decode('ascii')}"

    @property
    def sha256(self) -> str:
        """SHA-256 in hex, to compare over the telephone."""
        return hashlib.sha256(_public_blob(self.raw)).hexdigest()


def release_key(openssh_line: bytes, *, where: str) -> ReleaseKey:
    """A release key from its OpenSSH line.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if it is no Ed25519 public key.
    """
    try:
        if len(openssh_line) > MAX_KEY_BYTES:
            raise ValueError("too large for a key")
        key = serialization.load_ssh_public_key(openssh_line.strip())
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm) as error:
        raise Refusal(ExitCode.SETTINGS_INVALID, "not an OpenSSH public key", where=where, mend=_MEND) from error
    if not isinstance(key, Ed25519PublicKey):
        raise Refusal(ExitCode.SETTINGS_INVALID, "not an Ed25519 public key", where=where, mend=_MEND)
    return ReleaseKey(key.public_bytes_raw())


def read_release_key(path: Path) -> ReleaseKey:
    """The release key in a file; refuses as :func:`release_key` does, and a file that cannot be read."""
    try:
        with path.open("rb") as stream:
            line = stream.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        what = f"key file unreadable ({type(error).__name__})"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=_MEND) from error
    return release_key(line, where=str(path))


def pinned_key(openssh_line: str | None) -> VerifyingKey:
    """The coordinator's key that a site's settings pin, as what requests are verified with.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if none is pinned, or as :func:`release_key` does.
    """
    where = "coordinator.release_key"
    if openssh_line is None:
        mend = f"set it below [coordinator]: {_MEND}"
        raise Refusal(ExitCode.SETTINGS_INVALID, "no key of the coordinator is pinned", where=where, mend=mend)
    return VerifyingKey(Ed25519PublicKey.from_public_bytes(release_key(openssh_line.encode(), where=where).raw))


def release_key_of(private: Ed25519PrivateKey) -> ReleaseKey:
    """The public half of a private key."""
    return ReleaseKey(private.public_key().public_bytes_raw())


def signature_of(message: bytes, private: Ed25519PrivateKey) -> bytes:
    """The signature's file; the same message and key give the same bytes."""
    return _armoured(release_key_of(private).raw, private.sign(_signed_data(message)))


def expect_signature(message: bytes, armoured: bytes, key: ReleaseKey, where: str) -> None:
    """The signature is the key's, of this message.

    Raises:
        Refusal: ``RELEASE_NOT_SIGNED`` saying whether there is no signature, another key's, or one that does not hold.
    """
    found = _dissected(armoured)
    if found is None:
        raise _not_signed("no Ed25519 signature of a release", where)
    signer, signature = found
    if signer != key.raw:
        what = f"signed with another key, SHA-256 {ReleaseKey(signer).sha256}, than {key.sha256}"
        raise _not_signed(what, where)
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, _signed_data(message))
    except InvalidSignature as error:
        raise _not_signed("signature does not hold", where) from error


def _dissected(armoured: bytes) -> tuple[bytes, bytes] | None:
    """Public key and signature, if the bytes are just what :func:`signature_of` would write of them."""
    body = armoured.removeprefix(_BEGIN).removesuffix(_END).replace(b"\n", b"")
    try:
        blob = base64.b64decode(body, validate=True)
    except binascii.Error:
        return None
    start = len(b"SSHSIG") + 4 + 4 + len(_string(_ALGORITHM)) + 4
    public, signature = blob[start : start + _KEY_BYTES], blob[-_SIGNATURE_BYTES:]
    return (public, signature) if _armoured(public, signature) == armoured else None


def _armoured(public: bytes, signature: bytes) -> bytes:
    fields = (_public_blob(public), NAMESPACE, b"", b"sha512", _string(_ALGORITHM) + _string(signature))
    text = base64.b64encode(b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(_string, fields)))
    lines = (text[start : start + _LINE] + b"\n" for start in range(0, len(text), _LINE))
    return _BEGIN + b"".join(lines) + _END


def _signed_data(message: bytes) -> bytes:
    fields = (NAMESPACE, b"", b"sha512", hashlib.sha512(message).digest())
    return b"SSHSIG" + b"".join(map(_string, fields))


def _public_blob(raw: bytes) -> bytes:
    return _string(_ALGORITHM) + _string(raw)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _not_signed(what: str, where: str) -> Refusal:
    mend = "use nothing of this folder; compare the key with the coordinator by telephone and get the release anew"
    return Refusal(ExitCode.RELEASE_NOT_SIGNED, what, where=where, mend=mend)
