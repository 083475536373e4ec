"""Real radiographs: read, judged, brought to line integrals, and paired."""

from client.radiographs.exposed_field import nearest_exposed
from client.radiographs.film import Film, FilmSettings
from client.radiographs.film_geometry import FilmGeometry, Origin
from client.radiographs.film_reading import acquisition_day, read_films
from client.radiographs.film_verdicts import MENDS, REASONS, FilmRefused, FilmVerdict
from client.radiographs.pairing import DatedCt, FilmPair, pair_of, pairs_by_patient

__all__ = [
    "MENDS",
    "REASONS",
    "DatedCt",
    "Film",
    "FilmGeometry",
    "FilmPair",
    "FilmRefused",
    "FilmSettings",
    "FilmVerdict",
    "Origin",
    "acquisition_day",
    "nearest_exposed",
    "pair_of",
    "pairs_by_patient",
    "read_films",
]
