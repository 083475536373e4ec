from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.quality import methods, training
from benchmarks.quality.cohort import Fold
from benchmarks.quality.federation import train_federated
from benchmarks.quality.lesions import Shown
from benchmarks.quality.methods import CENTRALISED, LOCAL, ORACLES, Runner
from benchmarks.quality.pictures import write_page
from benchmarks.quality.store import Store
from benchmarks.quality.studies import ABLATIONS, FEDERATED, FEDERATED_AS, FEDERATIONS, NETWORKS, Federation, study_of
from client.case import Case
from common.geometry import Geometry, Grid
from common.study import DiscriminatorSettings, GeneratorSettings, Networks, Study


@pytest.fixture
def tiny() -> Study:
    """The federation's study on a grid that trains in a moment."""
    study = study_of(FEDERATED_AS, 1, 5, federation=Federation(2))
    networks = Networks(
        generator=GeneratorSettings(width_2d=4, width_3d=4, stages_3d=1, consistency_steps=1),
        discriminator=DiscriminatorSettings(width=4),
    )
    grid, geometry = Grid(shape=(16, 16, 16), voxel_mm=14.4), Geometry(detector_shape=(16, 16), pixel_mm=24.0)
    return study.model_copy(update={"grid": grid, "geometry": geometry, "networks": networks})


def small(case: Case) -> Case:
    volume = torch.nn.functional.avg_pool3d(torch.from_numpy(case.volume_hu).float()[None, None], 4)[0, 0]
    integrals = torch.nn.functional.avg_pool2d(torch.from_numpy(case.integrals)[None], 8)[0]
    return replace(case, volume_hu=volume.to(torch.int16).numpy(), integrals=integrals.numpy())


@pytest.mark.parametrize("network", [*NETWORKS, *ABLATIONS])
def test_every_network_of_the_table_is_a_study(network: str) -> None:
    study = study_of(network, 3, 100)
    assert study.optimisation.seed == 3
    assert study.optimisation.steps_per_round * study.federation.rounds == 100
    plays = study.optimisation.adversarial_weight > 0
    assert plays == ("GAN" in network)


def test_three_sites_train_through_the_real_round_loop(tiny: Study, fold: Fold) -> None:
    sites = {name: [small(case) for case in cases[:2]] for name, cases in fold.sites.items()}
    rounds: list[int] = []
    trained = train_federated(tiny, sites, rounds.append)
    alone = training.train(tiny, sites["01"], lambda _: None)
    assert rounds == [1, 2]
    assert trained.steps == alone.steps == 4
    assert trained.cpu_s > 0
    assert any(not torch.equal(trained.weights[name], alone.weights[name]) for name in alone.weights)


def test_a_result_is_computed_once_and_read_back(fold: Fold, tmp_path: Path) -> None:
    said: list[str] = []
    runner = Runner(fold, Store(tmp_path), 1, 5.0, said.append)
    assert runner.result("mean volume", only_known=True) is None
    first = runner.result("mean volume")
    again = Runner(fold, Store(tmp_path), 1, 5.0, said.append).result("mean volume")
    assert first == again
    assert len(said) == 1
    assert first is not None
    assert len(first.poses) == len(fold.heads.truths_hu)
    kept = runner.predictions("mean volume")
    assert kept is not None
    assert kept.shape == fold.heads.truths_hu.shape


def test_findings_are_measured_once_and_only_where_a_method_was_run(
    fold: Fold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def note(by: str) -> list[Shown]:
        measured.append(by)
        return [Shown(4.0, 30.0, 3.0, 0.5)]

    monkeypatch.setattr(methods.lesions, "shown_by", lambda *_: note("method"))
    monkeypatch.setattr(methods.oracle, "shown_by", lambda *_, photons: note(f"oracle, {photons}"))
    runner = Runner(fold, Store(tmp_path), 1, 5.0, lambda _: None)
    for name in ("mean volume", *ORACLES):
        found = [runner.findings(name, "bleed", lambda head_hu: [(4.0, head_hu)]) for _ in range(2)]
        assert found[0] == found[1] == [Shown(4.0, 30.0, 3.0, 0.5)]
    assert runner.findings(FEDERATED_AS, "bleed", lambda head_hu: [(4.0, head_hu)]) == []
    assert measured == ["method", "oracle, True", "oracle, False"]


def test_a_site_alone_does_not_exist_where_its_person_is_held_out(fold: Fold, tmp_path: Path) -> None:
    assert Runner(fold, Store(tmp_path), 1, 5.0, lambda _: None).result(f"{LOCAL}{fold.person}") is None


def test_federations_take_equal_steps_on_any_core_and_their_pooled_cases_all_of_them(
    fold: Fold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, tuple[Study, int]] = {}

    def note(name: str, study: Study, cases: int) -> training.Trained:
        asked[name] = (study, cases)
        return training.Trained(study, {}, study.optimisation.steps_per_round * study.federation.rounds, 1.0)

    current = ""
    monkeypatch.setattr(methods, "steps_within", lambda *_: 345)
    monkeypatch.setattr(methods, "train", lambda study, cases, _: note(current, study, len(cases)))
    monkeypatch.setattr(methods, "train_federated", lambda study, sites, _: note(current, study, len(sites)))
    monkeypatch.setattr(training.Trained, "predict", lambda self, integrals: fold.heads.truths_hu)
    runner = Runner(fold, Store(tmp_path), 1, 137.0, lambda _: None)
    found = {}
    rare, often = "federated, every 20 steps", "federated, every 5 steps"
    for current in (FEDERATED_AS, CENTRALISED, FEDERATED, rare, often, f"{LOCAL}01"):
        found[current] = runner.result(current)
    steps = {name: result.steps for name, result in found.items() if result is not None}
    assert steps == {FEDERATED_AS: 345, CENTRALISED: 120, FEDERATED: 40, rare: 40, often: 40, f"{LOCAL}01": 40}
    assert [asked[name][0].federation.rounds for name in (rare, FEDERATED, often)] == [2, 4, 8]
    assert asked[f"{LOCAL}01"][1] == 4
    assert asked[CENTRALISED][1] == 12


def test_a_result_is_not_taken_for_one_of_another_federation(
    fold: Fold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = Runner(fold, Store(tmp_path), 1, 5.0, lambda _: None)
    trained = training.Trained(study_of(FEDERATED_AS, 1, 5), {}, 5, 1.0)
    monkeypatch.setattr(training.Trained, "predict", lambda self, integrals: fold.heads.truths_hu)
    monkeypatch.setattr(Runner, "_train", lambda self, method: trained)
    for method in (FEDERATED, f"{LOCAL}01"):
        assert runner.result(method) is not None
    monkeypatch.setitem(FEDERATIONS, FEDERATED, Federation(7))
    assert runner.result(FEDERATED, only_known=True) is None
    assert runner.result(f"{LOCAL}01", only_known=True) is not None


def test_a_page_of_slices_is_written(fold: Fold, tmp_path: Path) -> None:
    write_page("A head", {"truth": fold.heads.truths_hu[0], "other": fold.heads.truths_hu[1]}, tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
