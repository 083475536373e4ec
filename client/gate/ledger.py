"""The site's hash-chained, signed record of all that came and left: a JSON line each, synced before anything goes.

Each entry holds the hash of the entry before it, so that a changed, removed or reordered line breaks the chain, and is
signed with the site's key. The newest entry's hash also stands in ``ledger.head``, so that a shortened file is noticed,
and in the next reply: the coordinator says it back in its next signed request, which is an entry too. Whoever deletes
the whole ledger contradicts those. A torn last line is the trace of a kill before the send: it is cut off, and the cut
is itself recorded.

A file that has grown large is set aside as ``ledger.NUMBER.jsonl``, named by its first entry, and the chain goes on in
a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, final

from pydantic import ValidationError

from client.gate.ledger_entry import LedgerEntry, LedgerEvent, SentRecord
from common.errors import ExitCode, Refusal
from common.exchange import LedgerHead, nonce_of
from common.files import append_line, disk_refusals, make_folder, write_atomic
from common.signatures import SigningKey

GENESIS = "0" * 64
ROTATE_BYTES = 16 * 1024 * 1024


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
        self.keys_path = folder / "ledger.keys"
        self._head_path = folder / "ledger.head"
        self._key: SigningKey | None = None
        self._hashes = [GENESIS]
        self._nonces: set[str] = set()
        self._first_sequence = 1
        torn = recover and self._cut_torn_line()
        self._verify()
        if torn:
            self.append("recovered", kind="", message="", header="", records=())

    @classmethod
    def opened(cls, folder: Path) -> Self:
        """An existing ledger, verified and left as it is: the site's own process may be writing to it.

        Raises:
            Refusal: ``SETTINGS_INVALID`` if there is none, ``LEDGER_BROKEN`` if it does not verify.
        """
        if not any(folder.glob("ledger*.jsonl")):
            mend = "name the 'state' folder of a site that was started"
            raise Refusal(ExitCode.SETTINGS_INVALID, "no ledger", where=str(folder), mend=mend)
        return cls(folder, recover=False)

    @property
    def head(self) -> LedgerHead:
        """Number and hash of the newest entry."""
        return LedgerHead(sequence=len(self._hashes) - 1, hash=self._hashes[-1])

    def sign_with(self, key: SigningKey) -> None:
        """Sign every entry from now on."""
        self._key = key

    def holds(self, head: LedgerHead) -> bool:
        """Whether this ledger has an entry with this number and hash."""
        return head.sequence < len(self._hashes) and self._hashes[head.sequence] == head.hash

    def knows_request(self, nonce: str) -> bool:
        """Whether a request with this nonce was recorded."""
        return nonce in self._nonces

    def append(
        self,
        event: LedgerEvent,
        *,
        kind: str,
        message: str,
        header: str,
        records: tuple[SentRecord, ...],
        content: str = "",
        envelope: str = "",
    ) -> LedgerEntry:
        """Record an arrival or a departure, on disk before this returns.

        Raises:
            Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``; nothing may then be sent.
        """
        self._set_aside()
        draft = LedgerEntry(
            sequence=len(self._hashes),
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            event=event,
            kind=kind,
            message=message,
            header=header,
            records=records,
            previous=self._hashes[-1],
            content=content,
            envelope=envelope,
        )
        entry = draft.sealed(self._key)
        append_line(self.path, entry.model_dump_json())
        self._note(entry)
        write_atomic(self._head_path, f"{entry.sequence} {entry.hash}\n".encode())
        return entry

    def entries(self) -> Iterator[LedgerEntry]:
        """Every entry, oldest first, without verifying the chain."""
        for path in (*self._set_aside_files(), self.path):
            if path.exists():
                yield from _entries(path)

    def _set_aside_files(self) -> list[Path]:
        return sorted(self.path.parent.glob("ledger.*.jsonl"))

    def _set_aside(self) -> None:
        """Start a new file where the present one has grown large."""
        if not self.path.exists() or self.path.stat().st_size < ROTATE_BYTES:
            return
        with disk_refusals(self.path):
            self.path.rename(self.path.with_name(f"ledger.{self._first_sequence:012d}.jsonl"))
        self._first_sequence = len(self._hashes)

    def _note(self, entry: LedgerEntry) -> None:
        self._hashes.append(entry.hash)
        if entry.envelope:
            self._nonces.add(nonce_of(entry.envelope))

    def _verify(self) -> None:
        for path in (*self._set_aside_files(), self.path):
            self._first_sequence = len(self._hashes)
            for number, entry in enumerate(_entries(path) if path.exists() else (), start=1):
                expected = (len(self._hashes), self._hashes[-1], entry.computed_hash())
                if (entry.sequence, entry.previous, entry.hash) != expected:
                    raise broken("entry does not continue the chain", f"{path}:{number}")
                self._note(entry)
        self._check_head(self._hashes)

    def _check_head(self, hashes: list[str]) -> None:
        """The head may lag the chain by one entry: a kill between the two writes."""
        if not self._head_path.exists():
            if len(hashes) > 2:
                raise broken("head is missing", str(self._head_path))
            return
        words = self._head_path.read_text(encoding="ascii", errors="replace").split()
        known = len(words) == 2 and words[0].isdigit() and int(words[0]) < len(hashes)
        if not known or hashes[int(words[0])] != words[1] or len(hashes) - int(words[0]) > 2:
            raise broken("head does not match: entries are missing or were changed", str(self._head_path))

    def _cut_torn_line(self) -> bool:
        if not self.path.exists():
            return False
        data = self.path.read_bytes()
        if not data or data.endswith(b"\n"):
            return False
        with disk_refusals(self.path), self.path.open("r+b") as stream:
            stream.truncate(data.rfind(b"\n") + 1)
        return True


def _entries(path: Path) -> Iterator[LedgerEntry]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield LedgerEntry.model_validate_json(line)
            except ValidationError as error:
                raise broken("entry is not readable", f"{path}:{number}") from error


def broken(what: str, where: str) -> Refusal:
    """A ledger that does not verify."""
    mend = "keep the file for your security officer, move it aside, and start again"
    return Refusal(ExitCode.LEDGER_BROKEN, what, where=where, mend=mend)
