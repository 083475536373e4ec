"""Two machines with one key are told apart by what they sign; what a ledger said is said back."""

from __future__ import annotations

from flwr.app import ConfigRecord, RecordDict

from common.exchange import LedgerHead, ReplyEnvelope, new_nonce
from server.link import Addressee
from server.link.correspondence import Correspondence
from tests.letters import ABOUT, COORDINATOR, KEYS

RECORD = RecordDict({"header": ConfigRecord({"json": "{}"})})


def _answered(letters: Correspondence, process: str, sequence: int = 1) -> bool:
    request = letters.envelope("north", ABOUT, RECORD, 1)
    head = LedgerHead(sequence=sequence, hash="c" * 64)
    return letters.note(ReplyEnvelope(request=request, content="d" * 64, process=process, ledger=head))


def _letters() -> Correspondence:
    return Correspondence(COORDINATOR, {"north": Addressee(7, KEYS["north"].verifying)})


def test_processes_that_answer_in_turns_share_a_key() -> None:
    letters, one, two = _letters(), new_nonce(), new_nonce()
    assert [_answered(letters, process) for process in (one, one, two, two, one, two)] == [False] * 4 + [True] * 2


def test_a_site_that_starts_again_and_again_shares_its_key_with_nobody() -> None:
    letters = _letters()
    assert not any(_answered(letters, new_nonce()) for _ in range(50))


def test_the_next_request_countersigns_the_ledger_and_names_who_answered_last() -> None:
    letters, process = _letters(), new_nonce()
    assert letters.envelope("north", ABOUT, RECORD, 1).witnessed is None
    _answered(letters, process, sequence=41)
    request = letters.envelope("north", ABOUT, RECORD, 2)
    assert (request.witnessed, request.answered_by) == (LedgerHead(sequence=41, hash="c" * 64), process)
    # The key counts, whatever the site is called now.
    letters.sites = {"renamed": Addressee(7, KEYS["north"].verifying)}
    assert letters.envelope("renamed", ABOUT, RECORD, 1).answered_by == process


def test_no_two_requests_have_the_same_nonce() -> None:
    letters = _letters()
    assert len({letters.envelope("north", ABOUT, RECORD, 1).nonce for _ in range(100)}) == 100
