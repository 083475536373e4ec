"""Virtual films: radiographs of virtual patients with their physics, and as DICOM.

``marching`` follows the rays, ``exposing`` makes an exposure of them as a ``film_style`` says, with ``lead``;
``film_format`` stores it as a detector would, ``film_header`` says so in DICOM, ``film_writing`` writes both.
"""

from client.virtual_films.exposing import HEAD_ABOVE, Film, expose, focal_sigma_mm, photons_a_pixel, shadows
from client.virtual_films.film_archive import write_virtual_films
from client.virtual_films.film_format import FilmFormat
from client.virtual_films.film_style import AntiScatterGrid, FilmStyle
from client.virtual_films.film_writing import film_dataset, write_film
from client.virtual_films.marching import tissue_paths_mm

__all__ = [
    "HEAD_ABOVE",
    "AntiScatterGrid",
    "Film",
    "FilmFormat",
    "FilmStyle",
    "expose",
    "film_dataset",
    "focal_sigma_mm",
    "photons_a_pixel",
    "shadows",
    "tissue_paths_mm",
    "write_film",
    "write_virtual_films",
]
