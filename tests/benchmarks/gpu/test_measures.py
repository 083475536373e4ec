"""Every measurement's parts, on the CPU and at 32³."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.gpu import agreement, projector, quality, synthesis
from benchmarks.gpu.agreement import compared
from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome, conclude, leave
from benchmarks.gpu.profile import profiled
from benchmarks.gpu.remedies import Ahead, step_ms
from benchmarks.gpu.repeatability import deterministic, trained_sha256
from benchmarks.gpu.ridge import Examples, ridge_consistent
from benchmarks.gpu.step import goals, timed
from benchmarks.gpu.studies import procedural_case, relative_error, shipped
from benchmarks.measure import Goal
from benchmarks.quality import classical
from benchmarks.quality.classical import PENALTIES
from client.learning import Samples

CPU = torch.device("cpu")
CARD = Card.of(CPU)


def test_a_result_names_its_machine_and_command_and_the_last_line_says_what_was_missed(tmp_path: Path) -> None:
    goal = Goal("time", "[0.30] (goal 0.25)", met=False)
    path = leave("step", Outcome("how", {"step_ms": 1.0}, [goal]), CARD, "python -m benchmarks.gpu step", tmp_path)
    said = json.loads(path.read_text())
    assert path.name == "gpu-step.json"
    assert set(said["machine"]) >= {"card", "driver", "cuda", "torch", "python"}
    assert (said["command"], said["figures"]) == ("python -m benchmarks.gpu step", {"step_ms": 1.0})
    console = Console(record=True, width=150)
    assert not conclude(console, [goal, Goal("memory", "0.20", met=True)])
    assert console.export_text().strip() == "gpu: missed: time [0.30] (goal 0.25) (missed); memory 0.20"
    assert conclude(Console(quiet=True), [])


def test_a_device_agrees_with_itself_and_another_number_is_seen() -> None:
    study = shipped(tiny=True)
    for part in (agreement._projector, agreement._networks, agreement._widening, agreement._step):
        assert set(compared(part, study, CPU).values()) == {0.0}
    assert relative_error(torch.tensor([1.0, 1.1]), torch.tensor([1.0, 1.0])) == pytest.approx(0.1 / 2**0.5)
    assert relative_error(torch.tensor([torch.nan]), torch.tensor([1.0])) != 0.0


def test_a_round_repeats_on_the_cpu_and_operations_without_an_order_are_named() -> None:
    study = shipped(tiny=True, steps_per_round=2)
    named: set[str] = set()
    first = trained_sha256(study, CPU)
    with deterministic(named):
        assert trained_sha256(study, CPU) == first
        message = "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set"
        warnings.warn(message, stacklevel=1)
    assert named == {"grid_sampler_2d_backward_cuda"}
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_step_is_timed_and_profiled() -> None:
    study = shipped(tiny=True)
    figures = timed(study, CARD, 1)
    assert figures["skipped_steps"] == 0
    assert figures["cases_per_s"] == pytest.approx(2e3 / figures["round_step_ms"])
    seen = profiled(study, CARD, 1)
    assert seen["kernels_per_step"] == 0
    assert len(seen["longest_operations_cpu_ms_per_step"]) > 5


@pytest.mark.parametrize(("ours", "met"), [((1.0, 1.0), [True, True]), ((1.1, 1.4), [False, False])])
def test_a_steps_goals_are_those_of_the_cpu(ours: tuple[float, float], met: list[bool]) -> None:
    figures = {
        "lifting, bfloat16": {"round_step_ms": ours[0], "peak_bytes": ours[1]},
        "x2ct, bfloat16": {"round_step_ms": 4.0, "peak_bytes": 3.0},
        "lifting, bfloat16, widened": {"samples_share": 0.05},
    }
    assert [goal.met for goal in goals(figures)] == [*met, True]


def test_batches_drawn_ahead_are_the_same_to_the_bit() -> None:
    study = shipped(tiny=True, widened=True)
    cases = [procedural_case(study, number) for number in (1, 2)]
    plain = iter(Samples(study, cases, 1))
    with Ahead(iter(Samples(study, cases, 1)), CARD) as ahead:
        for _, early in zip(range(3), ahead, strict=False):
            batch = next(plain)
            assert torch.equal(early.target, batch.target) and torch.equal(early.integrals, batch.integrals)
    assert not ahead._thread.is_alive()
    assert step_ms(study, CARD, 1, ahead=True) > 0


def test_a_projector_without_peers_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "_peers", lambda _: ([], {}))
    figures = projector.measure(CARD, tiny=True).figures
    assert figures["batch 4"][projector.OURS]["forward_backward_ms"] > 0
    tiled, whole = (figures["batch 1"][name]["rmse_percent"] for name in (projector.OURS, projector.WHOLE))
    assert tiled == pytest.approx(whole, rel=1e-3) and tiled < 1


def test_ridge_predicts_what_it_was_fitted_to() -> None:
    study = shipped(tiny=True)
    cases = [procedural_case(study, number) for number in (1, 2, 3)]
    drawn = quality.examples(study, cases, CARD, 2)
    assert isinstance(drawn, Examples) and drawn.persons == ["head-1"] * 2 + ["head-2"] * 2 + ["head-3"] * 2
    before, after, penalty = ridge_consistent(study, drawn, drawn.images[:1])
    assert before.shape == after.shape == (1, *study.grid.shape)
    truth = drawn.volumes[0] * 2500 - 1000
    assert float((after[0] - truth).abs().mean()) < 60 and penalty in PENALTIES
    images, volumes = drawn.images.flatten(1), drawn.volumes.flatten(1)
    expected = classical._ridge(images, volumes, images[:1], penalty).view_as(before) * 2500 - 1000
    assert torch.allclose(before, expected.clamp(-1000, 1500), atol=0.01)


def test_a_network_is_trained_for_seconds_and_drawn_beside_the_truth(tmp_path: Path) -> None:
    outcome = quality.measure(CARD, tiny=True, folder=None, person="03", seconds=0.5, results=tmp_path)
    assert outcome.figures["training"]["steps"] >= 4
    assert set(outcome.figures["metrics"]) == {"lifting GAN + consistency", "ridge", "ridge + consistency"}
    assert (tmp_path / "gpu-head-03.png").read_bytes().startswith(b"\x89PNG")


def test_a_synthetic_ct_is_timed_with_and_without_uncertainty() -> None:
    figures = synthesis.measure(CARD, tiny=True).figures
    assert figures["volume, ready, s"] > 0 and figures["volume and uncertainty, ready, s"] > 0
