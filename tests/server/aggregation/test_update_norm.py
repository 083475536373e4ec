from __future__ import annotations

import pytest
import torch

from common.errors import Refusal
from server.aggregation.strategy import RoundStart
from server.aggregation.update_norm import check_update
from server.aggregation.weighted_mean import WeightedMean


def test_an_update_beyond_the_norm_bound_is_refused() -> None:
    start = {"generator": {"w": torch.full((4,), 2.0)}}
    check_update({"generator": {"w": torch.full((4,), 3.0)}}, start, 0.5)
    with pytest.raises(Refusal, match="moved"):
        check_update({"generator": {"w": torch.full((4,), 3.1)}}, start, 0.5)


def test_the_mean_checks_each_reply_against_what_was_sent() -> None:
    start = RoundStart({"generator": {"w": torch.full((4,), 2.0)}})
    WeightedMean("cases", 0.5).check({"generator": {"w": torch.full((4,), 3.0)}}, start)
    with pytest.raises(Refusal, match="moved"):
        WeightedMean("cases", 0.5).check({"generator": {"w": torch.full((4,), 3.1)}}, start)
