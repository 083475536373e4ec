"""Rigid alignment of a head to the template: centre and all three angles, in a fraction of a second.

From several pitches and centres, coarse to fine; and which way round the head lies, by what fits best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from client.case.decoding import SliceStack
from client.case.orientation import START_PITCHES_DEG, contested, likely_starts
from client.case.rigid_fit import Array, Fit, Surroundings, Target, leaning, measured, refined, sampled, start_at
from client.case.template import TemplateLevel, template_levels
from client.case.volume import Pose

# After a few steps from every start, only the most promising go on.
FIRST_ITERATIONS, KEPT_STARTS, START_ITERATIONS = 2, 3, 4
ITERATIONS = (10, 6)
SHEAR_ITERATIONS, MORE_ITERATIONS = 2, 6
SMALL_SHEAR = 0.04
# Of such a residual slices may lean so far that no small step tells it: two leaning starts are tried too.
FAR_OFF_HU = (110.0, 200.0)
LEANING = 0.3
BRAIN_HU = (-40.0, 120.0)
BONE_HU = 200.0
# Explained as well another way round is no better than not explained as recorded.
LEAST_MARGIN = 0.0


@final
@dataclass(frozen=True)
class Alignment:
    """Where the canonical grid lies in the patient, how well it fits, and what lies where the template has its brain.

    Attributes:
        pose: canonical to patient, rigid.
        residual_hu: root mean square difference to the template in the HU window, where the patient was scanned.
        pitch_deg: extension of the head against the template: positive where the chin is up.
        brain_seen_share: share of the template's brain that was scanned.
        brain_like_share: share of that in which the patient shows brain too.
        brain_median_hu: the patient's median there, clipped to the window; NaN if nothing was scanned.
        skull_share: share of the template's scanned vault within 6 mm of which the patient has bone.
        orientation_margin: by which share more the best other axis orientation leaves unexplained; below 0 that one
            explains the head better than the recorded one.
        turned: how the head lies if that other orientation is right, where it explains the head better.
        shear: how far to the left and to the back the head's slices lie too much for each mm that they lie higher, from
            a fit in which they may shift so; near nothing where slices are placed as they were scanned.
        unsheared_share: what that fit leaves of the residual.
    """

    pose: Pose
    residual_hu: float
    pitch_deg: float
    brain_seen_share: float
    brain_like_share: float
    brain_median_hu: float
    skull_share: float
    orientation_margin: float = math.inf
    turned: Alignment | None = None
    shear: tuple[float, float] = (0.0, 0.0)
    unsheared_share: float = 1.0

    @property
    def turn_deg(self) -> float:
        """Angle between the patient's head and the template, about whatever axis."""
        return math.degrees(float(Rotation.from_matrix(self.pose.rotation).magnitude()))


def align(stack: SliceStack, brain_guesses_mm: Sequence[Array]) -> Alignment:
    """Bring a head into the template's pose, as its recorded orientation says it lies, and look whether it does.

    Args:
        stack: the head with air around it.
        brain_guesses_mm: LPS points where the middle of the brain may lie: where searches start.
    """
    coarse, fine = template_levels()
    around = Surroundings.of(stack, np.mean(brain_guesses_mm, axis=0))
    first, last = around.at(coarse.voxel_mm), around.at(fine.voxel_mm)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:

        def each(step: Callable[[Fit], Fit], fits: Sequence[Fit]) -> list[Fit]:
            return list(pool.map(step, fits))

        begun = each(lambda fit: refined(fit, first, coarse, FIRST_ITERATIONS), list(_starts(brain_guesses_mm, coarse)))
        promising = sorted(begun, key=lambda fit: fit.cost)[:KEPT_STARTS]
        best = min(each(lambda fit: refined(fit, first, coarse, START_ITERATIONS), promising), key=lambda fit: fit.cost)
        best = refined(best, first, coarse, ITERATIONS[0])
        contest = contested(best, likely_starts(around, coarse), first, coarse, each)
    turned = None
    if contest.margin < LEAST_MARGIN:
        rival = refined(contest.rival, first, coarse, ITERATIONS[0])
        turned = _described(refined(rival, last, fine, ITERATIONS[1]), last, fine)
    best = refined(contest.recorded, last, fine, ITERATIONS[1])
    shear, unsheared_share = _shear(best, first, coarse)
    found = _described(best, last, fine, contest.margin, turned)
    return replace(found, shear=shear, unsheared_share=unsheared_share)


def _shear(fit: Fit, target: Target, level: TemplateLevel) -> tuple[tuple[float, float], float]:
    """Shear of the slices that fits best, and what it leaves of the residual.

    Where a fit is far off, it is also sought from poses that leaning slices suggest.
    """
    upright = measured(fit, target, level)
    best = refined(upright, target, level, SHEAR_ITERATIONS, free_shear=True)
    starts = [best] if max(map(abs, best.shear)) > SMALL_SHEAR else []
    if FAR_OFF_HU[0] < upright.residual_hu < FAR_OFF_HU[1]:
        starts += [leaning(fit, shear) for shear in (-LEANING, LEANING)]
    fits = [refined(start, target, level, MORE_ITERATIONS, free_shear=True) for start in starts]
    best = min((best, *fits), key=lambda found: found.cost)
    return best.shear, best.residual_hu / max(upright.residual_hu, 1e-6)


def _starts(brain_guesses_mm: Sequence[Array], level: TemplateLevel) -> Iterator[Fit]:
    for guess in brain_guesses_mm:
        for pitch_deg in START_PITCHES_DEG:
            yield start_at(guess, pitch_deg, level)


def _described(
    fit: Fit, target: Target, level: TemplateLevel, margin: float = math.inf, turned: Alignment | None = None
) -> Alignment:
    values = sampled(target, fit, level)
    scanned = values[4] > 0.5
    brain = values[0, level.brain & scanned]
    vault = sampled(target.brightest(), fit, level)[0, level.vault & scanned]
    return Alignment(
        pose=Pose(fit.turn, fit.centre_mm),
        residual_hu=fit.residual_hu,
        pitch_deg=-math.degrees(math.atan2(fit.rotation[2, 1], fit.rotation[2, 2])),
        brain_seen_share=float(scanned[level.brain].mean()),
        brain_like_share=float(((brain >= BRAIN_HU[0]) & (brain <= BRAIN_HU[1])).mean()) if brain.size else 0.0,
        brain_median_hu=float(np.median(brain)) if brain.size else math.nan,
        skull_share=float((vault > BONE_HU).mean()) if vault.size else 0.0,
        orientation_margin=margin,
        turned=turned,
    )
