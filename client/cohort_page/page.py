"""Writes the cohort page: one HTML file that requests nothing. It shows patients and stays at the site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from client.archive import VerdictCode
from client.case import Case, Provenance
from client.cohort import MENDS, NARROW_SHARE, REASONS, SET_ASIDE, FigureTable, FilmCounts, Findings
from client.cohort_page.charts import STRIP_WIDTH, scanner_bars, strips
from client.cohort_page.close_calls import close_calls, nearest
from client.cohort_page.outliers import ROBUST_Z, Standing, standings
from client.cohort_page.thumbnails import Thumbnail, thumbnails
from client.pose import MENDS as POSE_MENDS
from client.pose import REASONS as POSE_REASONS
from client.pose import PoseVerdict
from client.radiographs import MENDS as FILM_MENDS
from client.radiographs import REASONS as FILM_REASONS
from client.radiographs import FilmVerdict
from common.files import make_folder, write_atomic
from common.pages import page_templates

TEMPLATES: Final = Path(__file__).parent / "templates"
CASES_IN_A_GROUP: Final = 24


@final
@dataclass(frozen=True)
class CaseCard:
    """One accepted case on the page, at its place among the cases."""

    place: int
    series: str
    case: Case
    standing: Standing
    pictures: tuple[Thumbnail, ...]


@final
@dataclass(frozen=True)
class Exclusion:
    """The series that one verdict keeps out."""

    code: VerdictCode
    count: int
    reason: str
    mend: str


def write_cohort_page(path: Path, findings: Findings, cases: Sequence[Case], table: FigureTable) -> None:
    """Write the page, readable by its owner alone.

    Args:
        path: the file, below the site's own state folder.
        findings: what the archive holds.
        cases: the accepted cases in the order of ``findings.cases``.
        table: the figures of these cases.

    Raises:
        Refusal: ``DISK_FULL`` or ``DISK_UNWRITABLE``.
    """
    cards = sorted(_cards(findings, cases, table), key=lambda card: (-card.standing.score, card.case.pseudonym))
    facts = [case.facts for case in cases]
    page = (
        page_templates(TEMPLATES, figure=figure)
        .get_template("cohort.html.j2")
        .render(
            study=findings.study,
            flow=findings.flow,
            exclusions=list(_exclusions(findings)),
            films=film_lines(findings.films),
            set_aside=[(count, SET_ASIDE[why]) for why, count in findings.set_aside.items()],
            by_study=findings.by_study,
            together=[len(group) for group in findings.alike()],
            verdicts=sorted(findings.verdicts, key=lambda verdict: (verdict.code.value, verdict.series)),
            provenance=cases[0].provenance if cases else Provenance(),
            bars=scanner_bars(facts),
            strips=strips(table),
            strip_width=STRIP_WIDTH,
            close_calls=list(close_calls(table)),
            nearest=nearest(table),
            narrow_cases=len(table.narrow_cases),
            narrow_share=NARROW_SHARE,
            numbered={card.place: (number, card) for number, card in enumerate(cards, start=1)},
            groups=[cards[start : start + CASES_IN_A_GROUP] for start in range(0, len(cards), CASES_IN_A_GROUP)],
            outliers=sum(card.standing.is_outlier for card in cards),
            robust_z=ROBUST_Z,
        )
    )
    make_folder(path.parent)
    write_atomic(path, page.encode("utf-8"), mode=0o600)


def film_lines(counts: FilmCounts | None) -> list[tuple[int, str, str]]:
    """What became of films, pairs and poses: how many, what is said of them, what helps. Empty without films."""
    if counts is None:
        return []
    lines = [(counts.cases, "cases have films", "")]
    for kind, found in (("film", counts.films), ("pair", counts.pairs)):
        for word, count in found.items():
            verdict = FilmVerdict(word)
            lines.append((count, f"{kind}: {FILM_REASONS[verdict]}", FILM_MENDS.get(verdict, "")))
    for word, count in counts.poses.items():
        pose = PoseVerdict(word)
        lines.append((count, f"pose: {POSE_REASONS[pose]}", POSE_MENDS.get(pose, "")))
    return lines


def figure(value: float) -> str:
    """A number as the page shows it: at most four digits, with a true minus sign."""
    # Adding zero turns the −0 that rounding leaves into 0.
    return f"{float(f'{value:.4g}') + 0.0:.4g}".replace("-", "−")


def _cards(findings: Findings, cases: Sequence[Case], table: FigureTable) -> Iterator[CaseCard]:
    series = {item.patient: item.series for item in findings.verdicts if item.code is VerdictCode.ACCEPTED}
    for place, (case, standing) in enumerate(zip(cases, standings(table), strict=True)):
        yield CaseCard(place, series[case.pseudonym], case, standing, tuple(thumbnails(case, findings.study)))


def _exclusions(findings: Findings) -> Iterator[Exclusion]:
    """In the order in which quality control judges."""
    for code in VerdictCode:
        count = findings.flow.excluded.get(code.value, 0)
        if count:
            yield Exclusion(code, count, REASONS[code], MENDS.get(code, ""))
