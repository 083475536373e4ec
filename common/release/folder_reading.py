"""A release's folder, believed step by step: first the signature, then what it covers, and nothing else.

Every file is opened once, below the folder's own descriptor, as a plain file and no link, up to a bound; what is hashed
is what is then used.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from pydantic import BaseModel
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import weights_sha256
from common.release.card import CARD_FILE, NetworkCard
from common.release.checksums import (
    CHECKSUMS_FILE,
    GENERATOR_FILE,
    LISTED_FILES,
    PAGE_FILE,
    SIGNATURE_FILE,
    read_checksums,
)
from common.release.generator_file import generator_tensors, largest_file_bytes, read_weights
from common.release.ssh_signature import ReleaseKey, expect_signature
from common.study import Study

_MOST_BYTES = {CHECKSUMS_FILE: 4096, SIGNATURE_FILE: 4096, CARD_FILE: 1 << 20, PAGE_FILE: 1 << 22}
_SHOWN_NAME = 80


@final
@dataclass(frozen=True)
class NetworkRelease:
    """A release whose signature and contents hold.

    Attributes:
        card: what the release says of its generator.
        weights: the generator's parameters, float32, on the CPU.
    """

    card: NetworkCard
    weights: dict[str, Tensor]


def read_release(folder: Path, key: ReleaseKey, asked: Study | None = None) -> NetworkRelease:
    """Verify a release and take it in.

    Args:
        folder: the release.
        key: the coordinator's public key, from elsewhere than the folder.
        asked: the study that the release must be of; any if not given.

    Raises:
        Refusal: ``RELEASE_NOT_SIGNED``, ``RELEASE_FORMAT_UNKNOWN``, ``RELEASE_DAMAGED``, ``RELEASE_CARD_INVALID``,
            ``RELEASE_OF_ANOTHER_STUDY`` or ``RELEASE_WEIGHTS_INVALID``, in this order of judgement.
    """
    with _opened(folder) as files:
        checksums = bytes(files.content(CHECKSUMS_FILE, _MOST_BYTES[CHECKSUMS_FILE]))
        signature = bytes(files.content(SIGNATURE_FILE, _MOST_BYTES[SIGNATURE_FILE]))
        expect_signature(checksums, signature, key, files.where(SIGNATURE_FILE))
        listed = read_checksums(checksums, files.where(CHECKSUMS_FILE))
        files.expect_no_others()
        content = files.signed_content(CARD_FILE, _MOST_BYTES[CARD_FILE], listed)
        card = NetworkCard.from_bytes(bytes(content), files.where(CARD_FILE))
        if asked is not None:
            _expect_study(card, asked, files.where(CARD_FILE))
        files.signed_content(PAGE_FILE, _MOST_BYTES[PAGE_FILE], listed)
        data = files.signed_content(GENERATOR_FILE, largest_file_bytes(card.study), listed)
        weights = read_weights(data, card.study, files.where(GENERATOR_FILE))
        _expect_described(card, weights, files.where(CARD_FILE))
    return NetworkRelease(card, weights)


def _expect_study(card: NetworkCard, asked: Study, where: str) -> None:
    """The card's study is the one asked for; what differs most to a user is named first."""
    parts: tuple[tuple[str, BaseModel | None, BaseModel | None], ...] = (
        ("geometry", card.study.geometry, asked.geometry),
        ("spectrum", card.study.radiograph.spectrum, asked.radiograph.spectrum),
        ("grid", card.study.grid, asked.grid),
        ("HU window", card.study.window, asked.window),
        ("study", card.study, asked),
    )
    for name, found, wanted in parts:
        if found != wanted:
            mend = "name the study that the release was trained in, or get the release of the study asked for"
            what = f"release of another {name} than asked for: {_differing(found, wanted)}"
            raise Refusal(ExitCode.RELEASE_OF_ANOTHER_STUDY, what, where=where, mend=mend)


def _differing(found: BaseModel | None, wanted: BaseModel | None) -> str:
    """The first field that differs, with both values where they are short."""
    if found is None or wanted is None:
        return "one states it, the other does not"
    name = next(name for name in type(found).model_fields if getattr(found, name) != getattr(wanted, name))
    values = getattr(found, name), getattr(wanted, name)
    if any(isinstance(value, BaseModel) for value in values):
        return name
    return f"{name} {values[0]} instead of {values[1]}"


def _expect_described(card: NetworkCard, weights: dict[str, Tensor], where: str) -> None:
    parameters = sum(spec.elements for spec in generator_tensors(card.study))
    if card.generator_sha256 != weights_sha256(weights) or card.generator_parameters != parameters:
        mend = "get the release anew from the coordinator"
        what = "card describes other weights than the release holds"
        raise Refusal(ExitCode.RELEASE_CARD_INVALID, what, where=where, mend=mend)


@final
class _Files:
    """The files of an open folder."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder = folder
        self._descriptor = descriptor

    def where(self, name: str) -> str:
        """The file's path, for refusals."""
        return str(self._folder / name)

    def expect_no_others(self) -> None:
        """The folder holds the files of a release and nothing else, whatever else may be called."""
        others = sorted(self._names() - {*LISTED_FILES, CHECKSUMS_FILE, SIGNATURE_FILE})
        if others:
            what = f"{ascii(others[0])[:_SHOWN_NAME]} is no file of a release"
            raise _damaged(what, str(self._folder), "take it away, or get the release anew")

    def _names(self) -> set[str]:
        with os.scandir(self._descriptor) as entries:
            return {entry.name for entry in entries}

    def signed_content(self, name: str, most_bytes: int, listed: dict[str, str]) -> bytearray:
        """A file's content, if it is the one that was signed."""
        content = self.content(name, most_bytes)
        if hashlib.sha256(content).hexdigest() != listed[name]:
            raise _damaged("not the file that was signed", self.where(name))
        return content

    def content(self, name: str, most_bytes: int) -> bytearray:
        """All of a plain file of at most so many bytes."""
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._descriptor
            )
            try:
                return self._read(name, descriptor, most_bytes)
            finally:
                os.close(descriptor)
        except FileNotFoundError as error:
            raise _damaged("file is missing", self.where(name)) from error
        except OSError as error:
            what = f"a link, or unreadable ({type(error).__name__})"
            raise _damaged(what, self.where(name)) from error

    def _read(self, name: str, descriptor: int, most_bytes: int) -> bytearray:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _damaged("no plain file", self.where(name))
        if status.st_size > most_bytes:
            raise _damaged(f"larger than {most_bytes} bytes", self.where(name))
        content = bytearray(status.st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            if stream.readinto(content) != status.st_size or stream.read(1):
                raise _damaged("changed while it was read", self.where(name))
        return content


@contextmanager
def _opened(folder: Path) -> Iterator[_Files]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        mend = "name the folder of a release, which holds SHA256SUMS"
        raise _damaged(f"no folder to read ({type(error).__name__})", str(folder), mend) from error
    try:
        yield _Files(folder, descriptor)
    finally:
        os.close(descriptor)


def _damaged(what: str, where: str, mend: str = "get the release anew from the coordinator") -> Refusal:
    return Refusal(ExitCode.RELEASE_DAMAGED, what, where=where, mend=mend)
