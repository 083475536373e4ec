"""What is drawn for one simulated film pair: numbers alone, as for the head that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import torch

from client.virtual_films import FilmStyle
from common.geometry import Geometry, Pose
from common.spectrum import Spectrum
from common.study import FilmRanges

# A letter stands on its own side of a frontal film.
_MARKERS: Final = ("L", "R")
_NUMBERS: Final = 19


@final
@dataclass(frozen=True)
class FilmPlan:
    """The exposure of one pair.

    Attributes:
        style: tube, scatter, noise and lead of both views.
        poses: of the patient in the frontal and the lateral film.
        seed: of the noise.
    """

    style: FilmStyle
    poses: tuple[Pose, Pose]
    seed: int


def draw_film_plan(
    ranges: FilmRanges, geometry: Geometry, poses: tuple[Pose, Pose], random: torch.Generator
) -> FilmPlan:
    """One pair's plan; it takes equally many numbers whatever the ranges.

    Args:
        ranges: the study's.
        geometry: its detector, of which the collimator covers the edges.
        poses: of the widened head, to which the films' own turns and moves are added.
        random: on the CPU.
    """
    drawn = torch.rand(_NUMBERS, generator=random, dtype=torch.float64).tolist()
    rows_mm, columns_mm = (cells * geometry.pixel_mm for cells in geometry.detector_shape)
    cut_mm = [2 * ranges.collimation_mm * share for share in drawn[3:5]]
    style = FilmStyle(
        Spectrum(kvp=round(_between(ranges.kvp, drawn[0]))),
        kerma_ugy=_between(ranges.kerma_ugy, drawn[2]),
        # The ranges are of what reaches the detector, behind whatever grid there was.
        scatter_to_primary=_between(ranges.scatter_to_primary, drawn[1]),
        field_mm=(rows_mm - cut_mm[0], columns_mm - cut_mm[1]),
        marker=_MARKERS[int(drawn[6] < 0.5)] if drawn[5] < ranges.marker else None,
    )
    frontal, lateral = (_added(pose, ranges, drawn[7 + 6 * view : 13 + 6 * view]) for view, pose in enumerate(poses))
    return FilmPlan(style, (frontal, lateral), int(torch.randint(0, 2**62, (), generator=random)))


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


def _added(pose: Pose, ranges: FilmRanges, drawn: list[float]) -> Pose:
    turn = [ranges.pose_deg * (2 * share - 1) for share in drawn[:3]]
    x, y, z = (mm + ranges.pose_mm * (2 * share - 1) for mm, share in zip(pose.translation_mm, drawn[3:], strict=True))
    return Pose(
        pitch_deg=pose.pitch_deg + turn[0],
        roll_deg=pose.roll_deg + turn[1],
        yaw_deg=pose.yaw_deg + turn[2],
        translation_mm=(x, y, z),
    )
