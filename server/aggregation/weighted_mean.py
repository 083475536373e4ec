"""Weighted averaging of the sites' weights: streaming, in float64, with the same bits for any order of arrival.

Checked replies wait on disk and are added in the order of the sites' names, one in memory at a time. A coordinator that
is killed in mid-round finds them there again.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import Weights


def weighted_mean(contributions: Iterable[tuple[float, Weights]]) -> dict[str, Tensor]:
    """Σ share·weights / Σ share, summed in float64 in the order given, rounded once to float32.

    Raises:
        Refusal: ``TOO_FEW_SITES`` if there is no contribution.
    """
    sums: dict[str, Tensor] = {}
    total = 0.0
    for share, weights in contributions:
        total += share
        for name, tensor in weights.items():
            term = tensor.to(torch.float64) * share
            sums[name] = sums[name].add_(term) if name in sums else term
    if not total > 0:
        raise Refusal(ExitCode.TOO_FEW_SITES, "no reply to aggregate", where="round", mend="wait for sites to join")
    return {name: (tensor / total).to(torch.float32) for name, tensor in sums.items()}
