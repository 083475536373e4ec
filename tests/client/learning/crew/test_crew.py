from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from client.learning import Crew, StepProgress, TrainOutcome
from common.errors import ExitCode, Refusal

Child = Callable[[], psutil.Process]


def bits_of(outcome: TrainOutcome) -> dict[str, torch.Tensor]:
    assert outcome.discriminator is not None
    networks = {"generator": outcome.generator, "discriminator": outcome.discriminator}
    return {f"{network}/{name}": tensor for network, weights in networks.items() for name, tensor in weights.items()}


@pytest.mark.processes
def test_two_devices_train_as_one_on_the_whole_batch_and_repeat_a_round_bit_for_bit(
    crew_site: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crew, alone = crew_site.crew(), crew_site.alone(tmp_path / "alone")
    start = crew_site.broadcast()
    first, whole = crew.train_round(1, *start), alone.train_round(1, *start)
    assert crew_site.left() == ["round-000001.safetensors"]
    second, again = (crew.train_round(2, first.generator, first.discriminator) for _ in range(2))
    whole_second = alone.train_round(2, whole.generator, whole.discriminator)
    ours, repeated, theirs = bits_of(second), bits_of(again), bits_of(whole_second)
    assert all(torch.equal(ours[name], repeated[name]) for name in ours)
    assert second.losses == again.losses
    # Six steps apart from the start, and a rounding error apart from each other.
    assert max(float((theirs[f"generator/{name}"] - start[0][name]).abs().max()) for name in start[0]) > 3e-4
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, rtol=1e-3, atol=5e-6), name
    # Had the two processes ended with other bits, they had said so.
    assert caplog.records == []
    assert crew_site.left() == ["round-000001.safetensors", "round-000002.safetensors"]


@pytest.mark.processes
def test_a_device_process_is_private_and_speaks_and_writes_nowhere_else(
    crew_site: Any, the_child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy")
    seen: list[int] = []

    def look(progress: StepProgress) -> None:
        seen.append(progress.step)
        folder, child = crew_site.state / "crew", the_child()
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(crew_site.state.stat().st_mode) == 0o700
        files = [path for path in folder.rglob("*") if path.is_file()]
        names = {"order.json", "broadcast.safetensors", "rendezvous", "ready-1"}
        assert {path.name for path in files} == names
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert {connection.laddr.ip for connection in child.net_connections()} == {"127.0.0.1"}
        assert {connection.laddr.ip for connection in psutil.Process().net_connections()} == {"127.0.0.1"}
        assert "secret" not in str(child.environ())
        assert Path(child.cwd()) == Path(child.environ()["HOME"]) == folder
        assert all(Path(file.path).parent == folder for file in child.open_files() if file.mode != "r")
        outputs = {str(Path(f"/proc/{child.pid}/fd/{number}").readlink()) for number in (0, 1, 2)}
        assert outputs == {"/dev/null"}

    crew_site.crew().train_round(1, *crew_site.broadcast(), look)
    assert seen == [1, 2, 3]


@pytest.mark.processes
@pytest.mark.parametrize("starting", [True, False], ids=["while it starts", "in mid-round"])
def test_a_site_asked_to_stop_ends_all_and_keeps_nothing(crew_site: Any, starting: bool) -> None:
    steps: list[StepProgress] = []
    with pytest.raises(Refusal) as refusal:
        crew_site.crew().train_round(1, *crew_site.broadcast(), steps.append, lambda: starting or len(steps) == 2)
    assert refusal.value.code is ExitCode.INTERRUPTED
    assert len(steps) == (0 if starting else 2)
    assert crew_site.left() == []


def test_a_batch_that_the_devices_cannot_share_is_refused_before_anything_starts(crew_site: Any) -> None:
    with pytest.raises(Refusal, match="batch of 2 on 3 devices") as refusal:
        Crew(crew_site.study, crew_site.files, crew_site.state, torch.device("cpu"), 3)
    assert refusal.value.code is ExitCode.STUDY_INVALID


def test_a_crew_without_cases_is_refused(crew_site: Any) -> None:
    with pytest.raises(Refusal) as refusal:
        Crew(crew_site.study, [], crew_site.state, torch.device("cpu"), 2)
    assert refusal.value.code is ExitCode.COHORT_TOO_SMALL
