"""A site that sends other weights than it trained, or claims more cases than it has: one vote at most."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from flwr.app import Message
from torch import Tensor

from common.exchange import TrainReply, TrainRequest, joined, pack, read_reply, read_request, train_manifests
from common.exchange import unpack_weights as unpacked
from common.exchange.messages import Kind
from common.study import Study
from server.rounds import Outcome, RoundRecord, SiteTraining, follow
from tests.server.rounds import conftest as rounds
from tests.server.rounds.conftest import refuse

Lie = Callable[[Tensor, Tensor], Tensor]
# Of a tensor as it was sent and as it was trained.
LIES: dict[str, Lie] = {
    "sign flip": lambda sent, _trained: -sent,
    "five times": lambda sent, _trained: 5 * sent,
    "all zero": lambda sent, _trained: 0 * sent,
    "reversed update": lambda sent, trained: 2 * sent - trained,
    "ten times the update": lambda sent, trained: sent + 10 * (trained - sent),
}


@pytest.fixture
def consortium(bench, monkeypatch: pytest.MonkeyPatch):
    """One round, in which the honest sites move alike."""
    for name, delta in {"east": 0.02, "north": 0.025, "south": 0.03}.items():
        bench.sites[name].delta = delta
    _with(bench, rounds=1)
    return bench


def _with(bench, **federation: object) -> None:
    whole = bench.study.federation.model_dump() | federation
    bench.study = Study.model_validate(bench.study.model_dump() | {"federation": whole})
    for site in bench.sites.values():
        site.study = bench.study


def _lying(study: Study, lie: Lie, cases: int | None = None) -> Callable[[Message, Message], Message]:
    def tamper(message: Message, reply: Message) -> Message:
        manifests = train_manifests(study)
        sent, trained = unpacked(message.content, manifests), unpacked(reply.content, manifests)
        header = read_reply(reply.content, Kind.TRAIN)
        assert isinstance(header, TrainReply)
        assert isinstance(read_request(message.content, Kind.TRAIN), TrainRequest)
        false = {
            network: {name: lie(tensor, trained[network][name]) for name, tensor in tensors.items()}
            for network, tensors in sent.items()
        }
        header = header.model_copy(update={"cases": cases or header.cases})
        return Message(pack(header, {name: (manifests[name], false[name]) for name in manifests}), reply_to=message)

    return tamper


def _round(bench) -> RoundRecord:
    (record,) = bench.run().rounds()
    return record


def _south(record: RoundRecord) -> SiteTraining:
    return next(entry for entry in record.training if entry.site == "south")


def _weights(bench, number: int) -> Tensor:
    weights, _ = bench.run().read_checkpoint(number)
    return torch.cat([tensor.reshape(-1).double() for tensor in joined(weights).values()])


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_flagged_in_record_events_and_report(consortium, name: str) -> None:
    consortium.sites["south"].tamper = _lying(consortium.study, LIES[name])
    record = _round(consortium)
    south = _south(record)
    assert south.outcome is Outcome.ACCEPTED
    assert "generator" in south.reason
    assert [entry.reason for entry in record.training if entry.site != "south"] == ["", ""]
    events, _ = follow(consortium.run().events, 0)
    assert [(event.site, event.detail) for event in events if event.kind == "flagged"] == [("south", south.reason)]


@pytest.mark.parametrize("name", LIES)
def test_where_the_study_says_so_the_round_is_the_one_in_which_the_liar_was_silent(
    consortium, name: str, tmp_path
) -> None:
    _with(consortium, outliers="leave_out")
    consortium.sites["south"].tamper = _lying(consortium.study, LIES[name])
    lied = _round(consortium)
    consortium.path = tmp_path / "silent"
    consortium.sites["south"].tamper = refuse("internal")
    silent = _round(consortium)
    assert _south(lied).outcome is Outcome.REFUSED_BY_COORDINATOR
    assert _south(lied).reason.startswith("left out: ")
    assert lied.generator_sha256 == silent.generator_sha256
    assert lied.discriminator_sha256 == silent.discriminator_sha256


ROBUST = {
    "left out": {"outliers": "leave_out", "maximum_share": 0.5},
    "trimmed mean": {
        "strategy": "trimmed_mean", "weighting": "equal", "hostile_sites": 1, "minimum_train_sites": 3,
    },
    "median": {"strategy": "median", "weighting": "equal"},
}  # fmt: skip


@pytest.mark.parametrize("name", ROBUST)
def test_a_million_cases_and_negated_weights_do_not_turn_the_model(
    consortium, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rounds.CASES, "south", 900_000)
    _allow_many(consortium, monkeypatch)
    _with(consortium, **ROBUST[name])
    consortium.sites["south"].tamper = _lying(consortium.study, LIES["sign flip"])
    assert _cosine(_weights(consortium, 0), _weights(consortium, 1)) > 0.9


def test_without_any_of_it_the_model_is_turned(consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rounds.CASES, "south", 900_000)
    _allow_many(consortium, monkeypatch)
    consortium.sites["south"].tamper = _lying(consortium.study, LIES["sign flip"])
    assert _cosine(_weights(consortium, 0), _weights(consortium, 1)) < -0.99


def _allow_many(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """South finds as many series as it says it uses."""
    honest = rounds.CohortFlow
    monkeypatch.setattr(
        rounds,
        "CohortFlow",
        lambda found, eligible, used, excluded: honest(
            found=max(found, used), eligible=max(eligible, used), used=used, excluded={"not_ct": max(found - used, 0)}
        ),
    )


def test_a_share_is_capped_whatever_is_claimed(consortium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rounds.CASES, "south", 900_000)
    _allow_many(consortium, monkeypatch)
    _with(consortium, maximum_share=0.5)
    consortium.sites["south"].delta = 0.04
    moved = _weights(consortium, 1) - _weights(consortium, 0)
    honest = (2 * 0.02 + 3 * 0.025) / 5
    assert float(moved.mean()) == pytest.approx((honest + 0.04) / 2, rel=0.05)


@pytest.mark.parametrize(("most_cases", "registers"), [(5, False), (6, True)])
def test_a_site_registers_no_more_cases_than_its_admission_allows(consortium, most_cases: int, registers: bool) -> None:
    consortium.admitted = consortium.admitted | {
        "south": consortium.admitted["south"].model_copy(update={"most_cases": most_cases})
    }
    consortium.wait_for_sites_s = 1.0
    directory = consortium.run()
    record = directory.run_record()
    assert record is not None
    assert ("south" in {site.name for site in record.sites}) == registers
    assert ("6 cases, admitted with at most 5" in directory.events.read_text()) != registers
