"""``tomoray-site ledger``: what came to this site and what left it."""

from __future__ import annotations

from pathlib import Path

from client.gate import Ledger, LedgerSummary, export, verify_export, verify_state

FOLDER = "ledger"


def verify(place: Path) -> None:
    """Verify a state folder's ledger, or an exported one; refuses as :func:`client.gate.verify_export` does."""
    _show(verify_export(place) if place.is_file() else verify_state(place / FOLDER))


def write_export(state: Path, file: Path) -> None:
    """Write the ledger as one file that can be verified anywhere."""
    _show(export(state / FOLDER, file))


def show(state: Path) -> None:
    """One line for each arrival and departure: when, what, how many bytes."""
    for entry in Ledger.opened(state / FOLDER).entries():
        names = ", ".join(f"{record.name} {record.bytes} B" for record in entry.records)
        print(f"{entry.sequence:6d} {entry.at} {entry.event:9s} {entry.kind:9s} {names or entry.header}")


def _show(summary: LedgerSummary) -> None:
    print(f"ledger intact: {summary.entries} entries")
    if summary.unsigned:
        print(f"the first {summary.unsigned} were written without a signature, by an earlier release")
    for key in summary.site_keys:
        print(f"signed with the site's key SHA-256 {key}")
    for key in summary.coordinator_keys:
        print(f"requests signed with the coordinator's key SHA-256 {key}")
    print(f"countersigned by the coordinator up to entry {summary.witnessed}")
