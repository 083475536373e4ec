"""``tomoray-site ledger``: what left this site."""

from __future__ import annotations

from pathlib import Path

from client.gate import Ledger

FOLDER = "ledger"


def verify(state: Path) -> None:
    """Verify the chain of everything that left; refuses as :class:`client.gate.Ledger` does."""
    count = sum(1 for _ in Ledger.opened(state / FOLDER).entries())
    print(f"ledger intact: {count} entries")


def show(state: Path) -> None:
    """One line for each departure: when, what, how many bytes."""
    for entry in Ledger.opened(state / FOLDER).entries():
        names = ", ".join(f"{record.name} {record.bytes} B" for record in entry.records)
        print(f"{entry.sequence:6d} {entry.at} {entry.event:9s} {entry.kind:9s} {names or entry.header}")
