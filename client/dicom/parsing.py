"""Headers parsed by pydicom: only for the limited process, since what is parsed may be hostile."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, final

import pydicom.charset
import pydicom.config
from pydicom import Dataset, dcmread

from client.dicom.wire import Fault, Unreadable
from client.header import (
    FILM_TAGS,
    FRAME_GROUP_TAGS,
    HEADER_TAGS,
    FilmHeader,
    ImageHeader,
    film_header,
    frame_headers,
    image_header,
    may_be_expanded,
)

_MISSPELT = re.compile(r"ISO[^A-Z0-9]?(IR|2022)[^A-Z0-9]?(IR)?[^A-Z0-9]?([0-9]*)")


@final
class _CharacterSets(dict[str, str]):
    """Python's encodings by DICOM's names; every other name is read byte by byte, so that none is looked up in files.

    Nothing that is kept needs a character set: an identifier only has to be the same each time.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        super().__init__(known)
        self._encodings = frozenset(known.values())

    def __missing__(self, name: str) -> str:
        if name in self._encodings:
            return name
        spelt = _MISSPELT.fullmatch(name)
        kind = "" if spelt is None else "ISO_IR " if spelt[1] == "IR" else "ISO 2022 IR "
        return self.get(f"{kind}{spelt[3]}" if spelt else "", pydicom.charset.default_encoding)


_CHARACTER_SETS = _CharacterSets(pydicom.charset.python_encoding)


def image_headers(stream: BinaryIO) -> tuple[ImageHeader, ...] | None:
    """The header of each slice of an object: one, or of an Enhanced CT one a frame; None if it is no image object.

    Raises:
        Unreadable: if it is damaged, or its header does not fit into the process's memory.
    """
    with _parsing():
        dataset = _dataset(stream, HEADER_TAGS)
        whole = image_header(dataset, *_meta(dataset))
        if whole is None or not may_be_expanded(whole):
            return None if whole is None else (whole,)
        return frame_headers(_dataset(stream, FRAME_GROUP_TAGS), whole)


def film_of(stream: BinaryIO) -> FilmHeader | None:
    """The header of an object taken for a projection radiograph; None if it is no image object.

    Raises:
        Unreadable: as for :func:`image_headers`.
    """
    with _parsing():
        dataset = _dataset(stream, FILM_TAGS)
        return film_header(dataset, *_meta(dataset))


@contextmanager
def _parsing() -> Iterator[None]:
    try:
        with quiet_pydicom():
            yield
    except MemoryError as error:
        raise Unreadable(Fault.NO_MEMORY) from error
    except Exception as error:  # hostile bytes: pydicom raises many types, and each means damaged
        raise Unreadable(Fault.DAMAGED) from error


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """While it lasts, pydicom neither warns nor logs: its messages can quote values, and values can name patients.

    Nor does it refuse a character set that it does not know.
    """
    logger = logging.getLogger("pydicom")
    was_disabled, character_sets = logger.disabled, pydicom.charset.python_encoding
    with pydicom.config.disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        pydicom.charset.python_encoding = _CHARACTER_SETS
        try:
            yield
        finally:
            logger.disabled = was_disabled
            pydicom.charset.python_encoding = character_sets


def _dataset(stream: BinaryIO, tags: tuple[str, ...]) -> Dataset:
    stream.seek(0)
    return dcmread(stream, stop_before_pixels=True, specific_tags=list(tags), force=True)


def _meta(dataset: Dataset) -> tuple[str, str]:
    """SOP class and transfer syntax as the file's meta information says them; empty where it does not."""
    meta = dataset.file_meta
    return str(meta.get("MediaStorageSOPClassUID") or ""), str(meta.get("TransferSyntaxUID") or "")
