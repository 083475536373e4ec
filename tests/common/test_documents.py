"""What a settings model writes, it reads."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.documents import document_of, parse_document, read_document, write_document
from common.errors import ExitCode, Refusal
from common.roles import Role
from common.site_settings import CoordinatorLine, SiteFile

PATHS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).map(Path)
FILES = st.builds(
    SiteFile,
    name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True),
    role=st.sampled_from(Role),
    archive=st.none() | PATHS,
    state=PATHS,
    studies=st.lists(PATHS, min_size=1, max_size=3).map(tuple),
    device=st.sampled_from(["auto", "cpu", "cuda"]),
    devices=st.integers(1, 64),
    threads=st.integers(1, 256),
    workers=st.none() | st.integers(1, 256),
    gallery_cases=st.integers(0, 100),
    coordinator=st.builds(
        CoordinatorLine,
        address=st.from_regex(r"[0-9A-Za-z.:_-]+:[0-9]{1,5}", fullmatch=True),
        ca_certificate=PATHS,
        private_key=PATHS,
    ),
)
ONE = SiteFile(
    name="north",
    role=Role.TRAIN,
    archive=Path("/data/ct"),
    state=Path("state"),
    studies=(Path("s.toml"),),
    coordinator=CoordinatorLine(address="a:1", ca_certificate=Path("ca.crt"), private_key=Path("key")),
)


@given(FILES)
def test_any_settings_are_read_as_they_were_written(settings: SiteFile) -> None:
    assert parse_document(SiteFile, document_of(settings), "test", ExitCode.SETTINGS_INVALID) == settings


def test_a_written_file_says_no_more_than_it_must_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    write_document(ONE, path)
    assert read_document(SiteFile, path, ExitCode.SETTINGS_INVALID) == ONE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "devices" not in path.read_text()


def test_a_fault_is_named_in_one_line_without_its_value(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(document_of(ONE).replace('"north"', '"SECRET NAME"'))
    with pytest.raises(Refusal, match="name") as caught:
        read_document(SiteFile, path, ExitCode.SETTINGS_INVALID)
    assert "SECRET" not in str(caught.value)
