"""Whether a header tells of a raw image of an X-ray detector: judged before any pixel is decoded."""

from __future__ import annotations

from typing import Final

from client.dicom import decodable
from client.header import FilmHeader
from client.radiographs.film_verdicts import FilmRefused, FilmVerdict

LARGEST_PIXELS: Final = 1 << 24
_MODALITIES: Final = frozenset({"DX", "CR", "XA", "RF", "RG"})
# Secondary capture, and photographs of visible light (VL), whatever modality they name.
_NO_DETECTOR: Final = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77")
_GREY: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})
_LOSSY_BITS: Final = 8
_PRESENTED: Final = "FOR PRESENTATION"
_PRESENTATION_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.1.1"})
_INVERTIBLE: Final = frozenset({"LIN", "LOG"})
_STITCHED: Final = frozenset({"STITCHED", "COMPOSED", "MOSAIC"})


def expect_detector_image(header: FilmHeader) -> None:
    """What only the header can tell of an image's making.

    Raises:
        FilmRefused: ``NOT_A_DETECTOR_IMAGE``, ``TOO_LARGE``, ``COMPRESSION_UNSUPPORTED``, ``UNREADABLE``,
            ``SUBTRACTED``, ``MULTIPLE_EXPOSURES`` or ``FILM_PROCESSED``.
    """
    if _is_no_detector_image(header):
        raise FilmRefused(FilmVerdict.NOT_A_DETECTOR_IMAGE)
    if min(header.rows, header.columns) <= 0:
        raise FilmRefused(FilmVerdict.UNREADABLE)
    if header.rows * header.columns > LARGEST_PIXELS:
        raise FilmRefused(FilmVerdict.TOO_LARGE)
    if not decodable(header.transfer_syntax):
        raise FilmRefused(FilmVerdict.COMPRESSION_UNSUPPORTED)
    if header.subtracted or any("SUBTRACT" in word or word == "DSA" for word in header.image_type):
        raise FilmRefused(FilmVerdict.SUBTRACTED)
    if not _STITCHED.isdisjoint(header.image_type):
        raise FilmRefused(FilmVerdict.MULTIPLE_EXPOSURES)
    if _is_processed(header):
        raise FilmRefused(FilmVerdict.FILM_PROCESSED)


def is_for_presentation(header: FilmHeader) -> bool:
    """Whether the film was made to be looked at."""
    return header.intent == _PRESENTED or (not header.intent and header.sop_class in _PRESENTATION_CLASSES)


def _is_no_detector_image(header: FilmHeader) -> bool:
    captured = any(header.sop_class == name or header.sop_class.startswith(f"{name}.") for name in _NO_DETECTOR)
    coloured = (header.samples or 1) != 1 or header.photometric not in _GREY
    coarse = header.lossy and (header.bits_stored or 0) <= _LOSSY_BITS
    return captured or coloured or coarse or header.modality not in _MODALITIES


def _is_processed(header: FilmHeader) -> bool:
    """A sigmoid or a table for viewing tells of a curve; without either the film must say that it has none."""
    if header.relationship == "DISP":
        return True
    curved = header.voi_table or header.voi_function == "SIGMOID"
    return is_for_presentation(header) and (curved or header.relationship not in _INVERTIBLE)
