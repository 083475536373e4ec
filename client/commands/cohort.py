"""``tomoray-site cohort``: what an archive holds, on the terminal, as JSON, and as a page that stays at the site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from client.archive import VerdictCode
from client.cohort import (
    MENDS,
    REASONS,
    SET_ASIDE,
    CohortProgress,
    Findings,
    cohort_counts,
    examine,
    figure_table,
    whereabouts,
)
from client.cohort_page import film_lines, write_cohort_page
from client.pacs import PacsProgress
from client.settings import SiteSettings
from client.source import archive_folder, archive_place
from common.errors import ExitCode, Refusal
from common.progress_bar import progress_bar
from common.study import Study

PAGE_NAME = "cohort.html"


@final
@dataclass(frozen=True)
class CohortPlace:
    """Where a cohort comes from and where what is made of it goes.

    Attributes:
        archive: folder of DICOM files; only read.
        state: the site's private folder.
        workers: processes side by side; None takes as many as pay and the machine holds.
    """

    archive: Path
    state: Path
    workers: int | None = None


def place_of(settings: Path | None, folder: Path | None, state: Path | None, *, refresh: bool) -> CohortPlace:
    """The place that a settings file names, or a folder and a state folder.

    Args:
        settings, folder, state: either the first, or the other two.
        refresh: whether to retrieve first what is new at a PACS.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if neither or both are given, or the settings are wrong; or what
            :func:`client.source.archive_folder` refuses.
    """
    if (settings is None) == (folder is None or state is None):
        mend = "give --settings FILE, or FOLDER with --state DIR"
        raise Refusal(ExitCode.SETTINGS_INVALID, "which archive is not clear", where="tomoray-site cohort", mend=mend)
    if settings is not None:
        site = SiteSettings.from_toml(settings)
        return CohortPlace(_retrieved(site) if refresh else archive_place(site), site.state, site.workers)
    assert folder is not None and state is not None  # noqa: S101 - tells the type checker what was just checked
    return CohortPlace(folder.resolve(), state.resolve())


def study_of(settings: Path | None, study: Path | None) -> Study:
    """The study named, or the only one that the settings approve.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if that is not one study, ``STUDY_INVALID`` if it is wrong.
    """
    if study is None and settings is not None:
        approved = SiteSettings.from_toml(settings).studies
        if len(approved) == 1:
            return Study.from_toml(approved[0])
    if study is None:
        mend = "name one with --study FILE"
        raise Refusal(ExitCode.SETTINGS_INVALID, "which study is not clear", where="tomoray-site cohort", mend=mend)
    return Study.from_toml(study)


def show_cohort(place: CohortPlace, study: Study, *, as_json: bool, workers: int | None) -> None:
    """Build or refresh the cases, write the page, and say what was found.

    Args:
        place: archive and state.
        study: limits, grid and geometry.
        as_json: print :class:`client.cohort.CohortCounts` alone.
        workers: processes side by side, instead of the place's.

    Raises:
        Refusal: as :func:`client.cohort.examine` and :func:`client.cohort_page.write_cohort_page`, and at last
            ``COHORT_TOO_SMALL`` if there are too few cases.
    """
    findings = _examined(place, study, workers)
    cases = [file.load() for file in findings.cases]
    page, figures = place.state / PAGE_NAME, figure_table(findings, cases)
    write_cohort_page(page, findings, cases, figures)
    console = Console()
    if as_json:
        counts = cohort_counts(findings, [case.facts for case in cases], figures.narrow_counts)
        print(counts.model_dump_json(indent=2))
    else:
        console.print(_table(findings, len(figures.narrow_cases)))
        console.print(f"page: {escape(str(page))}", highlight=False, soft_wrap=True)
    findings.require_enough(place.archive)


def show_whereabouts(place: CohortPlace, pseudonym: str) -> None:
    """Print the folders behind a pseudonym, one a line, with what a terminal could take for commands made visible.

    Raises:
        Refusal: as :func:`client.cohort.whereabouts`.
    """
    for folder in whereabouts(place.archive, place.state, pseudonym):
        shown = (c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(folder))
        print("".join(shown))


def _retrieved(site: SiteSettings) -> Path:
    with progress_bar(Console(stderr=True)) as bar:
        series = bar.add_task("PACS", total=None)

        def advance(progress: PacsProgress) -> None:
            what = f"series of the PACS, {progress.objects} objects retrieved"
            bar.update(series, completed=progress.done, total=progress.total or None, description=what)

        return archive_folder(site, advance)


def _examined(place: CohortPlace, study: Study, workers: int | None) -> Findings:
    with progress_bar(Console(stderr=True)) as bar:
        cases = bar.add_task("archive", total=None)

        def advance(progress: CohortProgress) -> None:
            if progress.files:
                bar.update(cases, completed=progress.files, description="files looked through")
            else:
                what = f"patients, {progress.accepted} accepted"
                bar.update(cases, completed=progress.done, total=progress.total, description=what)

        return examine(place.archive, study, place.state, progress=advance, workers=workers or place.workers)


def _table(findings: Findings, narrow: int) -> Table:
    flow = findings.flow
    table = Table(title=f"Cohort for {findings.study.name}", title_justify="left", box=None, pad_edge=False)
    table.add_column("series", justify="right")
    table.add_column("what")
    table.add_column("what helps")
    table.add_row(str(flow.found), "found")
    table.add_row(str(flow.eligible), "eligible by their headers")
    for code in VerdictCode:
        if count := flow.excluded.get(code.value, 0):
            table.add_row(str(count), f"  excluded: {REASONS[code]}", MENDS.get(code, ""))
    for why, count in findings.set_aside.items():
        table.add_row("", f"  set aside in series used: {count} images {SET_ASIDE[why]}")
    table.add_row(f"[bold]{flow.used}[/bold]", f"used; the study needs {findings.study.cohort.minimum_cases}")
    for count, what, mend in film_lines(findings.films):
        table.add_row(str(count), f"  {what}", mend)
    if findings.by_study:
        what = "  of them known by their study, by which they are split"
        table.add_row(str(findings.by_study), what, "restore the patients' identifiers")
    if together := sum(map(len, findings.alike())):
        table.add_row(str(together), "    of these may show one head with another: kept on one side")
    if narrow:
        table.add_row(str(narrow), "  of them passed narrowly", "look at them on the page")
    return table
