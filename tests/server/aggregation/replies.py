"""Rounds made of whole numbers, as the coordinator would have them on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from common.exchange import TrainLosses, TrainReply
from server.aggregation import IncomingReplies

LOSSES = TrainLosses(generator=1.0, reconstruction=0.5, reprojection=0.2)


def kept(folder: Path, values: Mapping[str, Tensor | list[float]], cases: int = 4) -> IncomingReplies:
    """Replies of sites, each with its values as the generator's one tensor."""
    incoming = IncomingReplies(folder)
    for site, numbers in values.items():
        reply = TrainReply(
            study_sha256="0" * 64, run="r", round=1, cases=cases, steps=1, skipped_steps=0, seconds=0.0, losses=LOSSES
        )
        incoming.add(site, reply, {"generator": {"w": torch.as_tensor(numbers, dtype=torch.float32)}})
    return incoming
