"""Synthetic CT of a site's own evaluation cases, as DICOM that stays at the site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from client.cohort import build_cohort
from client.commands.release import key_of
from client.gate import Approvals
from client.settings import SiteSettings
from client.source import archive_folder
from client.synthesis import synthesize, write_synthetic_ct
from common.errors import ExitCode, Refusal
from common.exchange import Weights, weights_sha256
from common.files import read_tensors
from common.release import read_release
from common.study import Study


@final
@dataclass(frozen=True)
class GeneratorSource:
    """Where a generator comes from: loose weights of a checkpoint, or a release; one of the two.

    Raises:
        Refusal: ``USAGE`` for none or both.
    """

    weights: Path | None
    release: Path | None

    def __post_init__(self) -> None:
        if (self.weights is None) == (self.release is None):
            mend = "give --release DIR, or --weights FILE of a run's checkpoint"
            raise Refusal(ExitCode.USAGE, "one source of weights is needed", where="command line", mend=mend)

    def generator(self, settings: SiteSettings, study: Study) -> tuple[Weights, str]:
        """The weights, and in words what they are.

        Raises:
            Refusal: ``RUN_INVALID`` for damaged loose weights, ``SETTINGS_INVALID`` if no release key is pinned, and
                what :func:`common.release.read_release` refuses.
        """
        if self.weights is not None:
            loose = read_tensors(self.weights)
            return loose, f"generator {weights_sha256(loose)[:16]}"
        assert self.release is not None  # noqa: S101 - tells the type checker what was checked above
        found = read_release(self.release, key_of(None, settings), study)
        card = found.card
        words = f"generator {card.generator_sha256[:16]}, released from round {card.round} of run {card.run}"
        return found.weights, words


def synthesize_cases(
    settings_file: Path, study_file: Path, source: GeneratorSource, output: Path, most: int
) -> list[Path]:
    """One DICOM CT series for each evaluation case, at most ``most``, below ``output``; their folders.

    Raises:
        Refusal: ``STUDY_NOT_APPROVED`` for another study than the site's settings list, ``EXCHANGE_INVALID`` if loose
            weights are not of this study, and what source, cohort and writing refuse.
    """
    settings = SiteSettings.from_toml(settings_file)
    study = Approvals.of(settings.studies).study(Study.from_toml(study_file).sha256)
    generator, words = source.generator(settings, study)
    cohort = build_cohort(archive_folder(settings), study, settings.role, settings.state, workers=settings.workers)
    provenance = f"study {study.sha256[:16]}, {words}"
    folders = []
    for file in cohort.validation[:most]:
        case = file.load()
        folder = output / case.pseudonym
        write_synthetic_ct(folder, synthesize(study, generator, case.integrals), study.grid, provenance)
        folders.append(folder)
    return folders
