from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from common.progress import Phase, ProgressFile, SiteProgress
from server.coordinator.run_view import RunView
from server.rounds import EventLog

LOSSES = {"generator": 0.5, "reconstruction": 0.4, "reprojection": 0.1, "adversarial": 0.0, "discriminator": 0.25}


def _a_round(log: EventLog) -> None:
    log.say("registered", site="north", detail="train", values={"cases": 12})
    log.say("registered", site="west", detail="evaluate", values={"cases": 8})
    log.say("round_started", round_number=1, rounds=3)
    log.say("trained", round_number=1, site="north", values=LOSSES)
    log.say("problem", round_number=1, site="south", detail="no reply before the deadline")
    log.say("evaluated", round_number=1, site="west", values={"generator.psnr_db": 21.5, "generator.ssim": 0.7})


def _shown(tmp_path: Path, *, terminal: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120)
    (tmp_path / "north").mkdir()
    progress = ProgressFile(tmp_path / "north")
    progress.write(SiteProgress(phase=Phase.TRAINING, round=1, done=7, total=20, loss=0.123))
    with RunView(tmp_path / "events.jsonl", {"north": progress}, console=console) as view:
        _a_round(EventLog(tmp_path / "events.jsonl"))
        view.refresh()
    return output.getvalue()


def test_plain_output_has_a_line_for_each_step_of_a_round(tmp_path: Path) -> None:
    lines = _shown(tmp_path, terminal=False).splitlines()
    assert "north registered: train, 12 cases" in lines
    assert "round 1/3 north trained: G 0.5000  D 0.2500" in lines
    assert "round 1/3 west evaluated: 21.50 dB  SSIM 0.700" in lines
    assert "problem at south: no reply before the deadline" in lines


def test_a_terminal_shows_rounds_sites_steps_losses_and_held_out_metrics(tmp_path: Path) -> None:
    picture = _shown(tmp_path, terminal=True)
    for part in ("round 1/3", "north", "training 7/20 loss 0.123", "G 0.5000", "21.50", "0.700", "south: no reply"):
        assert part in picture


def test_events_of_an_earlier_start_are_not_shown_again(tmp_path: Path) -> None:
    _a_round(EventLog(tmp_path / "events.jsonl"))
    output = io.StringIO()
    with RunView(tmp_path / "events.jsonl", console=Console(file=output)) as view:
        view.refresh()
    assert output.getvalue() == ""


def test_a_half_written_event_is_left_for_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    output = io.StringIO()
    with RunView(path, console=Console(file=output, width=120)) as view:
        EventLog(path).say("registered", site="north", detail="train", values={"cases": 3})
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        view.refresh()
        assert output.getvalue() == ""
        path.write_bytes(whole)
        view.refresh()
    assert "north registered" in output.getvalue()
