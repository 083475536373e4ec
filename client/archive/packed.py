"""Tells packed files by their first bytes: nothing in an archive goes without a word, and nothing packed is opened."""

from __future__ import annotations

from typing import Final

PACKED_BYTES: Final = 512
_BEGINNINGS: Final = (
    b"PK\x03\x04",
    b"PK\x07\x08PK\x03\x04",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x1f\x8b\x08",
    b"BZh",
    b"\xfd7zXZ\x00",
)
_TAR, _TAR_PLACE = b"ustar", 257
# Office documents and programs are zips, too.
_DOCUMENTS: Final = (b"[Content_Types].xml", b"_rels/.rels", b"mimetype", b"META-INF/")
_NAME_PLACE: Final = 30


def is_packed(opening: bytes) -> bool:
    """Whether a file that opens so is a zip, 7z, rar, tar, gzip, bzip2 or xz, and no document.

    Args:
        opening: the file's first ``PACKED_BYTES`` bytes, or all.
    """
    if opening[_TAR_PLACE : _TAR_PLACE + len(_TAR)] == _TAR:
        return True
    return opening.startswith(_BEGINNINGS) and not opening.startswith(_DOCUMENTS, _NAME_PLACE)
