"""One series made into one case: decode, separate, align, resample once, project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray

from client.archive import Plan, VerdictCode
from client.case.acceptance import judge_alignment, judge_scale
from client.case.alignment import Alignment, align
from client.case.body import Body, find_body
from client.case.case import Case, CaseFacts
from client.case.decoding import SliceStack, UnreadablePixels, Volume, averaged, block_mean, decode_stack
from client.case.drr import drr_pair
from client.case.interleaving import MOST_UNLIKE, alternation
from client.case.native_drr import native_drr_pair
from client.case.placement import judge_placement, stated_tilt_deg
from client.case.provenance import Provenance, Step
from client.case.stack_geometry import StackGeometry, stack_geometry
from client.case.twins import are_copies
from client.case.volume import Pose, fine_factor, fine_grid, resample
from common.errors import Refusal
from common.geometry import Geometry, Grid, expect_outside
from common.projection import MOST_THREADS
from common.study import RadiographSettings

BONE_HU = 300.0
NO_TILT_DEG = 0.1
EVEN_STEPS_MM = 0.05


@final
@dataclass(frozen=True)
class Recipe:
    """The sections of a study that decide what a case file holds."""

    grid: Grid
    geometry: Geometry
    radiograph: RadiographSettings


def construct_case(plan: Plan, patient: str, recipe: Recipe) -> Case | VerdictCode:
    """The case of a series, or why its content is refused.

    Native radiographs are computed in as many threads as PyTorch is set to use in this process.

    Args:
        plan: the series' slices in order.
        patient: the patient's pseudonym.
        recipe: grid, geometry, attenuation and resolution of the radiographs.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if the study's geometry does not suit its grid.
    """
    if not are_copies(plan):
        return plan.refuted
    unlike = alternation(plan)
    if unlike > MOST_UNLIKE:
        return VerdictCode.INTERLEAVED_SCANS
    fine = fine_grid(recipe.grid)
    body = _body(plan, fine.voxel_mm if recipe.radiograph.resolution == "grid" else None)
    if isinstance(body, VerdictCode):
        return body
    stack = averaged(body.stack, fine.voxel_mm)
    alignment = align(stack, body.brain_guesses_mm)
    geometry = stack_geometry(body.coarse, alignment)
    verdict = judge_alignment(alignment, body.cut_share)
    verdict = judge_placement(verdict, geometry, plan, alignment, stack, body.brain_guesses_mm)
    if verdict is not VerdictCode.ACCEPTED:
        return verdict
    volume = resample(stack, alignment.pose, fine)
    if recipe.radiograph.resolution == "native":
        integrals = _native_pair(body.stack, alignment.pose, recipe)
    else:
        integrals = drr_pair(volume, fine.voxel_mm, recipe.geometry, recipe.radiograph)
    if integrals is None:
        return VerdictCode.NOT_PROJECTED
    return Case(
        patient,
        target_volume(volume, recipe.grid),
        integrals,
        _facts(plan, unlike, body, alignment, geometry, _bone_hu(volume)),
        Provenance(steps=_steps(plan, body, stack, alignment, recipe)),
    )


def _body(plan: Plan, fine_mm: float | None) -> Body | VerdictCode:
    try:
        stack = decode_stack(plan.slices, fine_mm)
    except UnreadablePixels:
        return VerdictCode.UNREADABLE
    verdict = judge_scale(stack)
    if verdict is not VerdictCode.ACCEPTED:
        return verdict
    return find_body(stack) or VerdictCode.NOT_A_HEAD


def _native_pair(stack: SliceStack, pose: Pose, recipe: Recipe) -> NDArray[np.float32] | None:
    """The radiographs, or None if this series lies so that they cannot be computed."""
    # What the study itself gets wrong, for every series, is refused here.
    expect_outside(recipe.geometry, recipe.grid)
    threads = min(torch.get_num_threads(), MOST_THREADS)
    try:
        return native_drr_pair(stack, pose, recipe.grid, recipe.geometry, recipe.radiograph, threads=threads)
    except Refusal:
        return None


def target_volume(volume_hu: Volume, grid: Grid) -> NDArray[np.int16]:
    """Mean of the fine voxels in each voxel of the grid, rounded to whole HU: (z, y, x) int16."""
    factor = fine_factor(grid)
    target: NDArray[np.int16] = np.rint(block_mean(volume_hu, (factor, factor, factor))).astype(np.int16)
    return target


def _bone_hu(volume_hu: Volume) -> float:
    """95th percentile of what exceeds 300 HU in the volume's upper half; 0 without bone."""
    upper = volume_hu[len(volume_hu) // 2 :]
    bone = upper[upper > BONE_HU]
    return float(np.percentile(bone, 95)) if bone.size else 0.0


def _facts(
    plan: Plan, unlike: float, body: Body, alignment: Alignment, geometry: StackGeometry, bone_hu: float
) -> CaseFacts:
    first, (step_back_mm, step_left_mm) = plan.slices[0], geometry.step_mm
    return CaseFacts(
        manufacturer=first.manufacturer,
        kvp=first.kvp,
        slices=len(plan.slices),
        slice_mm=round(plan.spacing_mm, 4),
        least_step_mm=round(plan.steps_mm[0], 4),
        greatest_step_mm=round(plan.steps_mm[1], 4),
        pixel_mm=round(sum(first.pixel_spacing_mm) / 2, 4),
        coverage_mm=round(plan.coverage_mm, 2),
        tilt_deg=round(plan.tilt_deg, 2),
        stated_tilt_deg=round(stated_tilt_deg(plan), 2),
        pitch_deg=round(alignment.pitch_deg, 2),
        turn_deg=round(alignment.turn_deg, 2),
        residual_hu=round(alignment.residual_hu, 1),
        orientation_margin=round(alignment.orientation_margin, 3),
        skull_share=round(alignment.skull_share, 3),
        brain_seen_share=round(alignment.brain_seen_share, 3),
        brain_like_share=round(alignment.brain_like_share, 3),
        cut_share=round(body.cut_share, 3),
        shear_deg=round(geometry.shear_deg, 2),
        slant_deg=round(geometry.slant_deg, 2),
        step_back_mm=round(step_back_mm, 2),
        step_left_mm=round(step_left_mm, 2),
        unseen_share=round(geometry.unseen_share, 3),
        alternation=round(unlike, 3),
        wrapped_share=round(body.stack.wrapped_share, 3),
        air_hu=round(body.stack.raw_low_hu, 1),
        brain_median_hu=round(alignment.brain_median_hu, 1),
        bone_hu=round(bone_hu, 1),
    )


def _steps(plan: Plan, body: Body, stack: SliceStack, alignment: Alignment, recipe: Recipe) -> tuple[Step, ...]:
    """What was done to the images, in order, with its figures."""
    first, (least_mm, greatest_mm) = plan.slices[0], plan.steps_mm
    slice_mm, row_mm, column_mm = (round(step, 4) for step in stack.voxel_mm)
    steps = [
        Step(name="decoded", figures={"slices": len(plan.slices), "rows": first.rows, "columns": first.columns}),
        Step(name="padding_made_air"),
        Step(name="table_removed", figures={"body_ml": round(body.volume_ml, 1)}),
        Step(name="averaged", figures={"slice_mm": slice_mm, "row_mm": row_mm, "column_mm": column_mm}),
        Step(
            name="aligned",
            figures={"turn_deg": round(alignment.turn_deg, 2), "residual_hu": round(alignment.residual_hu, 1)},
        ),
        Step(name="tilt_corrected", figures={"tilt_deg": round(plan.tilt_deg, 2)}),
        Step(name="steps_evened", figures={"least_mm": round(least_mm, 4), "greatest_mm": round(greatest_mm, 4)}),
        Step(
            name="resampled",
            figures={"voxel_mm": recipe.grid.voxel_mm, "fine_voxel_mm": fine_grid(recipe.grid).voxel_mm},
        ),
        Step(
            name=f"projected_{recipe.radiograph.resolution}",
            figures={"energy_kev": round(recipe.radiograph.energy_kev, 2)},
        ),
    ]
    needless = set()
    if abs(plan.tilt_deg) < NO_TILT_DEG:
        needless.add("tilt_corrected")
    if greatest_mm - least_mm < EVEN_STEPS_MM:
        needless.add("steps_evened")
    return tuple(step for step in steps if step.name not in needless)
