"""Several looks at one head: moved in its radiographs as it would be in space, moved back, and averaged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from common.geometry import Geometry, Grid
from common.networks import Generator, build_generator
from common.networks.moved_head import MOVES, Move, MovedHead, moved_back
from common.projection import Projector
from common.study import Study

GRID = Grid(shape=(32, 36, 34), voxel_mm=6.0)
GEOMETRY = Geometry(detector_shape=(96, 96), pixel_mm=4.0)


def head() -> Tensor:
    """(1, 1, z, y, x): smooth blobs, none like its mirror image, away from the edges."""
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in GRID.shape), indexing="ij")
    blobs = [(10, 12, 11, 3.0, 1.0), (20, 24, 14, 4.0, 0.6), (15, 16, 23, 3.5, 0.8)]
    parts = [a * torch.exp(-((z - k) ** 2 + (y - j) ** 2 + (x - i) ** 2) / (2 * s * s)) for k, j, i, s, a in blobs]
    return sum(parts, torch.zeros(GRID.shape))[None, None]


def projected(volume: Tensor) -> Tensor:
    return Projector(GRID, GEOMETRY)(volume)


@pytest.mark.parametrize("move", [move for move in MOVES[7] if any(move)] + [(1, -1, 1), (-1, -1, -1)])
def test_a_head_moved_in_its_radiographs_is_the_head_moved_in_space(move: Move) -> None:
    volume = head()
    moved = torch.roll(volume, move, dims=(2, 3, 4))
    wanted, still = projected(moved), projected(volume)
    found = MovedHead(GRID, GEOMETRY, 7).radiographs(still, move)
    error, unmoved = ((one - wanted).square().mean().sqrt() for one in (found, still))
    assert error < 0.15 * unmoved


@pytest.mark.parametrize("move", MOVES[27])
def test_what_is_moved_comes_back(move: Move) -> None:
    volume = head()
    moved = torch.roll(volume, move, dims=(2, 3, 4))
    inner = (..., slice(1, -1), slice(1, -1), slice(1, -1))
    assert torch.equal(moved_back(moved, move)[inner], volume[inner])


def test_moves_are_each_other_s_reverse_so_that_their_mean_stays() -> None:
    for moves in MOVES.values():
        assert len(set(moves)) == len(moves)
        assert [sum(axis) for axis in zip(*moves, strict=True)] == [0, 0, 0]
    assert [len(moves) for moves in MOVES.values()] == list(MOVES)


def test_several_looks_are_the_plain_mean_of_each_look_moved_back(make_study, radiographs) -> None:
    one, seven = (make_study(consistency_steps=0, inference_looks=looks) for looks in (1, 7))
    single, several = (build_generator(study).eval() for study in (one, seven))
    pair = radiographs(one)
    moved = MovedHead(one.grid, one.geometry, 7)
    with torch.inference_mode():
        looks = [moved_back(single(moved.radiographs(pair, move)), move) for move in MOVES[7]]
        assert torch.allclose(several(pair), sum(looks) / 7, atol=1e-6)
        assert not torch.allclose(several(pair), single(pair), atol=1e-6)


def test_training_looks_once(make_study, radiographs) -> None:
    one, many = (build_generator(make_study(inference_looks=looks)).train() for looks in (1, 27))
    pair = radiographs(make_study())
    assert torch.equal(one(pair), many(pair))


def test_looks_that_differ_are_doubt(make_study, radiographs) -> None:
    def doubting(looks: int) -> Generator:
        document = make_study().model_dump()
        document["optimisation"]["likelihood_weight"] = 0.1
        document["networks"]["generator"] |= {"variance": True, "inference_looks": looks}
        return build_generator(Study.model_validate(document)).eval()

    one, seven = doubting(1), doubting(7)
    pair = radiographs(make_study())
    with torch.inference_mode():
        single, several = one.predict(pair), seven.predict(pair)
    assert single.sd is not None
    assert several.sd is not None
    assert float(several.sd.mean()) > float(single.sd.mean())


def test_a_study_that_looks_once_keeps_its_identity(make_study) -> None:
    assert make_study().sha256 == make_study(inference_looks=1).sha256 != make_study(inference_looks=7).sha256
