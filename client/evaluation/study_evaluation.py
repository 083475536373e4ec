"""Generator and baselines against the truth, case by case; only sums over cases go further."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.case import Case, add_noise
from client.evaluation.baselines import (
    back_projection_hu,
    mean_soft_tissues_hu,
    mean_volumes_hu,
    template_hu,
    with_soft_tissue,
)
from client.evaluation.gallery import GalleryEntry
from client.evaluation.metric_sums import summarise
from client.synthesis import Synthesiser
from common.attenuation import hu_to_mu
from common.exchange import MethodStatistics, Weights
from common.metrics import CaseMetrics, case_metrics
from common.projection import Projector
from common.study import Study

GENERATOR, MEAN_VOLUME, BACK_PROJECTION = "generator", "mean_volume", "back_projection"
ON_FILMS, ON_DRRS = "generator_on_films", "generator_on_drrs"
OWN_SKULL, TEMPLATE = "own_skull_mean_brain", "template"
GALLERY_CASES = 4
# Convolutions of two cases take a faster path on a CPU than those of one.
BATCH = 2


@final
@dataclass(frozen=True)
class EvaluationResult:
    """One evaluation.

    Attributes:
        cases: the generator's metrics, one entry per case; never leaves the site.
        statistics: sums by method, empty below the study's ``privacy.minimum_cases``.
        gallery: the first cases with their synthetic volumes; never leaves the site.
    """

    cases: tuple[CaseMetrics, ...]
    statistics: tuple[MethodStatistics, ...]
    gallery: tuple[GalleryEntry, ...]


@final
class StudyEvaluation:
    """Evaluates round after round on the same radiographs, so that rounds compare.

    Args:
        study: grid, window, privacy and networks.
        cases: the cases to evaluate on.
        references: cases of the mean-volume baseline: the same cases at a held-out site, the training cases at a
            training site. A case is never part of its own mean.
        device: where the generator runs.
        gallery_cases: how many cases the gallery gets.
    """

    def __init__(
        self,
        study: Study,
        cases: Sequence[Case],
        references: Sequence[Case],
        device: torch.device,
        gallery_cases: int = GALLERY_CASES,
    ) -> None:
        self._study = study
        self._cases = cases
        self._references = references
        self._gallery_cases = gallery_cases
        self._synthesiser = Synthesiser(study, device)
        self._projector = Projector(study.grid, study.geometry)
        self._integrals = [_measured(study, case) for case in cases]
        self._soft_tissues = mean_soft_tissues_hu(cases, references)
        self._baselines: dict[str, tuple[CaseMetrics, ...]] | None = None

    def run(self, weights: Weights) -> EvaluationResult:
        """Evaluate a generator; the baselines are computed once.

        Raises:
            Refusal: ``EXCHANGE_INVALID`` if the weights do not fit, ``IMAGE_INVALID`` if a prediction is not finite.
        """
        self._synthesiser.load(weights)
        metrics: list[CaseMetrics] = []
        filled: list[CaseMetrics] = []
        gallery: list[GalleryEntry] = []
        for start in range(0, len(self._cases), BATCH):
            places = range(start, min(start + BATCH, len(self._cases)))
            for index, volume_hu in zip(places, self._predicted(places, on_films=self._shows_films), strict=True):
                metrics.append(self._compare(index, volume_hu))
                if self._soft_tissues is not None:
                    other_hu = with_soft_tissue(volume_hu, self._soft_tissues[index], self._study.grid.voxel_mm)
                    filled.append(self._compare(index, other_hu))
                if index < self._gallery_cases:
                    gallery.append(self._entry(index, volume_hu, metrics[-1]))
        if self._baselines is None:
            self._baselines = self._evaluate_baselines()
        methods = {GENERATOR: tuple(metrics), OWN_SKULL: tuple(filled), **self._otherwise(), **self._baselines}
        statistics = summarise(self._study, methods)
        return EvaluationResult(tuple(metrics), statistics, tuple(gallery))

    @property
    def _shows_films(self) -> bool:
        return self._study.radiograph.source == "film"

    def _otherwise(self) -> dict[str, tuple[CaseMetrics, ...]]:
        """The generator on the other radiographs of cases that have both; nothing where the study has DRRs alone."""
        filmed = [index for index, case in enumerate(self._cases) if case.films is not None]
        if self._study.radiograph.source == "drr" or not filmed:
            return {}
        found = [self._compare(index, self._predicted([index], on_films=not self._shows_films)[0]) for index in filmed]
        return {ON_DRRS if self._shows_films else ON_FILMS: tuple(found)}

    def _predicted(self, places: Sequence[int], *, on_films: bool) -> Tensor:
        """(B, z, y, x) HU of the generator, shown the cases' films or their DRRs."""
        films = [self._cases[place].films for place in places] if on_films else []
        shown = [film for film in films if film is not None]
        if not shown:
            return self._synthesiser.volumes_hu(torch.stack([self._integrals[place] for place in places]))
        integrals, exposed = (
            torch.stack([torch.from_numpy(image) for image in images])
            for images in ([film.integrals for film in shown], [film.exposed for film in shown])
        )
        return self._synthesiser.volumes_hu(integrals, exposed)

    def _evaluate_baselines(self) -> dict[str, tuple[CaseMetrics, ...]]:
        baselines: dict[str, tuple[CaseMetrics, ...]] = {}
        means = mean_volumes_hu(self._cases, self._references, self._study.window)
        if means is not None:
            baselines[MEAN_VOLUME] = tuple(self._compare(index, mean) for index, mean in enumerate(means))
        template = template_hu(self._study)
        baselines[TEMPLATE] = tuple(self._compare(index, template) for index in range(len(self._cases)))
        with torch.inference_mode():
            smeared = (back_projection_hu(self._study, self._projector, integrals) for integrals in self._integrals)
            baselines[BACK_PROJECTION] = tuple(self._compare(index, volume) for index, volume in enumerate(smeared))
        return baselines

    def _compare(self, index: int, predicted_hu: Tensor) -> CaseMetrics:
        case, window = self._cases[index], self._study.window
        clipped_hu = predicted_hu.clamp(window.low_hu, window.high_hu)
        mu_per_mm = hu_to_mu(clipped_hu[None, None].float(), self._study.radiograph.water_mu_per_mm)
        with torch.inference_mode():
            projected = self._projector(mu_per_mm)[0]
        truth_hu = torch.from_numpy(case.volume_hu).float()
        integrals = torch.from_numpy(case.integrals), projected
        return case_metrics(truth_hu, predicted_hu, window, self._study.grid.voxel_mm, integrals)

    def _shown(self, index: int) -> NDArray[np.float32]:
        """(2, rows, columns) that the generator saw of a case."""
        films = self._cases[index].films if self._shows_films else None
        return self._integrals[index].numpy().astype(np.float32) if films is None else films.integrals

    def _entry(self, index: int, predicted_hu: Tensor, metrics: CaseMetrics) -> GalleryEntry:
        return GalleryEntry(
            label=f"case {index + 1}",
            truth_hu=self._cases[index].volume_hu,
            synthetic_hu=predicted_hu.round().to(torch.int16).numpy(),
            integrals=self._shown(index),
            psnr_db=metrics.psnr_db,
            ssim=metrics.ssim,
        )


def evaluate(study: Study, weights: Weights, cases: Sequence[Case], device: torch.device) -> tuple[CaseMetrics, ...]:
    """The generator's metrics, one entry per case; raises as :meth:`StudyEvaluation.run` does."""
    return StudyEvaluation(study, cases, (), device, gallery_cases=0).run(weights).cases


def _measured(study: Study, case: Case) -> Tensor:
    """The case's line integrals (2, rows, columns) with photon noise that is the same in every round."""
    digest = hashlib.sha256(f"{study.optimisation.seed}\n{case.pseudonym}".encode()).digest()
    random = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return add_noise(torch.from_numpy(case.integrals), study.radiograph.photons, random)
