"""On-the-fly widening of a cohort: other anatomy, other scanners, other poses, radiographs projected afresh."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from client.learning.widening.deformation import deformed
from client.learning.widening.film_exposure import FilmExposure
from client.learning.widening.film_plan import FilmPlan, draw_film_plan
from client.learning.widening.plan import BRAIN_CENTRE_MM, Finding, FindingKind, Plan, draw_plans
from client.learning.widening.scanner import scanned
from client.learning.widening.tissue import soft_tissue, with_finding, with_other_brain, with_other_skull
from common.attenuation import hu_to_mu
from common.projection import Projector
from common.study import Study

__all__ = [
    "BRAIN_CENTRE_MM",
    "FilmPlan",
    "Finding",
    "FindingKind",
    "Plan",
    "Widener",
    "soft_tissue",
    "with_finding",
]


@final
class Widener:
    """Widens batches of cases as a study says.

    The volume stays in the canonical frame, up to the turn and move that the study asks for; the poses of the
    radiographs differ from the study's geometry, and nobody downstream is told.

    Args:
        study: grid, geometry, attenuation of water and strengths.
        device: where it works.

    Raises:
        Refusal: ``GEOMETRY_INVALID`` if the study's geometry does not suit its grid.
    """

    def __init__(self, study: Study, device: torch.device) -> None:
        self._study = study
        self._device = device
        self._projector = Projector(study.grid, study.geometry).to(device)
        self._films = FilmExposure(study, self._projector, device)

    def draw(self, count: int, random: torch.Generator) -> list[Plan]:
        """Plans for a batch, drawn on the CPU."""
        return draw_plans(self._study.widening, self._study.geometry, count, random)

    def draw_film(self, plan: Plan, random: torch.Generator) -> FilmPlan:
        """The plan of one simulated film pair of a widened head, drawn on the CPU."""
        return draw_film_plan(self._study.film, self._study.geometry, plan.poses, random)

    def filmed(self, volumes_hu: Tensor, plans: list[FilmPlan]) -> tuple[Tensor, Tensor]:
        """Simulated films of heads that are widened already, as :meth:`FilmExposure.films` makes them."""
        return self._films.films(volumes_hu, plans)

    @torch.no_grad()
    def widened(self, volumes_hu: Tensor, plans: list[Plan]) -> tuple[Tensor, Tensor]:
        """New heads with their radiographs.

        Args:
            volumes_hu: (B, 1, z, y, x) float32 HU, unclipped.
            plans: B plans.

        Returns:
            Volumes of the same shape in HU, and noise-free line integrals (B, 2, rows, columns).

        Raises:
            Refusal: ``GEOMETRY_INVALID`` if a pose brings source or detector into the volume.
        """
        moved = deformed(volumes_hu.to(self._device), self._study.grid, plans)
        heads = torch.stack([self._changed(volume[0], plan) for volume, plan in zip(moved, plans, strict=True)])
        volumes = heads.unsqueeze(1)
        mu_per_mm = hu_to_mu(volumes, self._study.radiograph.water_mu_per_mm)
        return volumes, self._projected(mu_per_mm, plans)

    def _changed(self, volume_hu: Tensor, plan: Plan) -> Tensor:
        grid, random = self._study.grid, torch.Generator(self._device).manual_seed(plan.seed)
        volume_hu = with_other_skull(volume_hu, grid, plan)
        volume_hu = with_other_brain(volume_hu, grid, plan, self._study.widening.brain_hu, random)
        return scanned(volume_hu, grid, plan, random)

    def _projected(self, mu_per_mm: Tensor, plans: list[Plan]) -> Tensor:
        widening = self._study.widening
        if not (widening.pose_deg or widening.pose_mm or widening.distance_mm):
            together: Tensor = self._projector(mu_per_mm)
            return together
        return self._projector.project_posed(mu_per_mm, [plan.poses for plan in plans])
