from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.archive.pseudonym import Pseudonyms, site_pseudonyms
from common.errors import ExitCode, Refusal

text = st.text(max_size=40)


@given(text, text)
def test_pseudonyms_are_stable_and_tell_values_apart(first, second):
    names = Pseudonyms(b"a" * 32)
    assert names.of("patient", first) == names.of("patient", first)
    assert (names.of("patient", first) == names.of("patient", second)) == (first == second)
    assert re.fullmatch(r"[0-9a-f]{32}", names.of("patient", first))


@given(st.lists(text, max_size=4), st.lists(text, max_size=4))
def test_parts_never_run_together(first, second):
    names = Pseudonyms(b"a" * 32)
    assert (names.of("x", *first) == names.of("x", *second)) == (first == second)


def test_another_site_or_kind_gives_unrelated_names():
    assert len({Pseudonyms(key * 32).of(kind, "1") for key in (b"a", b"b") for kind in ("patient", "series")}) == 4


def test_secret_is_created_once_with_mode_0600_and_then_kept(tmp_path):
    path = tmp_path / "state" / "secret"
    first = site_pseudonyms(path).of("patient", "1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert site_pseudonyms(path).of("patient", "1") == first
    assert sorted(item.name for item in path.parent.iterdir()) == ["secret"]


def test_processes_that_start_together_agree_on_one_secret(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: site_pseudonyms(tmp_path / "secret").of("patient", "1"), range(16)))
    assert len(names) == 1


@pytest.mark.parametrize("damage", ["short", "long", "open", "link"])
def test_damaged_or_open_secret_is_refused(tmp_path, damage):
    path = tmp_path / "secret"
    site_pseudonyms(path)
    if damage == "short":
        path.write_bytes(b"x")
    elif damage == "long":
        path.write_bytes(b"x" * 33)
    elif damage == "open":
        path.chmod(0o644)
    else:
        path.rename(tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")
    with pytest.raises(Refusal) as refusal:
        site_pseudonyms(path)
    assert refusal.value.code is ExitCode.SETTINGS_INVALID
