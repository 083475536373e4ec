"""Joining a consortium: the site's key pair."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from common.errors import ExitCode, Refusal
from common.files import make_folder, write_atomic
from common.trust import new_site_key, public_key_sha256


@final
@dataclass(frozen=True)
class PublicKey:
    """The half of the key pair that the coordinator gets.

    Attributes:
        path: the file to send.
        key_sha256: digest to compare with the coordinator, e.g. over the telephone.
    """

    path: Path
    key_sha256: str


def make_key_pair(folder: Path) -> PublicKey:
    """Write ``site.key`` (0600) and ``site.pub`` (0644) into a folder.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if there is a key already; ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    private_path, public_path = make_folder(folder) / "site.key", folder / "site.pub"
    if private_path.exists():
        mend = "keep using it, or move it aside to make another"
        raise Refusal(ExitCode.SETTINGS_INVALID, "a key exists already", where=str(private_path), mend=mend)
    private, public = new_site_key()
    write_atomic(private_path, private)
    write_atomic(public_path, public, mode=0o644)
    return PublicKey(public_path, public_key_sha256(public))
