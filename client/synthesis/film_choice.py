"""Which two films a synthetic CT is made of: found in what a person names, read, judged, and told apart."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import numpy as np

from client.archive import Pseudonyms
from client.dicom import Reader, ReadFilm, shared_reader
from client.header import FilmHeader
from client.radiographs import MENDS, REASONS, Film, FilmRefused, FilmSettings, FilmVerdict, pair_of, read_films
from common.errors import ExitCode, Refusal

MOST_FILES: Final = 200
_SECRET_BYTES: Final = 32
_CODES: Final = {
    FilmVerdict.NOT_A_HEAD: ExitCode.NOT_A_HEAD,
    FilmVerdict.PAIR_ONE_VIEW: ExitCode.PAIR_ONE_VIEW,
    FilmVerdict.PAIR_OTHER_PATIENT: ExitCode.PAIR_OTHER_PATIENT,
    FilmVerdict.PAIR_TOO_FAR: ExitCode.PAIR_TOO_FAR,
    FilmVerdict.PAIR_TIED: ExitCode.PAIR_TIED,
}
_TWO_FILMS: Final = "give one frontal and one lateral film of one head"


@final
@dataclass(frozen=True)
class ChosenFilm:
    """A film that is used.

    Attributes:
        film: as it was read.
        header: what its file says, identity in clear: never shown.
        place: where a person finds it again.
    """

    film: Film
    header: FilmHeader = field(repr=False)
    place: str

    @property
    def view(self) -> str:
        """``frontal`` or ``lateral``."""
        return "lateral" if self.film.is_lateral else "frontal"

    @property
    def view_by(self) -> str:
        """What told its view."""
        return "by what it shows" if "view_by_content" in self.film.notes else "by its attributes, as it shows"


@final
@dataclass(frozen=True)
class ChosenPair:
    """The frontal and the lateral film; ``set_aside`` says of how many other files nothing was used."""

    frontal: ChosenFilm
    lateral: ChosenFilm
    set_aside: int

    @property
    def both(self) -> tuple[ChosenFilm, ChosenFilm]:
        """Frontal first."""
        return self.frontal, self.lateral


def chosen_pair(
    places: Sequence[Path], settings: FilmSettings | None = None, reader: Reader | None = None
) -> ChosenPair:
    """The pair of films in files and folders, in any order; of a folder what is no usable film is set aside.

    Args:
        places: files, or folders that are looked through with all that is below them.
        settings: how far apart the films may be, and how large the head.
        reader: of the limited process; this thread's by default.

    Raises:
        Refusal: ``FILM_UNUSABLE``, ``NOT_A_HEAD``, ``PAIR_ONE_VIEW``, ``PAIR_SAME_IMAGE``, ``PAIR_OTHER_PATIENT``,
            ``PAIR_TOO_FAR`` or ``PAIR_TIED``; ``CHILD_FAILED`` if the reading process cannot be started.
    """
    named = [(path, place) for place in places for path in _files(place)]
    settings, reader = settings or FilmSettings(), reader or shared_reader()
    # These name films for a moment alone, so that they need no site's secret.
    pseudonyms = Pseudonyms(secrets.token_bytes(_SECRET_BYTES))
    paths = [path for path, _ in named]
    with closing(reader.films(paths)) as answers:
        headers = [answer.film if isinstance(answer, ReadFilm) else None for answer in answers]
    chosen: list[ChosenFilm] = []
    unused: list[tuple[FilmVerdict, str]] = []
    for number, found in enumerate(read_films(paths, pseudonyms, settings, reader)):
        path, place = named[number]
        shown = str(path) if path == place else f"file {number + 1} of {len(paths)}, below {place}"
        header = headers[number]
        if isinstance(found, Film) and header is not None:
            # A file that changed between the two readings is not the one that was judged.
            is_same = pseudonyms.of("instance", header.sop_instance) == found.instance
            if is_same:
                chosen.append(ChosenFilm(found, header, shown))
                continue
        verdict = found if isinstance(found, FilmVerdict) else FilmVerdict.UNREADABLE
        if path == place:
            raise _refusal(verdict, shown)
        unused.append((verdict, shown))
    return _paired(chosen, unused, settings)


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    try:
        found = sorted(path for path in place.rglob("*") if path.is_file() and not path.name.startswith("."))
        # A folder that is not there is walked through in silence.
        place.stat()
    except OSError as error:
        what = f"not readable ({type(error).__name__})"
        raise Refusal(ExitCode.FILM_UNUSABLE, what, where=str(place), mend="name a DICOM file or a folder") from error
    if not found or len(found) > MOST_FILES:
        what = f"folder of {len(found)} files" if found else "folder without a file"
        mend = f"name the two films, or a folder of at most {MOST_FILES} files that holds them"
        raise Refusal(ExitCode.FILM_UNUSABLE, what, where=str(place), mend=mend)
    yield from found


def _paired(
    chosen: Sequence[ChosenFilm], unused: Sequence[tuple[FilmVerdict, str]], wanted: FilmSettings
) -> ChosenPair:
    if not chosen and unused:
        raise _refusal(*_most_telling(unused))
    _expect_different_images(chosen)
    try:
        pair = pair_of([one.film for one in chosen], None, wanted)
    except FilmRefused as refused:
        where = ", ".join(one.place for one in chosen[:2]) or "films"
        if refused.verdict is FilmVerdict.PAIR_ONE_VIEW and unused:
            verdict, place = _most_telling(unused)
            raise _refusal(refused.verdict, where, f"; of the others: {REASONS[verdict]} [{place}]") from refused
        raise _refusal(refused.verdict, where) from refused
    by_instance = {one.film.instance: one for one in chosen}
    frontal, lateral = (by_instance[film.instance] for film in (pair.frontal, pair.lateral))
    return ChosenPair(frontal, lateral, len(unused) + len(chosen) - 2)


def _expect_different_images(chosen: Sequence[ChosenFilm]) -> None:
    """Two files are not two films if one is a copy, whatever its UID says."""
    if len(chosen) != 2:
        return
    first, second = (one.film for one in chosen)
    is_copy = first.integrals.shape == second.integrals.shape and np.array_equal(first.integrals, second.integrals)
    if first.instance == second.instance or is_copy:
        where = ", ".join(one.place for one in chosen)
        raise Refusal(ExitCode.PAIR_SAME_IMAGE, "both films are the same image", where=where, mend=_TWO_FILMS)


def _most_telling(unused: Sequence[tuple[FilmVerdict, str]]) -> tuple[FilmVerdict, str]:
    """The verdict on a film before those on what is none."""
    none = {FilmVerdict.UNREADABLE, FilmVerdict.NOT_A_DETECTOR_IMAGE}
    return next((one for one in unused if one[0] not in none), unused[0])


def _refusal(verdict: FilmVerdict, where: str, more: str = "") -> Refusal:
    code = _CODES.get(verdict, ExitCode.FILM_UNUSABLE)
    return Refusal(code, f"{verdict.value}: {REASONS[verdict]}{more}", where=where, mend=MENDS.get(verdict, _TWO_FILMS))
