"""What may leave: the one gate, its ledger, and the studies this site has approved."""

from client.gate.approvals import Approvals
from client.gate.desk import Desk
from client.gate.egress import Gate, Released
from client.gate.ledger import Ledger, LedgerEntry

__all__ = ["Approvals", "Desk", "Gate", "Ledger", "LedgerEntry", "Released"]
