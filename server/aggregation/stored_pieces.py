"""The replies of a round side by side, a piece at a time: in memory as much for any number of replies.

Files of :class:`server.aggregation.incoming_replies.IncomingReplies` are safetensors: eight bytes of length, a table in
JSON, raw numbers. They are read in place, and not mapped, so that what was read leaves the process again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from common.errors import ExitCode, Refusal

PIECE_NUMBERS = 1 << 20
"""Numbers of all replies that are in memory at once; a piece of every reply has at least one."""
PIECE_BYTES = 48 * PIECE_NUMBERS
"""Most memory for a piece: float32 as read, float64, and what sorting or a product takes beside it."""


@final
@dataclass(frozen=True)
class Piece:
    """Some consecutive numbers of one tensor in every reply.

    Attributes:
        name: the tensor's joined name.
        first: index of its first number here, in the flat tensor.
        values: (replies, numbers), float64, replies in the order of the files.
    """

    name: str
    first: int
    values: Tensor

    @property
    def place(self) -> slice:
        """Where the numbers lie in the flat tensor."""
        return slice(self.first, self.first + self.values.shape[1])


def stored_pieces(paths: Sequence[Path]) -> Iterator[Piece]:
    """Every number of every file once, tensor by tensor in the order of their names.

    Args:
        paths: files of float32 tensors with one set of names and shapes.

    Raises:
        Refusal: ``RUN_INVALID`` if a file is damaged or holds other tensors than the first.
    """
    tables = [_Table.of(path) for path in paths]
    most = max(1, PIECE_NUMBERS // max(len(paths), 1))
    for name, (_, count) in sorted(tables[0].tensors.items()) if tables else ():
        for first in range(0, count, most):
            rows = [table.read(name, first, min(most, count - first)) for table in tables]
            yield Piece(name, first, torch.from_numpy(np.stack(rows)).double())


@final
@dataclass(frozen=True)
class _Table:
    path: Path
    tensors: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, path: Path) -> _Table:
        try:
            with path.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                table = json.loads(stream.read(length))
            table.pop("__metadata__", None)
            kinds = {entry["dtype"] for entry in table.values()}
            found = {
                name: (8 + length + int(entry["data_offsets"][0]), math.prod(entry["shape"]))
                for name, entry in table.items()
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(path) from error
        if kinds - {"F32"}:
            raise _damaged(path)
        return cls(path, found)

    def read(self, name: str, first: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        offset, held = self.tensors.get(name, (0, 0))
        if first + count > held:
            raise _damaged(self.path)
        try:
            numbers = np.fromfile(self.path, "<f4", count, offset=offset + 4 * first)
        except OSError as error:
            raise _damaged(self.path) from error
        if len(numbers) != count:
            raise _damaged(self.path)
        return numbers


def _damaged(path: Path) -> Refusal:
    mend = "remove it: the site is asked again"
    return Refusal(ExitCode.RUN_INVALID, "reply on disk damaged", where=str(path), mend=mend)
