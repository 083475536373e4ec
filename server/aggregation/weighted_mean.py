"""Weighted averaging of the sites' weights: streaming, in float64, with the same bits for any order of arrival.

Checked replies wait on disk and are added in the order of the sites' names, one in memory at a time. A coordinator that
is killed in mid-round finds them there again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from common.errors import ExitCode, Refusal
from common.exchange import TrainReply, Weights, joined, parted
from common.files import make_folder, read_tensors, write_atomic, write_tensors
from common.study import Study


@final
class IncomingReplies:
    """Checked training replies of one round, on disk until the round is aggregated.

    Args:
        folder: the round's own folder; one pair of files a site.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = make_folder(folder)

    def add(self, site: str, reply: TrainReply, weights: Mapping[str, Weights]) -> None:
        """Keep a checked reply. Raises ``Refusal`` where the disk does not take it."""
        write_tensors(self._folder / f"{site}.safetensors", joined(weights))
        write_atomic(self._folder / f"{site}.json", reply.model_dump_json().encode())

    def replies(self) -> dict[str, TrainReply]:
        """Replies held, in the order of the sites' names."""
        paths = sorted(self._folder.glob("*.json"))
        return {path.stem: TrainReply.model_validate_json(path.read_text(encoding="utf-8")) for path in paths}

    def average(self, study: Study) -> dict[str, dict[str, Tensor]]:
        """Weighted mean of the held weights by network, float32."""
        replies = self.replies()
        shares = {
            site: float(reply.cases if study.federation.weighting == "cases" else 1) for site, reply in replies.items()
        }
        mean = weighted_mean((shares[site], read_tensors(self._folder / f"{site}.safetensors")) for site in replies)
        return parted(mean)


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


def check_update(trained: Mapping[str, Weights], broadcast: Mapping[str, Weights], limit: float) -> None:
    """Refuse weights that lie further from the broadcast than ``limit`` times the broadcast's norm.

    Raises:
        Refusal: ``EXCHANGE_INVALID``.
    """
    for network, weights in trained.items():
        start = broadcast[network]
        moved = math.sqrt(sum(float((weights[n].double() - start[n].double()).square().sum()) for n in start))
        size = math.sqrt(sum(float(t.double().square().sum()) for t in start.values()))
        if not moved <= limit * size:
            what = f"weights moved {moved / max(size, 1e-30):.3g} times their norm, limit {limit:g}"
            raise Refusal(
                ExitCode.EXCHANGE_INVALID, what, where=network, mend="look for a diverged training at the site"
            )
