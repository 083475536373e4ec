"""Finished training replies on the site's disk, so that a repeated request costs no second training.

A reply can be lost on its way (a drop-out, a kill between training and sending). The coordinator then asks again, and
the answer comes from here, bit for bit the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import final

from torch import Tensor

from common.exchange import TrainReply, TrainRequest, joined, parted
from common.files import make_folder, read_tensors, write_atomic, write_tensors

KEPT_ROUNDS = 2


@final
class FinishedReplies:
    """The newest finished replies of each run, in a folder of the site's state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(
        self, request: TrainRequest, broadcast: str, reply: TrainReply, weights: dict[str, dict[str, Tensor]]
    ) -> None:
        """Keep a reply with its weights by network; older rounds of the run are dropped.

        Args:
            broadcast: SHA-256 of the weights the training started from.
        """
        folder = make_folder(self._place(request))
        write_tensors(folder / f"{broadcast}.safetensors", joined(weights))
        write_atomic(folder / f"{broadcast}.json", reply.model_dump_json().encode())
        self._drop_old(request)

    def find(self, request: TrainRequest, broadcast: str) -> tuple[TrainReply, dict[str, dict[str, Tensor]]] | None:
        """The finished reply to this very request, or None."""
        header = self._place(request) / f"{broadcast}.json"
        if not header.exists():
            return None
        reply = TrainReply.model_validate_json(header.read_text(encoding="utf-8"))
        return reply, parted(read_tensors(header.with_suffix(".safetensors")))

    def _place(self, request: TrainRequest) -> Path:
        return self._folder / request.run / f"round-{request.round:06d}"

    def _drop_old(self, request: TrainRequest) -> None:
        rounds = sorted((self._folder / request.run).glob("round-*"))
        for old in rounds[:-KEPT_ROUNDS]:
            shutil.rmtree(old)
