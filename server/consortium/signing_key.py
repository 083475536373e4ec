"""The coordinator's key for releases and requests: Ed25519, made when it is first needed, never shown, never replaced.

It is no key of a certificate: those say with whom a site speaks, this one what a site may believe, now and long after.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExitCode, Refusal
from common.files import make_folder, write_atomic
from common.processes import sole_process
from common.release import release_key_of
from common.trust import MAX_KEY_BYTES

PRIVATE_FILE, PUBLIC_FILE = "release.key", "release.pub"


def signing_key(folder: Path) -> Ed25519PrivateKey:
    """The key in ``release.key`` (OpenSSH, not encrypted, 0600); made where absent, with ``release.pub`` beside it.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if the file is open to other users, a link, or no such key, or if another process
            makes one just now; ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    path = make_folder(folder) / PRIVATE_FILE
    with sole_process(folder / "lock"):
        if not os.path.lexists(path):
            write_atomic(path, _openssh_pem(Ed25519PrivateKey.generate()))
        key = _read(path)
        public = f"{release_key_of(key).openssh}\n".encode("ascii")
        if not (folder / PUBLIC_FILE).exists():
            write_atomic(folder / PUBLIC_FILE, public, mode=0o644)
    return key


def _openssh_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def _read(path: Path) -> Ed25519PrivateKey:
    mend = "restore it from a backup; with another key every site must pin its public half anew"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            is_open = bool(os.fstat(stream.fileno()).st_mode & 0o077)
            content = stream.read(MAX_KEY_BYTES)
        key = serialization.load_ssh_private_key(content, password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        what = f"release key unreadable ({type(error).__name__})"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=mend) from error
    if is_open:
        mend = "set its mode to 0600; if others may have read it, make another and have every site pin it"
        raise Refusal(ExitCode.SETTINGS_INVALID, "release key is open to other users", where=str(path), mend=mend)
    if not isinstance(key, Ed25519PrivateKey):
        raise Refusal(ExitCode.SETTINGS_INVALID, "release key is not Ed25519", where=str(path), mend=mend)
    return key
