from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import client.learning.crew
from client.learning import StepProgress, ranks
from client.learning.crew.order import CrewOrder
from client.learning.crew.shared_round import train_together
from common.errors import ExitCode, Refusal

Child = Callable[[], psutil.Process]
SITE = Path(__file__).with_name("crew_site.py")
# Of a machine with other things to do; without a fault's notice it would be minutes.
SOON_SECONDS = 25.0


def refused_soon(crew_site: Any, hurt: Callable[[], None], answer_seconds: float = 60.0) -> Refusal:
    """The refusal of a round whose second device is hurt after the first step."""
    hurt_at: list[float] = []

    def on_step(_: StepProgress) -> None:
        hurt_at.append(time.monotonic())
        hurt()

    with pytest.raises(Refusal) as refusal:
        crew_site.crew(answer_seconds).train_round(1, *crew_site.broadcast(), on_step)
    assert time.monotonic() - hurt_at[0] < SOON_SECONDS
    assert len(hurt_at) == 1
    assert crew_site.left() == []
    return refusal.value


@pytest.mark.processes
def test_a_killed_device_process_ends_in_a_refusal_and_the_round_can_be_repeated(
    crew_site: Any, the_child: Child
) -> None:
    refusal = refused_soon(crew_site, lambda: the_child().kill())
    assert refusal.code is ExitCode.CHILD_FAILED
    assert "device 2 of 2 was ended: Killed" in refusal.what
    assert refusal.where == "round 1"
    assert crew_site.crew().train_round(1, *crew_site.broadcast()).skipped_steps == 0


@pytest.mark.processes
def test_a_device_process_that_hangs_is_waited_for_so_long_and_ended(crew_site: Any, the_child: Child) -> None:
    refusal = refused_soon(crew_site, lambda: the_child().suspend(), answer_seconds=10.0)
    assert refusal.code is ExitCode.CHILD_FAILED
    assert "did not answer within 10 s" in refusal.what


@pytest.mark.processes
def test_a_device_process_killed_while_it_starts_is_noticed(crew_site: Any, the_child: Child) -> None:
    def kill() -> bool:
        the_child().kill()
        return False

    began = time.monotonic()
    with pytest.raises(Refusal, match="was ended: Killed") as refusal:
        crew_site.crew().train_round(1, *crew_site.broadcast(), stop=kill)
    assert refusal.value.code is ExitCode.CHILD_FAILED
    assert time.monotonic() - began < SOON_SECONDS
    assert crew_site.left() == []


@pytest.mark.processes
def test_a_device_process_killed_before_it_meets_the_other_is_noticed_and_the_next_one_met(
    crew_site: Any, the_child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill_then_train(order: CrewOrder, *arguments: Any) -> Any:
        the_child().kill()
        # What it wrote there in the moment it had is not there.
        (arguments[1] / "rendezvous").write_bytes(b"")
        return train_together(order, *arguments)

    monkeypatch.setattr(client.learning.crew, "train_together", kill_then_train)
    monkeypatch.setattr(ranks, "MEETING_SECONDS", 2.0)
    with pytest.raises(Refusal, match="was ended: Killed"):
        crew_site.crew().train_round(1, *crew_site.broadcast())
    assert crew_site.left() == []
    monkeypatch.undo()
    crew_site.crew().train_round(1, *crew_site.broadcast())


@pytest.mark.processes
def test_what_a_device_process_refuses_is_what_the_site_refuses(crew_site: Any) -> None:
    crew = crew_site.crew()
    crew_site.files[1].path.unlink()
    with pytest.raises(Refusal, match="case file missing") as refusal:
        crew.train_round(1, *crew_site.broadcast())
    assert refusal.value.code is ExitCode.IMAGE_INVALID
    assert crew_site.left() == []


@pytest.mark.processes
def test_what_a_device_process_did_not_expect_is_named_and_never_quoted(
    crew_site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: CrewOrder, folder: Path, *_: object) -> None:
        (folder / "order.json").write_text('{"study": "DOE^JOHN"}')

    monkeypatch.setattr(CrewOrder, "write", write)
    with pytest.raises(Refusal, match=r"ValidationError in a device's process \[device 2\]") as refusal:
        crew_site.crew().train_round(1, *crew_site.broadcast())
    assert refusal.value.code is ExitCode.CHILD_FAILED
    assert "DOE" not in str(refusal.value)


@pytest.mark.processes
def test_a_killed_site_leaves_no_process_and_its_next_round_no_file(crew_site: Any) -> None:
    folder = crew_site.files[0].path.parent
    (folder / "study.json").write_text(crew_site.study.canonical_json())
    site = subprocess.Popen([sys.executable, str(SITE), str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert site.stdout is not None
        (child,) = map(int, site.stdout.readline().split())
        # Neither a closed connection nor a deadline can end it now.
        psutil.Process(child).suspend()
    finally:
        site.send_signal(signal.SIGKILL)
        site.communicate()
    deadline = time.monotonic() + SOON_SECONDS
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    crew_site.state = folder / "run"
    assert "order.json" in crew_site.left()
    crew_site.crew().train_round(1, *crew_site.broadcast())
    assert crew_site.left() == ["round-000001.safetensors"]
