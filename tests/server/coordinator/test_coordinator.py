"""How long a coordinator keeps starting its round loop again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from common.errors import ExitCode, Refusal
from common.restart_rate import RestartRate
from server.coordinator import Coordinator, CoordinatorSettings
from server.coordinator import coordinator as module

KILLED = -9


@pytest.fixture
def coordinator(tmp_path: Path, study_text: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Coordinator]:
    """A coordinator whose round loop ends with the statuses given, at the times given."""

    def make(statuses: list[int], times_s: Iterator[float]) -> Coordinator:
        ends = iter(statuses)
        control = SimpleNamespace(start_run=lambda: 1, stop_run=lambda _: None)
        link = SimpleNamespace(address="", ca_certificate=b"", secret=b"", poll=lambda: None)
        stand_ins: dict[str, Any] = {
            "Control": lambda *_: nullcontext(control),
            "SuperLink": lambda *_, **__: nullcontext(link),
            "make_certificates": lambda *_: None,
            "read_admissions": lambda _: (),
            "prepare_run": lambda *_: None,
            "stop_children": lambda *_: None,
            "start_child": lambda *_, **__: SimpleNamespace(poll=lambda: 0, returncode=next(ends)),
            "RestartRate": partial(RestartRate, clock=lambda: next(times_s)),
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(module, name, stand_in)
        (tmp_path / "study.toml").write_text(study_text)
        folders = {name: tmp_path / name for name in ("run", "admissions", "state")}
        settings = CoordinatorSettings(study=tmp_path / "study.toml", **folders)
        return Coordinator(settings, threading.Event(), lambda: None)

    return make


def test_a_run_of_months_outlives_a_kill_of_its_round_loop_every_other_hour(coordinator) -> None:
    coordinator([KILLED] * 500 + [0], iter(range(0, 7200 * 502, 7200))).run()


def test_a_round_loop_that_keeps_ending_within_the_hour_is_given_to_a_person(coordinator) -> None:
    with pytest.raises(Refusal, match="keeps ending") as caught:
        coordinator([KILLED] * 10, iter(range(100))).run()
    assert caught.value.code is ExitCode.CHILD_FAILED
    assert "rounds.log" in str(caught.value)
