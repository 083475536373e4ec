"""The counts of a cohort that a report may carry: small ones are withheld, as the study's privacy section asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, final

from pydantic import BaseModel, ConfigDict, Field

from client.case import CaseFacts
from client.cohort.examination import Findings
from client.cohort.film_building import FilmCounts
from common.study import Sha256
from common.trust import RELEASE

KVP_BANDS = ((90.0, "under 90 kV"), (110.0, "90 to 109 kV"), (130.0, "110 to 129 kV"))
SPACING_BANDS = ((1.0, "under 1 mm"), (2.0, "1 to under 2 mm"), (4.0, "2 to under 4 mm"))
NOT_STATED = "not stated"
WITHHELD = "withheld"

Shown = Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^(<[0-9]{1,4}|withheld)$")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9 _.-]{0,40}$|^[0-9a-z ]{1,40} kV( and more)?$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


@final
class FlowCounts(_Section):
    """Series found → eligible by their headers → used as cases, with exclusions by verdict code."""

    found: Shown
    eligible: Shown
    used: Shown
    excluded: dict[Label, Shown]


@final
class FilmShares(_Section):
    """Images that may be films, pairs and poses by verdict, and cases that have films."""

    films: dict[Label, Shown]
    pairs: dict[Label, Shown]
    poses: dict[Label, Shown]
    cases: Shown


@final
class CohortCounts(_Section):
    """What ``tomoray-site cohort --json`` prints.

    Attributes:
        study, study_sha256, release: what the cohort was built for, and by.
        minimum_cases: counts above zero and below this are shown as ``<n``; a count that would give one of them away
            by subtraction is ``withheld``.
        enough: whether the cohort reaches the study's minimum.
        flow: series.
        set_aside: images that were left out of the series used, by why.
        known_by_study: cases whose patients are known by their studies alone; the split is by study for them.
        kept_together: those of them that may show the head of another one, and stay on its side of the split.
        passed_narrowly: cases beyond half of the way from what is expected of a head to a limit, by the figure's name.
        films: images, pairs and poses by verdict, and cases that have films; None where the study has none.
        scanners, kvp, slice_spacing: cases by vendor, tube voltage and mean distance between slices.
    """

    schema_version: Literal[1] = 1
    study: str
    study_sha256: Sha256
    release: str = RELEASE
    minimum_cases: int
    enough: bool
    flow: FlowCounts
    set_aside: dict[Label, Shown]
    known_by_study: Shown
    kept_together: Shown
    passed_narrowly: dict[Label, Shown]
    films: FilmShares | None = None
    scanners: dict[Label, Shown]
    kvp: dict[Label, Shown]
    slice_spacing: dict[Label, Shown]


def cohort_counts(findings: Findings, facts: Iterable[CaseFacts], passed_narrowly: Mapping[str, int]) -> CohortCounts:
    """The counts of a cohort.

    Args:
        findings: what an archive holds.
        facts: the facts of its cases.
        passed_narrowly: how many of the cases passed narrowly, by figure.
    """
    study, flow, known = findings.study, findings.flow, list(facts)
    least = study.privacy.minimum_cases
    excluded = withheld(flow.excluded, least)
    # What is left when everything shown is subtracted from the totals is the sum of what is hidden.
    hidden = sum(flow.excluded[code] for code, shown in excluded.items() if isinstance(shown, str))
    totals: dict[str, Shown] = {name: _shown(getattr(flow, name), least) for name in ("found", "eligible", "used")}
    if 0 < hidden < least or sum(isinstance(shown, str) for shown in excluded.values()) == 1:
        totals |= {"found": WITHHELD, "eligible": WITHHELD}
    return CohortCounts(
        study=study.name,
        study_sha256=study.sha256,
        minimum_cases=least,
        enough=flow.used >= study.cohort.minimum_cases,
        flow=FlowCounts(excluded=excluded, **totals),
        set_aside=withheld(findings.set_aside, least),
        known_by_study=_part(findings.by_study, flow.used, least),
        kept_together=_part(sum(map(len, findings.alike())), findings.by_study, least),
        passed_narrowly={name: _part(count, flow.used, least) for name, count in sorted(passed_narrowly.items())},
        films=None if findings.films is None else _film_shares(findings.films, flow.used, least),
        scanners=withheld(Counter(item.manufacturer for item in known), least),
        kvp=withheld(Counter(kvp_band(item.kvp) for item in known), least),
        slice_spacing=withheld(Counter(spacing_band(item.slice_mm) for item in known), least),
    )


def _film_shares(counts: FilmCounts, used: int, least: int) -> FilmShares:
    films, pairs, poses = (withheld(kind, least) for kind in (counts.films, counts.pairs, counts.poses))
    return FilmShares(films=films, pairs=pairs, poses=poses, cases=_part(counts.cases, used, least))


def withheld(counts: Mapping[str, int], least: int) -> dict[str, Shown]:
    """Counts in which none from 1 to ``least - 1`` is shown or follows from the sum of all."""
    small = {label for label, count in counts.items() if 0 < count < least}
    hidden = set(small)
    others = sorted(counts.keys() - small, key=lambda label: (counts[label], label))
    while hidden and others and (len(hidden) == 1 or sum(counts[label] for label in hidden) < least):
        hidden.add(others.pop(0))
    return {
        label: f"<{least}" if label in small else WITHHELD if label in hidden else counts[label]
        for label in sorted(counts)
    }


def kvp_band(kvp: float | None) -> str:
    """The band of a tube voltage."""
    if kvp is None:
        return NOT_STATED
    return next((label for below, label in KVP_BANDS if kvp < below), "130 kV and more")


def spacing_band(slice_mm: float) -> str:
    """The band of a mean distance between slices."""
    return next((label for below, label in SPACING_BANDS if slice_mm < below), "4 mm and more")


def _part(count: int, whole: int, least: int) -> Shown:
    """A count that is part of another one which is shown."""
    return WITHHELD if 0 < whole - count < least <= count else _shown(count, least)


def _shown(count: int, least: int) -> Shown:
    return f"<{least}" if 0 < count < least else count
