"""A ledger as one file for an auditor, and its verification without the site.

The first line names the keys, each further line is an entry as the site wrote it. The auditor compares the SHA-256 of
the site's key with the coordinator's roster, and of the coordinator's key by telephone; the rest is arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.gate.ledger import GENESIS, Ledger, broken
from client.gate.ledger_entry import LedgerEntry
from common.errors import ExitCode, Refusal
from common.exchange import opened_request
from common.files import write_atomic
from common.signatures import VerifyingKey, verifying_key

MAX_LINE_BYTES = 1024 * 1024


@final
class LedgerKeys(BaseModel):
    """The keys that a ledger's signatures hold for: OpenSSH lines of the site and of its coordinator, oldest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["tomoray-ledger-1"] = "tomoray-ledger-1"
    site: tuple[str, ...] = Field(max_length=100)
    coordinator: tuple[str, ...] = Field(max_length=100)


@final
@dataclass(frozen=True)
class LedgerSummary:
    """What a verified ledger amounts to.

    Attributes:
        entries: how many there are.
        unsigned: of these, the oldest ones that an earlier release wrote without a signature.
        site_keys: SHA-256 of the keys that signed the others.
        coordinator_keys: SHA-256 of the keys that countersigned.
        witnessed: number of the last entry that the coordinator has countersigned, 0 for none.
    """

    entries: int
    unsigned: int
    site_keys: tuple[str, ...]
    coordinator_keys: tuple[str, ...]
    witnessed: int


def verify_state(folder: Path) -> LedgerSummary:
    """Verify the ledger in a folder, which a site may be writing to.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if there is none, ``LEDGER_BROKEN`` if it does not verify.
    """
    ledger = Ledger.opened(folder)
    return verified(keys_of(ledger), ledger.entries(), str(ledger.path))


def export(folder: Path, file: Path) -> LedgerSummary:
    """Write the ledger in a folder as one file, once it verifies; refuses as :func:`verify_state` does.

    Raises:
        Refusal: also ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    ledger = Ledger.opened(folder)
    keys = keys_of(ledger)
    entries = list(ledger.entries())
    summary = verified(keys, entries, str(ledger.path))
    lines = [keys.model_dump_json(), *(entry.model_dump_json() for entry in entries)]
    write_atomic(file, "".join(f"{line}\n" for line in lines).encode())
    return summary


def verify_export(file: Path) -> LedgerSummary:
    """Verify a file that :func:`export` wrote; refuses as it does."""
    where = str(file)
    try:
        with file.open("rb") as lines:
            first = lines.readline(MAX_LINE_BYTES)
            keys = LedgerKeys.model_validate_json(first)
            return verified(keys, _entries(lines, where), where)
    except OSError as error:
        what = f"unreadable file ({type(error).__name__})"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=where, mend="name an exported ledger") from error
    except ValidationError as error:
        raise broken("the first line names no keys", where) from error


def keys_of(ledger: Ledger) -> LedgerKeys:
    """The keys that a ledger in a folder has been written with."""
    if not ledger.keys_path.exists():
        return LedgerKeys(site=(), coordinator=())
    try:
        return LedgerKeys.model_validate_json(ledger.keys_path.read_bytes())
    except ValidationError as error:
        raise broken("keys are not readable", str(ledger.keys_path)) from error


def remember_keys(ledger: Ledger, site: VerifyingKey, coordinator: VerifyingKey) -> None:
    """Note the keys beside the ledger that it is written with from now on.

    Raises:
        Refusal: ``LEDGER_BROKEN`` if the file of keys is damaged; ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    known = keys_of(ledger)
    site_line, coordinator_line = site.openssh.decode("ascii"), coordinator.openssh.decode("ascii")
    keys = LedgerKeys(
        site=tuple(dict.fromkeys((*known.site, site_line))),
        coordinator=tuple(dict.fromkeys((*known.coordinator, coordinator_line))),
    )
    if keys != known:
        write_atomic(ledger.keys_path, keys.model_dump_json().encode())


def verified(keys: LedgerKeys, entries: Iterable[LedgerEntry], where: str) -> LedgerSummary:
    """Chain, signatures and countersignatures hold.

    Raises:
        Refusal: ``LEDGER_BROKEN`` naming the first entry that does not.
    """
    sites = {key.sha256: key for key in (verifying_key(line, where=where) for line in keys.site)}
    coordinators = [verifying_key(line, where=where) for line in keys.coordinator]
    hashes, unsigned, signers, witnessed = [GENESIS], 0, dict[str, None](), 0
    for entry in entries:
        place = f"{where}, entry {len(hashes)}"
        if (entry.sequence, entry.previous, entry.hash) != (len(hashes), hashes[-1], entry.computed_hash()):
            raise broken("entry does not continue the chain", place)
        hashes.append(entry.hash)
        if entry.signer:
            if entry.signer not in sites or not entry.is_signed_by(sites[entry.signer]):
                raise broken("entry is not signed with the site's key", place)
            signers[entry.signer] = None
        elif signers:
            raise broken("entry is not signed", place)
        else:
            unsigned += 1
        witnessed = max(witnessed, _witnessed(entry, coordinators, hashes, place))
    names = tuple(key.sha256 for key in coordinators)
    return LedgerSummary(len(hashes) - 1, unsigned, tuple(signers), names, witnessed)


def _witnessed(entry: LedgerEntry, coordinators: list[VerifyingKey], hashes: list[str], place: str) -> int:
    """Number of the entry that the coordinator countersigned with this request, 0 for none."""
    if not entry.envelope:
        return 0
    for coordinator in coordinators:
        try:
            envelope = opened_request(entry.envelope, coordinator)
        except Refusal:
            continue
        if envelope.content != entry.content:
            raise broken("request is recorded with another record than was signed", place)
        head = envelope.witnessed
        if head is None:
            return 0
        if head.sequence >= len(hashes) - 1 or hashes[head.sequence] != head.hash:
            raise broken(f"the coordinator has seen another entry {head.sequence}: entries were removed", place)
        return head.sequence
    raise broken("request is not signed with the coordinator's key", place)


def _entries(lines: Iterable[bytes], where: str) -> Iterator[LedgerEntry]:
    for number, line in enumerate(lines, start=1):
        try:
            yield LedgerEntry.model_validate_json(line)
        except ValidationError as error:
            raise broken("entry is not readable", f"{where}, entry {number}") from error
