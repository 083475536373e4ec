"""Reads films through one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client.archive import Pseudonyms
from client.dicom import Reader
from client.radiographs import Film, FilmVerdict, read_films
from tests.client.radiographs.films import FilmWriter


@pytest.fixture(scope="session")
def film_reader() -> Iterator[Reader]:
    with Reader() as opened:
        yield opened


@pytest.fixture
def read(film_reader: Reader, tmp_path: Path) -> Callable[[FilmWriter], Film | FilmVerdict]:
    """Writes a film, and reads it: the film, or its verdict."""

    def written_and_read(writer: FilmWriter) -> Film | FilmVerdict:
        path = writer.write(tmp_path / "film")
        (found,) = read_films([path], Pseudonyms(b"secret" * 8), reader=film_reader)
        return found

    return written_and_read
