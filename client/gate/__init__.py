"""What may leave and come: the one gate, its ledger, and the studies this site has approved."""

from client.gate.approvals import Approvals
from client.gate.desk import Desk
from client.gate.egress import Gate, Released
from client.gate.ledger import Ledger
from client.gate.ledger_entry import LedgerEntry
from client.gate.ledger_export import LedgerSummary, export, verify_export, verify_state

__all__ = [
    "Approvals",
    "Desk",
    "Gate",
    "Ledger",
    "LedgerEntry",
    "LedgerSummary",
    "Released",
    "export",
    "verify_export",
    "verify_state",
]
