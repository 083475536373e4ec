"""Two machines with one key are told apart by what they sign; what a ledger said is said back."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, RecordDict

from common.errors import Refusal
from common.exchange import LedgerHead, ReplyEnvelope, new_nonce
from server.link import Addressee
from server.link.correspondence import Correspondence
from tests.letters import ABOUT, COORDINATOR, KEYS

RECORD = RecordDict({"header": ConfigRecord({"json": "{}"})})


_sequence = count(1)


def _answered(letters: Correspondence, process: str, sequence: int | None = None) -> tuple[str, ...]:
    sequence = next(_sequence) if sequence is None else sequence
    request = letters.envelope("north", ABOUT, RECORD, 1)
    head = LedgerHead(sequence=sequence, hash="c" * 64)
    return letters.note(ReplyEnvelope(request=request, content="d" * 64, process=process, ledger=head))


def _letters() -> Correspondence:
    return Correspondence(COORDINATOR, {"north": Addressee(7, KEYS["north"].verifying)})


def test_processes_that_answer_in_turns_share_a_key() -> None:
    letters, one, two = _letters(), new_nonce(), new_nonce()
    remarks = [_answered(letters, process) for process in (one, one, two, two, one, two)]
    assert remarks[:4] == [()] * 4
    assert all("two computers" in remark for (remark,) in remarks[4:])


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


def test_a_ledger_that_starts_anew_is_noticed_even_after_a_restart(tmp_path: Path) -> None:
    memory = tmp_path / "heads.json"
    sites = {"north": Addressee(7, KEYS["north"].verifying)}
    assert _answered(Correspondence(COORDINATOR, sites, memory), new_nonce(), sequence=41) == ()
    again = Correspondence(COORDINATOR, sites, memory)
    assert again.envelope("north", ABOUT, RECORD, 1).witnessed == LedgerHead(sequence=41, hash="c" * 64)
    (remark,) = _answered(again, new_nonce(), sequence=2)
    assert "lost entries: it ended at 41" in remark
    assert _answered(again, new_nonce(), sequence=3) == ()
    memory.write_text("{")
    with pytest.raises(Refusal, match="damaged"):
        Correspondence(COORDINATOR, sites, memory)


def test_no_two_requests_have_the_same_nonce() -> None:
    letters = _letters()
    assert len({letters.envelope("north", ABOUT, RECORD, 1).nonce for _ in range(100)}) == 100
