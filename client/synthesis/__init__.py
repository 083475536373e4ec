"""From a radiograph pair to a synthetic CT volume, and to DICOM that says on every slice what it is.

``synthesiser`` predicts from line integrals. Of real films, ``film_choice`` finds the two, ``prepared_films`` brings
them to the study, and ``film_synthesis`` makes and writes all that is left of them: ``synthetic_ct``,
``uncertainty_map`` (both described by ``series_origin``), ``nifti_volume``, ``reprojection_pictures``.
"""

from client.synthesis.film_choice import ChosenFilm, ChosenPair, chosen_pair
from client.synthesis.film_synthesis import CT_FOLDER, FilmSynthesis, film_synthesis, write_film_synthesis
from client.synthesis.prepared_films import PreparedFilms, prepared_films
from client.synthesis.series_origin import MARK, SeriesOrigin
from client.synthesis.synthesiser import Synthesiser, SyntheticCt, synthesize, synthesize_with_sd
from client.synthesis.synthetic_ct import synthetic_slices, write_synthetic_ct

__all__ = [
    "CT_FOLDER",
    "MARK",
    "ChosenFilm",
    "ChosenPair",
    "FilmSynthesis",
    "PreparedFilms",
    "SeriesOrigin",
    "Synthesiser",
    "SyntheticCt",
    "chosen_pair",
    "film_synthesis",
    "prepared_films",
    "synthesize",
    "synthesize_with_sd",
    "synthetic_slices",
    "write_film_synthesis",
    "write_synthetic_ct",
]
