"""Our way from a folder of slices to a case, whole and in parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.archive import Plan, Pseudonyms, discover, judge_headers
from client.case import Case, Pose, Recipe, construct_case, decode_stack, find_body, resample
from client.case.alignment import align
from client.case.construction import target_volume
from client.case.decoding import averaged
from client.case.volume import fine_grid
from common.geometry import Grid
from common.study import CohortSettings

NAMES = Pseudonyms(b"benchmark" * 4)
PATIENT = "0" * 32


def planned(folder: Path) -> Plan:
    """The slices of the one series in a folder, found and judged by their headers.

    Raises:
        ValueError: if they are refused.
    """
    (series,) = discover(folder, NAMES)
    plan = judge_headers(series, CohortSettings())
    if not isinstance(plan, Plan):
        raise ValueError(f"a series of the benchmark was refused: {plan}")
    return plan


def case_with_radiographs(folder: Path, recipe: Recipe) -> Case:
    """Everything a site does: found, judged, decoded, freed from table and headrest, aligned, resampled, projected.

    Raises:
        ValueError: if the series is refused.
    """
    case = construct_case(planned(folder), PATIENT, recipe)
    if not isinstance(case, Case):
        raise ValueError(f"a series of the benchmark was refused: {case}")
    return case


def volume_alone(folder: Path, recipe: Recipe) -> NDArray[np.int16]:
    """As :func:`case_with_radiographs`, but the radiographs are left out.

    Raises:
        ValueError: if no body is found.
    """
    fine = fine_grid(recipe.grid)
    body = find_body(decode_stack(planned(folder).slices, fine.voxel_mm))
    if body is None:
        raise ValueError("a series of the benchmark shows no body")
    stack = averaged(body.stack, fine.voxel_mm)
    pose = align(stack, body.brain_guesses_mm).pose
    return target_volume(resample(stack, pose, fine), recipe.grid)


def scanner_volume(folder: Path, grid: Grid, centre_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """HU (z, y, x) as scanned, before body and alignment, on a grid with axes along LPS around a place."""
    stack = decode_stack(planned(folder).slices, None)
    return resample(stack, Pose(np.eye(3), centre_mm), grid)
