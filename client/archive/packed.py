"""Tells packed files by their first bytes: nothing in an archive goes without a word, and nothing packed is opened.

But one: a gzip is unpacked as far as a header of NIfTI reaches. What has one holds no DICOM that could be lost, and is
passed over as a plain NIfTI file is.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

PACKED_BYTES: Final = 2048
_GZIP: Final = b"\x1f\x8b\x08"
_BEGINNINGS: Final = (
    b"PK\x03\x04",
    b"PK\x07\x08PK\x03\x04",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    _GZIP,
    b"BZh",
    b"\xfd7zXZ\x00",
)
_TAR, _TAR_PLACE = b"ustar", 257
# Office documents and programs are zips, too.
_DOCUMENTS: Final = (b"[Content_Types].xml", b"_rels/.rels", b"mimetype", b"META-INF/")
_NAME_PLACE: Final = 30
# Length of the header, the first number in it, and what stands where in it (NIfTI-1 and NIfTI-2).
_NIFTI: Final = ((348, 344, (b"n+1\0", b"ni1\0")), (540, 4, (b"n+2\0", b"ni2\0")))
_NIFTI_BYTES: Final = 348
# Asks zlib for the wrapping of gzip.
_GZIP_WINDOW: Final = 31


def is_packed(opening: bytes) -> bool:
    """Whether a file that opens so is a zip, 7z, rar, tar, gzip, bzip2 or xz, and neither a document nor a NIfTI file.

    Args:
        opening: the file's first ``PACKED_BYTES`` bytes, or all.
    """
    if opening[_TAR_PLACE : _TAR_PLACE + len(_TAR)] == _TAR:
        return True
    if opening.startswith(_GZIP):
        return not _is_nifti(_unpacked(opening))
    return opening.startswith(_BEGINNINGS) and not opening.startswith(_DOCUMENTS, _NAME_PLACE)


def _unpacked(opening: bytes) -> bytes:
    """As much as a header of NIfTI has of what a gzip holds; nothing if it is damaged."""
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(opening, _NIFTI_BYTES)
    except zlib.error:
        return b""


def _is_nifti(opening: bytes) -> bool:
    return any(
        opening[:4] in (struct.pack("<i", length), struct.pack(">i", length)) and opening.startswith(words, place)
        for length, place, words in _NIFTI
    )
