from __future__ import annotations

from pathlib import Path

import pytest
import torch

from common.errors import ExitCode, Refusal
from common.files import write_tensors
from server.aggregation import stored_pieces as module
from server.aggregation.stored_pieces import stored_pieces

TENSORS = {
    "a/one": torch.arange(13.0).reshape(13),
    "a/two": torch.arange(24.0).reshape(2, 3, 4),
    "b/s": torch.tensor(5),
}


def _written(folder: Path, factor: float) -> Path:
    path = folder / f"{factor}.safetensors"
    write_tensors(path, {name: tensor.float() * factor for name, tensor in TENSORS.items()})
    return path


@pytest.mark.parametrize("numbers", [1, 2, 7, 1000])
def test_pieces_together_are_the_replies(numbers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_NUMBERS", numbers)
    paths = [_written(tmp_path, factor) for factor in (1.0, -2.0)]
    found = {name: torch.full((2, tensor.numel()), torch.nan) for name, tensor in TENSORS.items()}
    for piece in stored_pieces(paths):
        assert piece.values.dtype == torch.float64
        assert piece.values.numel() <= max(numbers, 2)
        found[piece.name][:, piece.place] = piece.values.float()
    for name, tensor in TENSORS.items():
        assert torch.equal(found[name][0], tensor.float().reshape(-1))
        assert torch.equal(found[name][1], -2 * tensor.float().reshape(-1))


def test_a_damaged_reply_is_named(tmp_path: Path) -> None:
    paths = [_written(tmp_path, factor) for factor in (1.0, 2.0)]
    paths[1].write_bytes(paths[1].read_bytes()[:-8])
    with pytest.raises(Refusal) as caught:
        list(stored_pieces(paths))
    assert (caught.value.code, caught.value.where) == (ExitCode.RUN_INVALID, str(paths[1]))


def test_other_numbers_than_float32_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    write_tensors(path, {"a/one": torch.ones(3, dtype=torch.bfloat16)})
    with pytest.raises(Refusal, match="damaged"):
        list(stored_pieces([path]))
