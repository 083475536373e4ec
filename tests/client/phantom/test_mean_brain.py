"""The networks' table of the average brain is what this release's procedural head makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load

import common.networks
from client.phantom.mean_brain import mean_brain_hu
from common.networks.brain_atlas import ATLAS_LOW_MM, ATLAS_NODE_MM, ATLAS_SHAPE

TABLE = Path(common.networks.__file__).with_name("brain_atlas.safetensors")


def node(z_mm: float, y_mm: float, x_mm: float) -> tuple[int, int, int]:
    z, y, x = (round((at - low) / ATLAS_NODE_MM) for at, low in zip((z_mm, y_mm, x_mm), ATLAS_LOW_MM, strict=True))
    return z, y, x


def test_the_table_is_made_of_the_procedural_head() -> None:
    kept = load(TABLE.read_bytes())["hu"].astype(np.float32)
    assert kept.shape == (3, *ATLAS_SHAPE)
    assert np.abs(kept - mean_brain_hu()).max() < 0.1


def test_ventricles_and_sulci_stand_where_they_belong() -> None:
    mean, ventricles, sulci = load(TABLE.read_bytes())["hu"].astype(np.float32)
    lateral, white, falx_side = node(38, 0, 8), node(50, 20, 35), node(55, -40, 5)
    assert mean[lateral] < mean[white] - 10
    assert ventricles[lateral] < -2
    assert abs(ventricles[white]) < 0.5
    assert sulci[falx_side] < ventricles[falx_side]
    assert np.abs(mean - mean[:, :, ::-1]).mean() < 1.5
