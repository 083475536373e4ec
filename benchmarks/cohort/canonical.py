"""(b): from a folder of DICOM slices to 128³ voxels of 1.8 mm, beside a plain MONAI pipeline on the same folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np

from benchmarks.cohort.clock import CostTable, interleaved_costs
from benchmarks.cohort.ours import case_with_radiographs, scanner_volume, volume_alone
from benchmarks.cohort.peers import AIR_HU, monai_pipeline, monai_volume, readers, sitk_volume
from benchmarks.measure import Goal
from client.case import Recipe
from common.geometry import Geometry, Grid
from common.study import RadiographSettings

GRID = Grid(shape=(128, 128, 128), voxel_mm=1.8)
RECIPE = Recipe(GRID, Geometry(detector_shape=(128, 128), pixel_mm=400 / 128), RadiographSettings())
WHOLE = "whole grid"
OURS, OURS_ALONE = "ours, case with radiographs", "ours, volume alone"


@final
@dataclass(frozen=True)
class Difference:
    """Absolute difference in HU between two volumes on one grid."""

    mean_hu: float
    max_hu: float


def rate_table(folders: Mapping[str, Path], turns: int) -> dict[str, CostTable]:
    """Median cost of one series by method, for each series."""
    table: dict[str, CostTable] = {}
    for name, folder in folders.items():
        methods: dict[str, Callable[[], object]] = {
            OURS: partial(case_with_radiographs, folder, RECIPE),
            OURS_ALONE: partial(volume_alone, folder, RECIPE),
        }
        methods |= {peer: partial(monai_pipeline(reader, GRID), str(folder)) for peer, reader in readers().items()}
        table[name] = interleaved_costs(methods, turns)
    return table


def rate_goals(table: Mapping[str, CostTable]) -> list[Goal]:
    """What (b) must show: twice the rate of MONAI with either reader, though ours aligns and projects besides."""
    goals = []
    for name, costs in table.items():
        for peer in costs:
            if peer not in (OURS, OURS_ALONE):
                ratio = costs[peer].wall_s / costs[OURS].wall_s
                goals.append(Goal(f"(b) {name} against {peer} (>= 2)", f"{ratio:.1f}x", ratio >= 2))
    return goals


def agreement_table(folders: Mapping[str, Path]) -> dict[str, dict[str, Difference]]:
    """Ours and MONAI's against SimpleITK, as scanned, on MONAI's own grid; everything below air counts as air.

    Whole grid, and without the two outermost layers, where it matters how far beyond the last centres one still reads.
    """
    table: dict[str, dict[str, Difference]] = {}
    for name, folder in folders.items():
        for peer, reader in readers().items():
            theirs, first_mm = monai_volume(reader, folder, GRID.voxel_mm)
            expected = sitk_volume(folder, first_mm, theirs.shape, GRID.voxel_mm)
            z, y, x = theirs.shape
            grid = Grid(shape=(z, y, x), voxel_mm=GRID.voxel_mm)
            ours = scanner_volume(folder, grid, first_mm + (np.array([x, y, z]) - 1) / 2 * GRID.voxel_mm)
            for method, volume in (("ours", ours), (peer, theirs)):
                difference = np.abs(np.maximum(volume, AIR_HU) - expected)
                inner = difference[2:-2, 2:-2, 2:-2]
                table.setdefault(f"{name}, {WHOLE}", {})[method] = _difference(difference)
                table.setdefault(f"{name}, inner", {})[method] = _difference(inner)
    return table


def agreement_goals(table: Mapping[str, Mapping[str, Difference]]) -> list[Goal]:
    """Over the whole grid ours may lie no further from SimpleITK's than the better of MONAI's."""
    goals = []
    for name, row in table.items():
        if not name.endswith(WHOLE):
            continue
        ours, *theirs = row.values()
        mean_hu, max_hu = min(found.mean_hu for found in theirs), min(found.max_hu for found in theirs)
        met = ours.mean_hu <= mean_hu and ours.max_hu <= max_hu
        figure = f"{ours.mean_hu:.5f} / {ours.max_hu:.4f} HU against {mean_hu:.5f} / {max_hu:.4f}"
        goals.append(Goal(f"(b) {name}, mean / max difference to SimpleITK", figure, met))
    return goals


def agreement_figures(table: Mapping[str, Mapping[str, Difference]]) -> dict[str, Any]:
    """For the file of results."""
    return {name: {method: asdict(found) for method, found in row.items()} for name, row in table.items()}


def _difference(values: np.ndarray[Any, np.dtype[np.float32]]) -> Difference:
    return Difference(float(values.mean(dtype=np.float64)), float(values.max()))
