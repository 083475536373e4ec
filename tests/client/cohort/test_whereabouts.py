"""The engineer finds the folder behind a pseudonym, with the site's own secret and no list on disk."""

from __future__ import annotations

import pytest

from client.archive.discovery import discover
from client.archive.pseudonym import site_pseudonyms
from client.cohort.whereabouts import whereabouts
from common.errors import ExitCode, Refusal


@pytest.fixture
def archive(series, tmp_path):
    folder = tmp_path / "archive"
    series(patient_id="one").write(folder / "a" / "first")
    series(patient_id="one").write(folder / "b\nodd")
    series(patient_id="two").write(folder / "c")
    damaged = series().write(folder / "broken")[0]
    damaged.write_bytes(damaged.read_bytes()[:300])
    for other in sorted((folder / "broken").iterdir())[1:]:
        other.unlink()
    return folder


def test_series_patients_and_damaged_folders_are_found(archive, tmp_path):
    state = tmp_path / "state"
    names = site_pseudonyms(state / "site-secret")
    by_folder = {}
    for found in discover(archive, names):
        by_folder[whereabouts(archive, state, found.series)] = found
    single = {folders[0].relative_to(archive).as_posix() for folders in by_folder if len(folders) == 1}
    assert single == {"a/first", "b\nodd", "c", "broken"}
    one = by_folder[(archive / "a" / "first",)].patient
    assert whereabouts(archive, state, one.upper()) == (archive / "a" / "first", archive / "b\nodd")
    written = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert not [name for name in (b"first", b"odd", b"broken") if name in written]


@pytest.mark.parametrize("unknown", ["0" * 32, "../../etc", "", "a/first"])
def test_what_is_no_pseudonym_of_this_site_is_refused(archive, tmp_path, unknown):
    site_pseudonyms(tmp_path / "state" / "site-secret")
    with pytest.raises(Refusal) as refusal:
        whereabouts(archive, tmp_path / "state", unknown)
    assert refusal.value.code is ExitCode.ARCHIVE_EMPTY


def test_another_state_folder_knows_nothing_and_gets_no_secret(archive, tmp_path):
    with pytest.raises(Refusal) as refusal:
        whereabouts(archive, tmp_path / "elsewhere", "0" * 32)
    assert refusal.value.code is ExitCode.SETTINGS_INVALID
    assert not (tmp_path / "elsewhere").exists()
