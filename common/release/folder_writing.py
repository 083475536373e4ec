"""A release's folder, written beside its place and renamed: whole or not at all, and never over another."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExitCode, Refusal
from common.exchange import Weights
from common.files import disk_refusals, make_folder, sync, write_atomic, write_tensors
from common.release.card import CARD_FILE, NetworkCard
from common.release.checksums import (
    CHECKSUMS_FILE,
    GENERATOR_FILE,
    LISTED_FILES,
    PAGE_FILE,
    SIGNATURE_FILE,
    checksums_text,
)
from common.release.folder_reading import read_release
from common.release.ssh_signature import release_key_of, signature_of

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644


def write_release(folder: Path, card: NetworkCard, page: str, weights: Weights, key: Ed25519PrivateKey) -> None:
    """Write and sign a release; equal arguments give equal files.

    Args:
        folder: created; its parents as well.
        card: what the folder says of the generator.
        page: the card for people, HTML.
        weights: the generator's.
        key: the coordinator's.

    Raises:
        Refusal: ``USAGE`` if there is something of the folder's name, ``DISK_FULL`` or ``DISK_UNWRITABLE``, and what
            :func:`common.release.read_release` would refuse of it. The folder is then not there.
    """
    parent = make_folder(folder.parent, mode=_FOLDER_MODE)
    temporary = parent / f".{folder.name}.tmp"
    with disk_refusals(folder):
        if os.path.lexists(folder):
            mend = "name a new folder with --out, or move this one aside"
            raise Refusal(ExitCode.USAGE, "folder exists already", where=str(folder), mend=mend)
        try:
            # A kill may have left one behind.
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(mode=_FOLDER_MODE)
            _write_files(temporary, card, page, weights, key)
            read_release(temporary, release_key_of(key))
            sync(temporary)
            temporary.rename(folder)
            sync(parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _write_files(folder: Path, card: NetworkCard, page: str, weights: Weights, key: Ed25519PrivateKey) -> None:
    write_atomic(folder / CARD_FILE, card.canonical_bytes(), mode=_FILE_MODE)
    write_atomic(folder / PAGE_FILE, page.encode("utf-8"), mode=_FILE_MODE)
    write_tensors(folder / GENERATOR_FILE, weights, mode=_FILE_MODE)
    checksums = checksums_text({name: _sha256(folder / name) for name in LISTED_FILES})
    write_atomic(folder / CHECKSUMS_FILE, checksums, mode=_FILE_MODE)
    write_atomic(folder / SIGNATURE_FILE, signature_of(checksums, key), mode=_FILE_MODE)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
