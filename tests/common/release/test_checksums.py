"""The signed list names the files of its format, each once, and nothing that could be a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.release.checksums import LISTED_FILES, checksums_text, read_checksums

SUMS = {name: str(number) * 64 for number, name in enumerate(LISTED_FILES)}
TEXT = checksums_text(SUMS)


def code(text: bytes) -> ExitCode:
    with pytest.raises(Refusal) as caught:
        read_checksums(text, "SHA256SUMS")
    return caught.value.code


def test_the_list_reads_back() -> None:
    assert read_checksums(TEXT, "SHA256SUMS") == SUMS


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(b"card.json", b"../card.json"),
        TEXT.replace(b"card.json", b"/etc/passwd"),
        TEXT.replace(b"card.json", b"card.html"),
        TEXT.replace(b"card.json", b"c\xffrd.json"),
        TEXT + b"a" * 64 + b"  extra.bin\n",
        TEXT + TEXT.splitlines(keepends=True)[-1],
        TEXT.replace(b"  ", b" *"),
        TEXT.replace(b"\n", b"\r\n"),
        TEXT[:-1],
        TEXT.upper(),
        b"",
        b"# something else\n",
    ],
    ids=range(12),
)
def test_a_list_that_names_anything_else_is_refused(text: bytes) -> None:
    assert code(text) is ExitCode.RELEASE_DAMAGED


@pytest.mark.parametrize("version", [b"0", b"2", b"12"])
def test_another_format_is_refused_by_its_number(version: bytes) -> None:
    assert code(TEXT.replace(b"format 1", b"format " + version)) is ExitCode.RELEASE_FORMAT_UNKNOWN


@given(st.binary(max_size=400), st.integers(0, len(TEXT)))
def test_no_bytes_break_the_reader(data: bytes, cut: int) -> None:
    for text in (data, TEXT[:cut] + data):
        if text != TEXT:
            assert code(text) in (ExitCode.RELEASE_DAMAGED, ExitCode.RELEASE_FORMAT_UNKNOWN)
