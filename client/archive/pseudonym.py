"""Keyed pseudonyms: the same patient keeps one name at this site, and nobody without the site's secret can undo it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import final

from common.errors import ExitCode, Refusal
from common.files import disk_refusals, make_folder, sync

SECRET_BYTES = 32
PSEUDONYM_CHARACTERS = 32


@final
class Pseudonyms:
    """HMAC-SHA256 pseudonyms under one secret (NIST FIPS 198-1), cut to 128 bits.

    Args:
        secret: at least 32 random bytes that never leave the site.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"secret must have at least {SECRET_BYTES} bytes")
        self._secret = secret

    def of(self, kind: str, *values: str) -> str:
        """Pseudonym of an identifier: 32 hex digits.

        Args:
            kind: what is named, e.g. ``"patient"``; equal values of two kinds get unrelated pseudonyms.
            values: the identifier's parts, in order.
        """
        parts = [part.encode("utf-8", "surrogateescape") for part in (kind, *values)]
        # Each part carries its length, so that ("ab", "c") and ("a", "bc") stay apart.
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:PSEUDONYM_CHARACTERS]


def site_pseudonyms(path: Path) -> Pseudonyms:
    """The site's pseudonyms: reads the secret file, or creates it once, readable by its owner alone.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if the file is damaged, not a plain file, or open to other users;
            ``DISK_FULL`` or ``DISK_UNWRITABLE`` if it cannot be created.
    """
    if not path.exists() and not path.is_symlink():
        _create(path)
    return Pseudonyms(_read(path))


def _create(path: Path) -> None:
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with disk_refusals(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(secrets.token_bytes(SECRET_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                # A link, not a rename: of two processes starting at once, the first one's secret stays.
                path.hardlink_to(temporary)
            except FileExistsError:
                return
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    mend = "restore it from the site's backup: without it every patient gets a new pseudonym"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            secret = stream.read(SECRET_BYTES + 1)
    except OSError as error:
        what = f"site secret unreadable ({type(error).__name__})"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=mend) from error
    if status.st_mode & 0o077:
        what = "site secret is open to other users"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend="set its mode to 0600")
    if len(secret) != SECRET_BYTES:
        raise Refusal(ExitCode.SETTINGS_INVALID, "site secret is damaged", where=str(path), mend=mend)
    return secret
