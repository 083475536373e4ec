"""The list of a release's files that is signed (``SHA256SUMS``), which ``sha256sum -c`` reads as well.

# tomoray network release, format 1
<SHA-256>  card.html
<SHA-256>  card.json
<SHA-256>  generator.safetensors
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from common.errors import ExitCode, Refusal
from common.release.card import CARD_FILE, FORMAT_VERSION

CHECKSUMS_FILE, SIGNATURE_FILE = "SHA256SUMS", "SHA256SUMS.sig"
PAGE_FILE, GENERATOR_FILE = "card.html", "generator.safetensors"
LISTED_FILES = (PAGE_FILE, CARD_FILE, GENERATOR_FILE)
"""Files of format 1, in the list's order."""

_FIRST_LINE = "# tomoray network release, format {version}\n"
_VERSION = re.compile(rb"# tomoray network release, format ([0-9]{1,9})\n")
_LINE = re.compile(rb"([0-9a-f]{64})  (.+)\n")


def checksums_text(sha256: Mapping[str, str]) -> bytes:
    """The list, from each file's SHA-256 in hex."""
    lines = (f"{sha256[name]}  {name}\n" for name in LISTED_FILES)
    return (_FIRST_LINE.format(version=FORMAT_VERSION) + "".join(lines)).encode("ascii")


def read_checksums(text: bytes, where: str) -> dict[str, str]:
    """SHA-256 in hex by file name, of a list whose signature holds; the names are those of format 1 and no others.

    Raises:
        Refusal: ``RELEASE_FORMAT_UNKNOWN`` for a list of another format, ``RELEASE_DAMAGED`` for anything else that
            :func:`checksums_text` would not write.
    """
    first = _VERSION.match(text)
    if first is None:
        raise _damaged("no list of a network release", where)
    if int(first[1]) != FORMAT_VERSION:
        what = f"release of format {int(first[1])}, and this version reads format {FORMAT_VERSION}"
        mend = "install the version of tomoray-federated that the release was made for, or ask for a release anew"
        raise Refusal(ExitCode.RELEASE_FORMAT_UNKNOWN, what, where=where, mend=mend)
    lines = [_LINE.fullmatch(line) for line in text[first.end() :].splitlines(keepends=True)]
    found = {match[2].decode("ascii", "replace"): match[1].decode("ascii") for match in lines if match}
    if set(found) != set(LISTED_FILES) or checksums_text(found) != text:
        raise _damaged("list does not name just the files of a release, each once", where)
    return found


def _damaged(what: str, where: str) -> Refusal:
    mend = "get the release anew from the coordinator"
    return Refusal(ExitCode.RELEASE_DAMAGED, what, where=where, mend=mend)
