"""Checked training replies of one round, on disk until the round is aggregated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import final

from torch import Tensor

from common.exchange import TrainReply, Weights, joined, parted
from common.files import make_folder, read_tensors, write_atomic, write_tensors
from common.study import Study
from server.aggregation.weighted_mean import weighted_mean


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
