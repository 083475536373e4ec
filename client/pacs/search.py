"""What a PACS is asked for (QIDO-RS, DICOM PS3.18 10.6), and what is believed of its answers: UIDs and a count."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, final

from client.pacs.connection import PacsConnection
from client.pacs.patience import Patience
from client.pacs.session import Withheld
from client.pacs.settings import PacsSettings
from common.errors import ExitCode, Refusal

PAGE = 200
MOST_FOUND = 200_000
MOST_INSTANCES = 20_000
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_LONGEST_UID = 64
_STUDY, _SERIES, _INSTANCE, _COUNT = "0020000D", "0020000E", "00080018", "00201209"


class _TooMany(Exception):
    """More entries than any search or series should have."""


@final
@dataclass(frozen=True, slots=True)
class FoundSeries:
    """A series that a PACS says it has.

    Attributes:
        study, series: UIDs.
        instances: objects it says the series has; None if it does not say.
    """

    study: str = field(repr=False)
    series: str = field(repr=False)
    instances: int | None


def search_series(settings: PacsSettings, connection: PacsConnection, patience: Patience) -> tuple[FoundSeries, ...]:
    """Every series that fits the settings, each once.

    Raises:
        Refusal: ``PACS_UNREACHABLE``, or ``PACS_REFUSED`` if the search cannot be answered.
        Stopped: if the work was ended meanwhile.
    """
    found: dict[str, FoundSeries] = {}
    try:
        for filters in _filters(settings):
            found |= _found(settings, filters, connection, patience)
    except _TooMany:
        what, mend = f"the PACS finds more than {MOST_FOUND} series", "narrow the search by body_part or study_dates"
        raise Refusal(ExitCode.PACS_REFUSED, what, where=settings.url, mend=mend) from None
    return tuple(found.values())


def _found(
    settings: PacsSettings, filters: dict[str, str], connection: PacsConnection, patience: Patience
) -> dict[str, FoundSeries]:
    """The series of one search by their UIDs."""

    def page(offset: int) -> list[Any]:
        return patience.ask(lambda: connection.find_series(filters, PAGE, offset))

    found: dict[str, FoundSeries] = {}
    for entry in _entries(page, _SERIES, MOST_FOUND, settings.url):
        study, series = _uid(entry, _STUDY), _uid(entry, _SERIES)
        if study and series:
            found[series] = FoundSeries(study, series, _count(entry))
    return found


def series_instances(found: FoundSeries, connection: PacsConnection, patience: Patience, where: str) -> tuple[str, ...]:
    """SOP Instance UIDs of a series.

    Raises:
        Withheld: if the PACS does not have it any more, or it has too many.
        Refusal, Stopped: as :func:`search_series`.
    """

    def page(offset: int) -> list[Any]:
        return patience.ask(lambda: connection.find_instances(found.study, found.series, PAGE, offset))

    try:
        return tuple(_uid(entry, _INSTANCE) for entry in _entries(page, _INSTANCE, MOST_INSTANCES, where))
    except _TooMany:
        raise Withheld from None


def _filters(settings: PacsSettings) -> Iterator[dict[str, str]]:
    """One search for each body part and description: a PACS takes one value for each."""
    common = {"Modality": settings.modality}
    if settings.study_dates is not None:
        common["StudyDate"] = "-".join(settings.study_dates)
    for part, description in product(settings.body_part or (None,), settings.descriptions or (None,)):
        narrowed = {"BodyPartExamined": part, "SeriesDescription": description}
        yield common | {name: value for name, value in narrowed.items() if value is not None}


def _entries(page: Callable[[int], list[Any]], key: str, most: int, where: str) -> Iterator[dict[str, Any]]:
    """Every entry of every page. A PACS may give more or fewer than asked for, but must come to an end."""
    seen: set[str] = set()
    asked = 0
    while entries := page(asked):
        before = len(seen)
        for entry in entries:
            if isinstance(entry, dict) and (uid := _uid(entry, key)) not in seen and uid:
                seen.add(uid)
                yield entry
        asked += len(entries)
        if len(seen) > most or asked > 2 * most:
            raise _TooMany
        if len(seen) == before:
            # The same again: it pays no heed to the offset, and all is known if it paid none to the limit either.
            if len(entries) != PAGE:
                return
            what, mend = "the PACS does not give its answers by page", "narrow the search by body_part or study_dates"
            raise Refusal(ExitCode.PACS_REFUSED, what, where=where, mend=mend)


def _uid(entry: dict[str, Any], key: str) -> str:
    """A UID, safe to be part of an address; empty if there is none."""
    uid = _first(entry, key)
    return uid if isinstance(uid, str) and len(uid) <= _LONGEST_UID and _UID.fullmatch(uid) else ""


def _count(entry: dict[str, Any]) -> int | None:
    count = _first(entry, _COUNT)
    return count if isinstance(count, int) and 0 < count <= MOST_INSTANCES else None


def _first(entry: dict[str, Any], key: str) -> object:
    element = entry.get(key)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None
