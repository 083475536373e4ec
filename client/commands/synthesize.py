"""Synthetic CT of a site's own evaluation cases, as DICOM that stays at the site."""

from __future__ import annotations

from pathlib import Path

from client.cohort import build_cohort
from client.gate import Approvals
from client.settings import SiteSettings
from client.source import archive_folder
from client.synthesis import synthesize, write_synthetic_ct
from common.exchange import weights_sha256
from common.files import read_tensors
from common.study import Study


def synthesize_cases(settings_file: Path, study_file: Path, weights: Path, output: Path, most: int) -> list[Path]:
    """One DICOM CT series for each evaluation case, at most ``most``, below ``output``; their folders.

    Raises:
        Refusal: ``STUDY_NOT_APPROVED`` for another study than the site's settings list, ``RUN_INVALID`` for damaged
            weights, ``EXCHANGE_INVALID`` if they are not of this study, and what cohort and writing refuse.
    """
    settings = SiteSettings.from_toml(settings_file)
    study = Approvals.of(settings.studies).study(Study.from_toml(study_file).sha256)
    generator = read_tensors(weights)
    cohort = build_cohort(archive_folder(settings), study, settings.role, settings.state, workers=settings.workers)
    provenance = f"study {study.sha256[:16]}, generator {weights_sha256(generator)[:16]}"
    folders = []
    for file in cohort.validation[:most]:
        case = file.load()
        folder = output / case.pseudonym
        write_synthetic_ct(folder, synthesize(study, generator, case.integrals), study.grid, provenance)
        folders.append(folder)
    return folders
