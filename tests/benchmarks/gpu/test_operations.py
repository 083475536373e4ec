"""A training step on another device than the CPU, walked through without one."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu.operations import META, counted, counting, measure, still
from benchmarks.gpu.studies import shipped
from benchmarks.gpu.tiles import whole_tiles
from benchmarks.step.worker import LIFTING, X2CT
from common.geometry import Pose
from common.projection import Projector


def test_a_mixture_of_devices_is_noticed() -> None:
    with counting(), pytest.raises(RuntimeError, match="cpu and meta"):
        torch.zeros(3, 3, device=META) @ torch.zeros(3, 3)


@pytest.mark.parametrize("network", [LIFTING, X2CT])
def test_no_part_of_a_step_mixes_devices_and_few_values_are_read_back(network: str) -> None:
    found = counted(still(shipped(tiny=True, widened=True, network=network)))
    assert found["step"]["operations"] > found["network alone"]["operations"] > 100
    # Two losses and two norms are looked at before a network moves, and five losses are told.
    assert found["step"]["values_read"] == 9
    assert all(part["values_read"] == 0 for name, part in found.items() if name != "step")


def test_what_a_card_adds_up_in_any_order_is_known() -> None:
    found = counted(still(shipped(tiny=True, widened=True)))
    atlas, detail, lifting = "a trilinear interpolation", "avg_pool3d", "grid_sample"
    assert found["step"]["unordered"] == [f"gradient of {part}" for part in (atlas, detail, lifting)]
    assert all(part["unordered"] == [] for name, part in found.items() if name != "step")


def test_the_count_is_a_result() -> None:
    figures = measure(tiny=True).figures
    assert figures["whole tiles"]["step"]["operations"] < figures["as it is"]["step"]["operations"]


@pytest.mark.parametrize("pose", [Pose(), Pose(pitch_deg=4.0, yaw_deg=-7.0)])
def test_whole_tiles_ask_for_less_and_project_the_same(pose: Pose) -> None:
    study = still(shipped(tiny=True, widened=True))
    geometry = study.geometry.model_copy(update={"frontal_pose": pose, "detector_shape": (160, 160), "pixel_mm": 2.4})
    volumes = torch.rand(2, 1, *study.grid.shape, generator=torch.Generator().manual_seed(1))
    tiled = Projector(study.grid, geometry)
    pair = tiled(volumes)
    back = tiled.adjoint(pair)
    with whole_tiles():
        whole = Projector(study.grid, geometry)
        assert torch.allclose(whole(volumes), pair, rtol=1e-5, atol=1e-4)
        assert torch.allclose(whole.adjoint(pair), back, rtol=1e-5, atol=1e-3)
        fewer = counted(study.model_copy(update={"geometry": geometry}))["projection"]["operations"]
    assert fewer < counted(study.model_copy(update={"geometry": geometry}))["projection"]["operations"]
