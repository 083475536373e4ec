"""A site that says what cannot be: refused with a reason on record, and the run is the one without it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message

from server.rounds import Outcome, RoundRecord
from tests.server.rounds.conftest import refuse


def _edited(reply: Message, change: dict[str, Any]) -> Message:
    document = json.loads(str(reply.content["header"]["json"])) | change
    reply.content["header"] = ConfigRecord({"json": json.dumps(document)})
    return reply


def _one_round(bench) -> None:
    bench.study = bench.study.model_copy(update={"federation": bench.study.federation.model_copy(update={"rounds": 1})})
    for site in bench.sites.values():
        site.study = bench.study


def _run(bench) -> RoundRecord:
    (record,) = bench.run().rounds()
    return record


LOSSES = {"generator": 1.0, "reconstruction": 0.5, "reprojection": 0.2, "adversarial": 0.1, "discriminator": 0.3}
TRAIN_LIES: dict[str, dict[str, Any]] = {
    "no steps": {"steps": 0},
    "fewer steps": {"steps": 39},
    "all steps skipped": {"skipped_steps": 40},
    "a loss of 1e12": {"losses": LOSSES | {"generator": 1e12}},
    "a loss of -1e12": {"losses": LOSSES | {"reconstruction": -1e12}},
}


@pytest.mark.parametrize("name", TRAIN_LIES)
def test_a_lying_training_reply_costs_its_sender_alone(bench, name: str, tmp_path) -> None:
    _one_round(bench)
    bench.sites["south"].tamper = lambda _m, reply: _edited(reply, TRAIN_LIES[name])
    lied = _run(bench)
    bench.path = tmp_path / "silent"
    bench.sites["south"].tamper = refuse("internal")
    silent = _run(bench)
    south = next(entry for entry in lied.training if entry.site == "south")
    assert (south.outcome, bool(south.reason)) == (Outcome.REFUSED_BY_COORDINATOR, True)
    assert lied.generator_sha256 == silent.generator_sha256
    assert lied.discriminator_sha256 == silent.discriminator_sha256


def _method(name: str = "generator", **metrics: tuple[int, float, float]) -> dict[str, Any]:
    keys = ("cases", "total", "total_of_squares")
    return {"method": name, "metrics": {metric: dict(zip(keys, sums, strict=True)) for metric, sums in metrics.items()}}


PSNR = (4, 80.0, 1600.5)
EVALUATION_LIES: dict[str, dict[str, Any]] = {
    "SSIM of 2": {"methods": [_method(ssim=(4, 8.0, 16.0))]},
    "PSNR of 101 dB": {"methods": [_method(psnr_db=(4, 404.0, 40804.0))]},
    "n differs": {"methods": [_method(psnr_db=PSNR, ssim=(3, 1.5, 0.75))]},
    "a method twice": {"methods": [_method(psnr_db=PSNR), _method(psnr_db=PSNR)]},
    "suppressed with methods": {"suppressed": True, "cases": 2, "methods": [_method(psnr_db=PSNR)]},
    "unknown metrics": {"methods": [_method(psnr_db=PSNR, **{f"m{number}": PSNR for number in range(60)})]},
    "unknown method": {"methods": [_method(psnr_db=PSNR), _method("smith-jane", psnr_db=PSNR)]},
    "squares below n times mean squared": {"methods": [_method(psnr_db=(4, 80.0, 1599.0))]},
    "squares of no bounded values": {"methods": [_method(ssim=(4, 2.0, 5.0))]},
}


@pytest.mark.parametrize("name", EVALUATION_LIES)
def test_a_lying_evaluation_is_no_evaluation(bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _one_round(bench)
    west = bench.sites["west"]
    truthful = west._evaluate
    monkeypatch.setattr(west, "_evaluate", lambda m, r: _edited(truthful(m, r), EVALUATION_LIES[name]))
    entry = next(entry for entry in _run(bench).evaluation if entry.site == "west")
    assert (entry.outcome, bool(entry.reason), entry.methods) == (Outcome.REFUSED_BY_COORDINATOR, True, ())


FLOW_LIES: dict[str, dict[str, Any]] = {
    "a million excluded of three": {"found": 3, "eligible": 3, "used": 3, "excluded": {"not_ct": 10**6}},
    "a verdict of its own": {"found": 20, "eligible": 15, "used": 6, "excluded": {"smith-jane": 14}},
}


@pytest.mark.parametrize("name", FLOW_LIES)
def test_a_site_whose_counts_cannot_be_does_not_register(bench, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _one_round(bench)
    bench.wait_for_sites_s = 1.0
    south = bench.sites["south"]
    truthful = south._register
    monkeypatch.setattr(south, "_register", lambda m, r: _edited(truthful(m, r), {"flow": FLOW_LIES[name]}))
    directory = bench.run()
    record = directory.run_record()
    assert record is not None
    assert [site.name for site in record.sites] == ["east", "north", "west"]
    assert "smith" not in directory.events.read_text()
    assert '"site":"south","detail":"' in directory.events.read_text()
