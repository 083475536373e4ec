"""What was retrieved, on disk: whole series in one folder, unfinished ones in another, names that say nothing."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, final

from pydantic import BaseModel, ConfigDict, ValidationError

from client.pacs.search import FoundSeries
from common.files import disk_refusals, make_folder, sync, write_atomic

KeyedName = Callable[..., str]
_ARCHIVE = "archive"
_SUFFIX = ".dcm"
# Which of their headers copies keep: what an earlier release wrote otherwise is retrieved again.
_WRITTEN = "2"


@final
class _Complete(BaseModel):
    """The search whose series are all here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Literal[1] = 1
    search: str


@final
class PacsStore:
    """The site's copy of what a PACS gave. Objects are written beside, synced and moved: what is there is whole.

    Args:
        folder: its place; created if missing.
        name: the site's keyed hash: a kind and the values to name, 32 hex digits.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """

    def __init__(self, folder: Path, name: KeyedName) -> None:
        self._name = name
        self.archive = make_folder(copy_of(folder))
        self._incoming = make_folder(folder / "incoming")
        self._marker = folder / "complete.json"
        self._temporary = folder / "temporary"
        with disk_refusals(self._temporary):
            shutil.rmtree(self._temporary, ignore_errors=True)
        make_folder(self._temporary)

    def series_name(self, found: FoundSeries) -> str:
        """Name of a series' folder."""
        return self._name("pacs series", _WRITTEN, found.study, found.series)

    def instance_name(self, instance: str) -> str:
        """Name of an object's file, without its suffix."""
        return self._name("pacs instance", instance)

    def has_complete(self, criteria: str) -> bool:
        """Whether everything that these criteria found was once here."""
        try:
            complete = _Complete.model_validate_json(self._marker.read_bytes())
        except (OSError, ValidationError):
            return False
        return complete.search == self._name("pacs search", criteria)

    def set_complete(self, criteria: str) -> None:
        """Note that everything that these criteria found is here."""
        write_atomic(self._marker, _Complete(search=self._name("pacs search", criteria)).model_dump_json().encode())

    def count(self, series: str) -> int:
        """Objects of a series that were handed on."""
        return len(_objects(self.archive / series))

    def drop_unfinished(self, series: str) -> None:
        """Remove what was retrieved of a series and never handed on."""
        shutil.rmtree(self._incoming / series, ignore_errors=True)

    def missing(self, series: str, instances: Iterable[str]) -> list[str]:
        """Of the UIDs of a series' objects those that are not here yet."""
        here = _objects(self.archive / series) | _objects(self._incoming / series)
        return [uid for uid in instances if self.instance_name(uid) not in here]

    def keep(self, series: str, instance: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write one object of an unfinished series.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``; nothing of it stays.
        """
        folder = make_folder(self._incoming / series)
        temporary = self._temporary / secrets.token_hex(8)
        target = folder / (instance + _SUFFIX)
        with disk_refusals(self._temporary):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    for part in parts:
                        stream.write(part)
                    stream.flush()
                    os.fsync(stream.fileno())
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    def hand_on(self, series: str, instances: Iterable[str]) -> None:
        """Let a series into the archive now that all of its objects are here; those the PACS no longer has go.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
        """
        names = {self.instance_name(uid) for uid in instances}
        archived, incoming = self.archive / series, self._incoming / series
        with disk_refusals(self.archive):
            for folder in (archived, incoming):
                for name in _objects(folder) - names:
                    (folder / (name + _SUFFIX)).unlink(missing_ok=True)
            if not incoming.is_dir():
                return
            if archived.is_dir():
                for path in incoming.iterdir():
                    path.replace(archived / path.name)
                incoming.rmdir()
            else:
                incoming.rename(archived)
            sync(archived)
            sync(self.archive)

    def keep_only(self, series: Iterable[str]) -> int:
        """Remove every series but these; returns how many the archive loses.

        Raises:
            Refusal: ``DISK_UNWRITABLE``.
        """
        kept = set(series)
        lost = 0
        with disk_refusals(self.archive):
            for folder in (self.archive, self._incoming):
                for path in folder.iterdir():
                    if path.name not in kept:
                        shutil.rmtree(path)
                        lost += folder == self.archive
        return lost


def copy_of(folder: Path) -> Path:
    """The folder of whole series, in the place of a site's copy."""
    return folder / _ARCHIVE


def _objects(folder: Path) -> set[str]:
    """Names of the objects in a folder, without their suffix; none if it is missing."""
    try:
        return {path.stem for path in folder.iterdir()}
    except FileNotFoundError:
        return set()
