"""What every strategy promises: the same bits for any order, the memory it says, nothing kept but what it names."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from common.exchange import TrainLosses, TrainReply
from common.study import Federation
from server.aggregation import IncomingReplies, RoundStart, Strategy, stored_pieces, strategy_of
from server.aggregation.coordinate_wise import CoordinateMedian, TrimmedMean
from server.aggregation.krum import Krum
from server.aggregation.outer_momentum import GENERATOR_VELOCITY, OuterMomentum
from server.aggregation.stored_pieces import Piece
from server.aggregation.weighted_mean import WeightedMean

LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2, adversarial=0.1, discriminator=0.3)
PARAMETERS = 200_000
FEDERATIONS = {
    "mean": Federation(),
    "capped": Federation(maximum_share=0.5),
    "momentum": Federation(outer_momentum=0.5),
    "trimmed": Federation(strategy="trimmed_mean", weighting="equal", hostile_sites=1, minimum_train_sites=3),
    "median": Federation(strategy="median", weighting="equal"),
    "krum": Federation(strategy="krum", weighting="equal", hostile_sites=1, minimum_train_sites=5),
    "median with momentum": Federation(strategy="median", weighting="equal", outer_momentum=0.5),
}
EVERY_STRATEGY = pytest.mark.parametrize(
    "strategy", [strategy_of(one) for one in FEDERATIONS.values()], ids=list(FEDERATIONS)
)


def weights(seed: int) -> dict[str, dict[str, Tensor]]:
    random = torch.Generator().manual_seed(seed)
    return {name: {"w": torch.randn(PARAMETERS, generator=random)} for name in ("generator", "discriminator")}


def arrived(folder: Path, sites: str) -> IncomingReplies:
    incoming = IncomingReplies(folder)
    for site in sites:
        reply = TrainReply(
            study_sha256="0" * 64, run="r", round=1, cases=ord(site) % 7 + 1, steps=1, skipped_steps=0, seconds=0.0,
            losses=LOSSES,
        )  # fmt: skip
        incoming.add(site, reply, weights(ord(site)))
    return incoming


class Watched(IncomingReplies):
    """Counts the bytes of all tensors alive whenever a reply or a piece was read, and when the last one was taken."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.before, self.peak = alive_bytes(), 0

    def weights(self, sites: Collection[str] | None = None) -> Iterator[tuple[str, dict[str, Tensor]]]:
        for site, held in super().weights(sites):
            self.look()
            yield site, held
            self.look()

    def pieces(self) -> Iterator[Piece]:
        for piece in super().pieces():
            self.look()
            yield piece
            self.look()

    def look(self) -> None:
        self.peak = max(self.peak, alive_bytes() - self.before)


def alive_bytes() -> int:
    storages = {}
    for one in gc.get_objects():
        if issubclass(type(one), Tensor):
            storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
    return sum(storages.values())


def test_the_study_chooses_the_strategy() -> None:
    assert strategy_of(FEDERATIONS["mean"]) == WeightedMean("cases", 10.0)
    assert strategy_of(FEDERATIONS["capped"]) == WeightedMean("cases", 10.0, 0.5)
    assert strategy_of(FEDERATIONS["trimmed"]) == TrimmedMean(10.0, 1)
    assert strategy_of(FEDERATIONS["median"]) == CoordinateMedian(10.0)
    assert strategy_of(FEDERATIONS["krum"]) == Krum(1, 10.0)
    assert strategy_of(FEDERATIONS["momentum"]) == OuterMomentum(WeightedMean("cases", 10.0), 0.5)


@EVERY_STRATEGY
def test_any_order_of_arrival_gives_the_same_bits(strategy: Strategy, tmp_path: Path) -> None:
    start = RoundStart(weights(1))
    one, other = (strategy.aggregate(start, arrived(tmp_path / order, order)) for order in ("abcde", "dbeca"))
    for network in one.weights:
        assert torch.equal(one.weights[network]["w"], other.weights[network]["w"])
    for name in one.kept:
        assert torch.equal(one.kept[name]["w"], other.kept[name]["w"])


@EVERY_STRATEGY
def test_it_keeps_what_it_names_and_takes_it_up_again(strategy: Strategy, tmp_path: Path) -> None:
    first = strategy.aggregate(RoundStart(weights(1)), arrived(tmp_path / "first", "abcde"))
    assert set(first.kept) == strategy.keeps
    second = strategy.aggregate(RoundStart(first.weights, first.kept), arrived(tmp_path / "second", "abcde"))
    forgotten = strategy.aggregate(RoundStart(first.weights), arrived(tmp_path / "third", "abcde"))
    same = torch.equal(second.weights["generator"]["w"], forgotten.weights["generator"]["w"])
    assert same == (GENERATOR_VELOCITY not in strategy.keeps)


@EVERY_STRATEGY
@pytest.mark.parametrize("sites", ["abcde", "abcdefghijklmnop"], ids=len)
def test_it_holds_no_more_than_it_says(
    strategy: Strategy, sites: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_pieces, "PIECE_NUMBERS", 1 << 18)
    arrived(tmp_path, sites)
    start = RoundStart(weights(1))
    model_bytes = 2 * PARAMETERS * 4
    # What was there before is looked past, which is a thousand times faster.
    gc.freeze()
    watched = Watched(tmp_path)
    found = strategy.aggregate(start, watched)
    watched.look()
    gc.unfreeze()
    assert found.weights
    # A reader that kept every reply would be seen: the larger round would need sixteen models for them alone.
    assert 0 < watched.peak <= min(strategy.memory_bytes(model_bytes, len(sites)), 6 * model_bytes)
    assert strategy.memory_bytes(model_bytes, 4) == strategy.memory_bytes(model_bytes, 64)
