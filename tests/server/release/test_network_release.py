"""From a real run's folder to a release: the weights that held-out sites evaluated, and no others."""

from __future__ import annotations

import json
import shutil
from datetime import date
from pathlib import Path

import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExitCode, Refusal
from common.files import read_tensors, write_tensors
from common.release import read_release, release_key_of
from common.study import Study
from server.release import make_release
from server.rounds import RunDirectory

DAY = date(2026, 3, 14)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(run: Path, private: Ed25519PrivateKey, **options: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        make_release(run, None, private, DAY, **options)
    assert not (run / "releases").exists() or not list((run / "releases").iterdir())
    return caught.value


def test_the_release_holds_the_running_average_of_the_last_round(
    run: Path, private: Ed25519PrivateKey, averaging: Study
) -> None:
    folder = make_release(run, None, private, DAY)
    assert folder == run / "releases" / "round-000003"
    found = read_release(folder, release_key_of(private), averaging)
    kept = read_tensors(run / "checkpoints" / "round-000003" / "generator_average.safetensors")
    latest = read_tensors(run / "checkpoints" / "round-000003" / "generator.safetensors")
    assert all(torch.equal(found.weights[name], kept[name]) for name in kept)
    assert not all(torch.equal(found.weights[name], latest[name]) for name in latest)
    record = list(RunDirectory(run).rounds())[-1]
    assert (found.card.generator_sha256, found.card.round) == (record.generator_sha256, record.round)
    assert found.card.generator_average
    assert any("rounded to bfloat16" in line for line in found.card.limits)


def test_the_same_run_and_date_give_the_same_bytes(run: Path, private: Ed25519PrivateKey, tmp_path: Path) -> None:
    first = make_release(run, tmp_path / "a", private, DAY)
    again = make_release(run, tmp_path / "b", private, DAY, number=3)
    assert _bytes(first) == _bytes(again)
    later = make_release(run, tmp_path / "c", private, date(2026, 3, 15))
    assert _bytes(later)["card.json"] != _bytes(first)["card.json"]
    assert _bytes(later)["generator.safetensors"] == _bytes(first)["generator.safetensors"]


def test_an_earlier_round_has_its_own_weights_and_figures(run: Path, private: Ed25519PrivateKey) -> None:
    card = read_release(make_release(run, None, private, DAY, number=2), release_key_of(private)).card
    assert card.round == 2
    assert card.generator_sha256 == list(RunDirectory(run).rounds())[1].generator_sha256
    assert "named by the coordinator" in card.selection
    assert {site.contributed_rounds for site in card.sites if site.name != "west"} == {2}
    assert not any("round 3" in line for line in (*card.tested_for, *card.limits))


def test_a_round_that_no_held_out_site_evaluated_has_no_figures(run: Path, private: Ed25519PrivateKey) -> None:
    path = run / "rounds.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["evaluation"] = []
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    card = read_release(make_release(run, None, private, DAY), release_key_of(private)).card
    assert card.held_out is None
    assert card.metrics == ()
    assert "No held-out centre reported figures of the weights of round 3." in card.tested_for


def test_a_checkpoint_that_its_record_does_not_name_is_not_released(run: Path, private: Ed25519PrivateKey) -> None:
    path = run / "checkpoints" / "round-000003" / "generator_average.safetensors"
    write_tensors(path, {name: tensor + 1 for name, tensor in read_tensors(path).items()})
    found = refused(run, private)
    assert (found.code, "another generator" in found.what) == (ExitCode.RUN_INVALID, True)


def test_rounds_that_are_not_there_are_refused_by_what_is(run: Path, private: Ed25519PrivateKey) -> None:
    assert "1 to 3" in refused(run, private, number=9).mend
    shutil.rmtree(run / "checkpoints" / "round-000003")
    found = refused(run, private)
    assert (found.code, "1, 2" in found.mend) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(run: Path, private: Ed25519PrivateKey, limit: float) -> None:
    assert refused(run, private, reprojection_limit=limit).code is ExitCode.USAGE


def test_a_limit_goes_to_the_card(run: Path, private: Ed25519PrivateKey) -> None:
    card = read_release(make_release(run, None, private, DAY, reprojection_limit=0.02), release_key_of(private)).card
    assert card.reprojection_limit == 0.02
    assert not any("re-projection" in line for line in card.limits)


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path, private: Ed25519PrivateKey) -> None:
    assert refused(tmp_path, private).code is ExitCode.RUN_INVALID
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_round_is_refused(run: Path, private: Ed25519PrivateKey) -> None:
    (run / "rounds.jsonl").write_text("")
    assert "no round has been averaged" in refused(run, private).what


def test_a_run_record_that_no_card_can_hold_is_one_line(run: Path, private: Ed25519PrivateKey) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"bundle_sha256": "none"}))
    found = refused(run, private)
    assert (found.code, "bundle_sha256" in found.what) == (ExitCode.RUN_INVALID, True)
