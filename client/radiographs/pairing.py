"""Which films of a patient belong together, and with which CT: the same study first, then the nearest in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final, TypeVar, final

from client.radiographs.film import Film, FilmSettings
from client.radiographs.film_verdicts import FilmRefused, FilmVerdict

_SECONDS_A_DAY: Final = 86_400.0

Thing = TypeVar("Thing")


@final
@dataclass(frozen=True, slots=True)
class DatedCt:
    """A CT that films may belong to.

    Attributes:
        series, patient, study: pseudonyms.
        day: of the acquisition, counted as a film's is; None if not stated.
    """

    series: str
    patient: str
    study: str
    day: int | None = field(repr=False)


@final
@dataclass(frozen=True)
class FilmPair:
    """Two films of one patient, and the CT that they show.

    Attributes:
        frontal, lateral: the films.
        ct: pseudonym of the CT's series; None where no CT was asked for.
    """

    frontal: Film
    lateral: Film
    ct: str | None


def pair_of(films: Iterable[Film], cts: Sequence[DatedCt] | None, settings: FilmSettings) -> FilmPair:
    """The pair among films that shall be of one patient.

    Args:
        films: in any order; copies of one image count once.
        cts: that the pair may belong to; None to ask for none.
        settings: how far apart they may be.

    Raises:
        FilmRefused: ``PAIR_OTHER_PATIENT``, ``PAIR_ONE_VIEW``, ``PAIR_TOO_FAR`` or ``PAIR_TIED``.
    """
    images = list({film.instance: film for film in films}.values())
    if len({film.patient for film in images}) > 1:
        raise FilmRefused(FilmVerdict.PAIR_OTHER_PATIENT)
    views = [[film for film in images if film.is_lateral is wanted] for wanted in (False, True)]
    if not all(views):
        raise FilmRefused(FilmVerdict.PAIR_ONE_VIEW)
    frontal, lateral = _nearest(list(product(*views)), _film_rank, 60.0 * settings.film_minutes)
    if cts is None:
        return FilmPair(frontal, lateral, None)
    own = [ct for ct in cts if ct.patient == frontal.patient]
    if cts and not own:
        raise FilmRefused(FilmVerdict.PAIR_OTHER_PATIENT)
    found = _nearest(own, lambda ct: _ct_rank(frontal, ct), settings.ct_days)
    return FilmPair(frontal, lateral, found.series)


def pairs_by_patient(
    films: Iterable[Film], cts: Sequence[DatedCt] | None, settings: FilmSettings
) -> dict[str, FilmPair | FilmVerdict]:
    """For each patient's pseudonym the pair of films, with its CT, or why there is none."""
    by_patient: dict[str, list[Film]] = defaultdict(list)
    for film in films:
        by_patient[film.patient].append(film)
    found: dict[str, FilmPair | FilmVerdict] = {}
    for patient, own in sorted(by_patient.items()):
        own_cts = None if cts is None else [ct for ct in cts if ct.patient == patient]
        try:
            found[patient] = pair_of(own, own_cts, settings)
        except FilmRefused as refused:
            found[patient] = refused.verdict
    return found


def _nearest(choices: Sequence[Thing], rank: Callable[[Thing], tuple[bool, float] | None], most_apart: float) -> Thing:
    """The choice of the lowest rank, among those not too far apart.

    Raises:
        FilmRefused: ``PAIR_TOO_FAR`` if there is none, ``PAIR_TIED`` if there are two.
    """
    ranked = [(found, place) for place, choice in enumerate(choices) if (found := rank(choice)) is not None]
    near = sorted((found, place) for found, place in ranked if found[1] <= most_apart)
    if not near:
        raise FilmRefused(FilmVerdict.PAIR_TOO_FAR)
    if len(near) > 1 and near[0][0] == near[1][0]:
        raise FilmRefused(FilmVerdict.PAIR_TIED)
    return choices[near[0][1]]


def _film_rank(pair: tuple[Film, ...]) -> tuple[bool, float] | None:
    """Whether they are of two studies, and seconds between them; None if not stated."""
    moments = [_moment_s(film) for film in pair]
    if None in moments:
        return None
    first, second = (moment for moment in moments if moment is not None)
    return pair[0].study != pair[1].study, abs(first - second)


def _ct_rank(film: Film, ct: DatedCt) -> tuple[bool, float] | None:
    if film.day is None or ct.day is None:
        return None
    return film.study != ct.study, float(abs(film.day - ct.day))


def _moment_s(film: Film) -> float | None:
    return None if film.day is None or film.time_s is None else _SECONDS_A_DAY * film.day + film.time_s
