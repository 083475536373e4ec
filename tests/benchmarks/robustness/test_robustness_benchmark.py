from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from benchmarks import measure
from benchmarks.robustness import __main__ as benchmark
from benchmarks.robustness.short_training import known_heads, shortened, trained, unseen_heads, with_variance
from common.exchange import weights_of
from common.files import write_tensors
from common.networks import build_generator
from common.study import Study

APP = typer.Typer()
APP.command()(benchmark.main)


@pytest.fixture(autouse=True)
def few_heads_and_no_results_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "UNSEEN", 2)
    monkeypatch.setattr(benchmark, "UNSEEN_BY_MEAN", 1)
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")


def output(*arguments: str) -> str:
    done = CliRunner().invoke(APP, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def test_two_short_networks_are_trained_where_no_weights_are_given(tiny_file: Path, tmp_path: Path) -> None:
    told = output("--study", str(tiny_file), "--steps", "2")
    assert "network + fit" in told
    assert "tiny predicts no variance" in told
    assert told.splitlines()[-1].startswith("robustness: ")
    assert not (tmp_path / "results").exists(), "a try leaves no results"


def test_given_weights_are_measured_as_they_are(tiny: Study, tmp_path: Path) -> None:
    study = with_variance(tiny)
    file, weights = tmp_path / "study.toml", tmp_path / "generator.safetensors"
    file.write_text((tmp_path / "tiny.toml").read_text() + "likelihood_weight = 0.02\n", encoding="utf-8")
    file.write_text(file.read_text().replace("consistency_steps", "variance = true\nconsistency_steps"))
    assert Study.from_toml(file) == study
    write_tensors(weights, dict(weights_of(build_generator(study))))
    told = output("--study", str(file), "--weights", str(weights))
    assert "network + fit" not in told
    assert "network, body: truth within the SD" in told
    assert "voxels within 2 SD" in told.splitlines()[-1]


def test_weights_without_their_study_are_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(APP, ["--weights", str(tmp_path / "generator.safetensors")])
    assert done.exit_code == 2
    assert "--study" in done.output


def test_a_short_training_learns_from_heads_it_is_not_judged_on(tiny: Study) -> None:
    study = shortened(tiny, 3, affine=True)
    assert study.networks.generator.consistency_affine
    assert study.optimisation.adversarial_weight == 0
    first, last = weights_of(build_generator(study)), trained(study)
    assert any(not torch.equal(first[name], last[name]) for name in first)
    assert not any(torch.equal(known, unseen) for known in known_heads(tiny, 3) for unseen in unseen_heads(tiny, 3))


def test_published_results_met_every_goal() -> None:
    document = json.loads((Path(measure.__file__).parent / "results" / "robustness.json").read_text(encoding="utf-8"))
    assert [goal["name"] for goal in document["goals"] if not goal["met"]] == []
    assert len(document["goals"]) == 11
