"""The site's hash-chained record of everything that left: one JSON line each, synced before anything is sent.

Each entry holds the hash of the entry before it, so that a changed, removed or reordered line breaks the chain. The
newest entry's hash also stands in ``ledger.head``, so that a shortened file is noticed. A torn last line is the trace
of a kill before the send: it is cut off, and the cut is itself recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, final

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import ExitCode, Refusal
from common.exchange import LedgerHead
from common.files import append_line, disk_refusals, make_folder, write_atomic

GENESIS = "0" * 64


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class SentRecord(_Line):
    """One record that left: its name, its size, and the hash of its bytes."""

    name: str
    bytes: int
    sha256: str


@final
class LedgerEntry(_Line):
    """One departure. ``header`` is the reply's text as sent; weights are named by hash and size."""

    sequence: int
    at: str
    event: Literal["reply", "refusal", "recovered"]
    kind: str
    message: str
    header: str
    records: tuple[SentRecord, ...]
    previous: str
    hash: str = ""

    def computed_hash(self) -> str:
        """SHA-256 over the entry's other fields as canonical JSON."""
        document = self.model_dump(mode="json", exclude={"hash"})
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


@final
class Ledger:
    """The ledger in a folder of the site's state.

    Args:
        folder: holds ``ledger.jsonl`` and ``ledger.head``; created where absent.
        recover: cut a torn last line off; without it nothing is written, and the torn line is passed over.

    Raises:
        Refusal: ``LEDGER_BROKEN`` if what stands there does not verify.
    """

    def __init__(self, folder: Path, *, recover: bool = True) -> None:
        self.path = make_folder(folder) / "ledger.jsonl"
        self._head_path = folder / "ledger.head"
        torn = recover and self._cut_torn_line()
        self._sequence, self._head = self._verify()
        if torn:
            self.append("recovered", kind="", message="", header="", records=())

    @classmethod
    def opened(cls, folder: Path) -> Self:
        """An existing ledger, verified and left as it is: the site's own process may be writing to it.

        Raises:
            Refusal: ``SETTINGS_INVALID`` if there is none, ``LEDGER_BROKEN`` if it does not verify.
        """
        if not (folder / "ledger.jsonl").exists():
            mend = "name the 'state' folder of a site that was started"
            raise Refusal(ExitCode.SETTINGS_INVALID, "no ledger", where=str(folder), mend=mend)
        return cls(folder, recover=False)

    @property
    def head(self) -> LedgerHead:
        """Number and hash of the newest entry."""
        return LedgerHead(sequence=self._sequence, hash=self._head)

    def append(
        self,
        event: Literal["reply", "refusal", "recovered"],
        *,
        kind: str,
        message: str,
        header: str,
        records: tuple[SentRecord, ...],
    ) -> LedgerEntry:
        """Record a departure, on disk before this returns.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``; nothing may then be sent.
        """
        draft = LedgerEntry(
            sequence=self._sequence + 1,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            event=event,
            kind=kind,
            message=message,
            header=header,
            records=records,
            previous=self._head,
        )
        entry = draft.model_copy(update={"hash": draft.computed_hash()})
        append_line(self.path, entry.model_dump_json())
        self._sequence, self._head = entry.sequence, entry.hash
        write_atomic(self._head_path, f"{entry.sequence} {entry.hash}\n".encode())
        return entry

    def entries(self) -> Iterator[LedgerEntry]:
        """Every entry, oldest first, without verifying the chain."""
        if not self.path.exists():
            return
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    yield LedgerEntry.model_validate_json(line)
                except ValidationError as error:
                    raise _broken("entry is not readable", f"{self.path}:{number}") from error

    def _verify(self) -> tuple[int, str]:
        sequence, head, hashes = 0, GENESIS, [GENESIS]
        for entry in self.entries():
            sequence += 1
            if (entry.sequence, entry.previous) != (sequence, head) or entry.hash != entry.computed_hash():
                raise _broken("entry does not continue the chain", f"{self.path}:{sequence}")
            head = entry.hash
            hashes.append(head)
        self._check_head(hashes)
        return sequence, head

    def _check_head(self, hashes: list[str]) -> None:
        """The head may lag the chain by one entry: a kill between the two writes."""
        if not self._head_path.exists():
            if len(hashes) > 2:
                raise _broken("head is missing", str(self._head_path))
            return
        words = self._head_path.read_text(encoding="ascii", errors="replace").split()
        known = len(words) == 2 and words[0].isdigit() and int(words[0]) < len(hashes)
        if not known or hashes[int(words[0])] != words[1] or len(hashes) - int(words[0]) > 2:
            raise _broken("head does not match: entries are missing or were changed", str(self._head_path))

    def _cut_torn_line(self) -> bool:
        if not self.path.exists():
            return False
        data = self.path.read_bytes()
        if not data or data.endswith(b"\n"):
            return False
        with disk_refusals(self.path), self.path.open("r+b") as stream:
            stream.truncate(data.rfind(b"\n") + 1)
        return True


def _broken(what: str, where: str) -> Refusal:
    mend = "keep the file for your security officer, move it aside, and start again"
    return Refusal(ExitCode.LEDGER_BROKEN, what, where=where, mend=mend)
