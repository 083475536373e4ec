from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from common.errors import ExitCode, Refusal
from server.aggregation import RoundStart
from server.aggregation.coordinate_wise import CoordinateMedian, TrimmedMean
from tests.server.aggregation.replies import kept

START = RoundStart({"generator": {"w": torch.zeros(1000)}})


@pytest.mark.parametrize("count", [3, 4, 7, 8])
def test_they_agree_with_scipy_and_numpy(count: int, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(count)
    values = {f"site-{number}": torch.randn(1000, generator=random) for number in range(count)}
    table = np.stack([tensor.double().numpy() for tensor in values.values()])
    incoming = kept(tmp_path, values)
    median = CoordinateMedian(10.0).aggregate(START, incoming).weights["generator"]["w"]
    assert np.array_equal(median.numpy(), np.median(table, axis=0).astype(np.float32))
    trimmed = TrimmedMean(10.0, 1).aggregate(START, incoming).weights["generator"]["w"]
    assert np.allclose(trimmed.numpy(), stats.trim_mean(table, 1 / count + 1e-9, axis=0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("count", "refused"), [(4, True), (5, False)])
def test_a_trimmed_mean_has_somebody_left(count: int, refused: bool, tmp_path: Path) -> None:
    incoming = kept(tmp_path, {str(number): torch.ones(1000) for number in range(count)})
    if not refused:
        assert torch.equal(TrimmedMean(10.0, 2).aggregate(START, incoming).weights["generator"]["w"], torch.ones(1000))
        return
    with pytest.raises(Refusal) as caught:
        TrimmedMean(10.0, 2).aggregate(START, incoming)
    assert caught.value.code is ExitCode.TOO_FEW_SITES
