from __future__ import annotations

import pytest

from benchmarks.measure import Timing
from benchmarks.projection import peers
from benchmarks.projection.speed import JITTERED, OURS, OURS_NATIVE, TURNED, native_goals, training_goals


def timing(median_ms: float) -> Timing:
    return Timing(median_ms, median_ms, 5)


def test_where_no_peer_is_installed_ours_is_held_against_itself_alone() -> None:
    native = {"head, 2 x 256²": {OURS_NATIVE: timing(10.0), TURNED: timing(15.0)}}
    training = {"forward + backward, batch 1": {OURS: timing(10), TURNED: timing(25), JITTERED: timing(12)}}
    assert [goal.met for goal in native_goals(native, 0.1, [])] == [True, True]
    assert [goal.met for goal in training_goals(training, [])] == [False, True]


def test_peers_that_are_missing_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "PEERS", (("nowhere", "One"), ("nowhere", "Two")))
    assert peers.available_peers() == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("Peers left out: One (No module named")
    assert "Two (" in line
