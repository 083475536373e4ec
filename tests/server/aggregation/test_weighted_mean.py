from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import TrainLosses, TrainReply
from common.study import Study
from server.aggregation.incoming_replies import IncomingReplies
from server.aggregation.strategy import RoundStart
from server.aggregation.weighted_mean import WeightedMean, weighted_mean

LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2, adversarial=0.1, discriminator=0.3)
VALUES = st.lists(
    st.tuples(st.integers(1, 1000), st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3)),
    min_size=1,
    max_size=6,
)


@given(VALUES)
def test_mean_agrees_with_exact_rational_arithmetic(sites: list[tuple[int, list[float]]]) -> None:
    mean = weighted_mean((float(n), {"w": torch.tensor(values)}) for n, values in sites)["w"]
    total = sum(n for n, _ in sites)
    for position in range(3):
        exact = math.fsum(n * float(np.float32(values[position])) for n, values in sites) / total
        assert float(mean[position]) == pytest.approx(exact, rel=1e-6, abs=1e-9)


def _mean(incoming: IncomingReplies, weighting: Literal["cases", "equal"] = "cases") -> dict[str, Tensor]:
    return WeightedMean(weighting, 10.0).aggregate(RoundStart({}), incoming).weights["generator"]


def _reply(study: Study, cases: int) -> TrainReply:
    return TrainReply(
        study_sha256=study.sha256, run="r", round=1, cases=cases, steps=1, skipped_steps=0, seconds=0.0, losses=LOSSES
    )


def test_any_order_of_arrival_gives_the_same_bits(study: Study, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(3)
    replies = {name: torch.randn(1000, generator=random) * 10**power for power, name in enumerate("abcd")}
    results = []
    for number, order in enumerate(permutations(replies)):
        incoming = IncomingReplies(tmp_path / str(number))
        for name in order:
            incoming.add(name, _reply(study, 1 + ord(name) % 3), {"generator": {"w": replies[name]}})
        results.append(_mean(incoming)["w"])
    assert all(torch.equal(result, results[0]) for result in results)


def test_equal_weighting_ignores_case_numbers(study: Study, tmp_path: Path) -> None:
    incoming = IncomingReplies(tmp_path)
    incoming.add("a", _reply(study, 1), {"generator": {"w": torch.tensor([0.0])}})
    incoming.add("b", _reply(study, 9), {"generator": {"w": torch.tensor([1.0])}})
    assert float(_mean(incoming, "equal")["w"]) == 0.5
    assert float(_mean(incoming)["w"]) == pytest.approx(0.9)


def test_replies_wait_on_disk_for_a_coordinator_that_was_killed(study: Study, tmp_path: Path) -> None:
    IncomingReplies(tmp_path).add("a", _reply(study, 4), {"generator": {"w": torch.ones(2)}})
    again = IncomingReplies(tmp_path)
    assert again.replies()["a"].cases == 4
    assert torch.equal(_mean(again)["w"], torch.ones(2))


def test_no_reply_is_no_average() -> None:
    with pytest.raises(Refusal) as caught:
        weighted_mean([])
    assert caught.value.code is ExitCode.TOO_FEW_SITES
