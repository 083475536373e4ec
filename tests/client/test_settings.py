from __future__ import annotations

from pathlib import Path

import pytest

from client.pacs import PacsSettings
from client.settings import SiteSettings
from common.errors import ExitCode, Refusal
from common.processes import sole_process

GOOD = """
name = "north"
role = "train"
archive = "archive"
state = "/state"
studies = ["a.toml"]
[coordinator]
address = "coordinator.example.org:443"
ca_certificate = "ca.crt"
private_key = "keys/site.key"
"""


def test_relative_paths_count_from_the_settings_file(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(GOOD)
    settings = SiteSettings.from_toml(tmp_path / "site.toml")
    assert settings.archive == tmp_path / "archive"
    assert settings.state == Path("/state")
    assert settings.studies == (tmp_path / "a.toml",)
    assert settings.coordinator.private_key == tmp_path / "keys" / "site.key"


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('name = "north"', 'name = "../north"', "name"),
        ('role = "train"', 'role = "both"', "role"),
        ('studies = ["a.toml"]', "studies = []", "studies"),
        ("coordinator.example.org:443", "https://coordinator.example.org", "coordinator.address"),
        ('archive = "archive"', "", "archive"),
        ('state = "/state"', 'state = "/state"\ngpu = 1', "gpu"),
        ('state = "/state"', 'state = "/state"\ndevices = 0', "devices"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, old: str, new: str, field: str) -> None:
    (tmp_path / "site.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(Refusal) as caught:
        SiteSettings.from_toml(tmp_path / "site.toml")
    assert caught.value.code is ExitCode.SETTINGS_INVALID
    assert field in caught.value.what


PACS = """
[pacs]
url = "https://pacs.hospital.example/dicom-web/"
body_part = ["HEAD", "SKULL"]
study_dates = ["20180101", "20251231"]
user = "tomoray"
password_file = "pacs.password"
ca_certificate = "/etc/hospital-ca.pem"
"""
FROM_PACS = GOOD.replace('archive = "archive"\n', "") + PACS


def _settings(folder: Path, text: str) -> SiteSettings:
    (folder / "site.toml").write_text(text)
    return SiteSettings.from_toml(folder / "site.toml")


def test_a_pacs_stands_in_for_the_archive(tmp_path: Path) -> None:
    settings = _settings(tmp_path, FROM_PACS)
    pacs = settings.source
    assert isinstance(pacs, PacsSettings)
    assert settings.archive is None
    assert pacs.url == "https://pacs.hospital.example/dicom-web"
    assert pacs.password_file == tmp_path / "pacs.password"
    assert pacs.ca_certificate == Path("/etc/hospital-ca.pem")
    assert pacs.token_file is None
    assert (pacs.modality, pacs.connections, pacs.most_series) == ("CT", 2, 5000)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[pacs]", 'archive = "a"\n[pacs]', "archive"),
        ("https://pacs", "http://pacs", "must be https"),
        ("https://pacs", "ftp://pacs", "pacs.url"),
        ("https://pacs", "https://user:secret@pacs", "pacs.url"),
        ("dicom-web/", "dicom-web?x=1", "pacs.url"),
        ("hospital.example/", "hospital.example:99999/", "pacs.url"),
        ('"HEAD"', '"head"', "pacs.body_part"),
        ('"20180101"', '"2018-01-01"', "pacs.study_dates"),
        ('["20180101", "20251231"]', '["20251231", "20180101"]', "study_dates"),
        ('user = "tomoray"\n', "", "user and password_file"),
        ('user = "tomoray"', 'user = "tomo:ray"', "pacs.user"),
        ('user = "tomoray"', 'user = "tomoray"\ntoken_file = "t"', "either token_file"),
        ('user = "tomoray"', 'user = "tomoray"\npassword = "hidden"', "pacs.password"),
        ('user = "tomoray"', 'user = "tomoray"\nconnections = 0', "pacs.connections"),
        ('user = "tomoray"', 'user = "tomoray"\nverify = false', "pacs.verify"),
    ],
)
def test_a_wrong_pacs_is_refused_in_one_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        _settings(tmp_path, FROM_PACS.replace("[pacs]", new) if old == "[pacs]" else FROM_PACS.replace(old, new))
    assert caught.value.code is ExitCode.SETTINGS_INVALID
    assert words in str(caught.value)
    assert "secret" not in str(caught.value) and "hidden" not in str(caught.value)


def test_settings_name_one_source(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="give either archive"):
        _settings(tmp_path, GOOD + PACS)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8042/dicom-web", "http://localhost/d", "http://[::1]:8042/d"])
def test_plain_http_stays_on_this_machine(tmp_path: Path, address: str) -> None:
    pacs = _settings(tmp_path, FROM_PACS.replace("https://pacs.hospital.example/dicom-web/", address)).source
    assert isinstance(pacs, PacsSettings)
    assert pacs.url == address


@pytest.mark.parametrize("trouble", ["missing", "open to others", "a link", "empty", "two lines", "a folder"])
def test_a_secret_that_is_none_or_open_to_others_is_refused(tmp_path: Path, trouble: str) -> None:
    password = tmp_path / "pacs.password"
    password.touch(0o600)
    password.write_text({"empty": " \n", "two lines": "hunter2\nhunter3\n"}.get(trouble, "hunter2\n"))
    pacs = _settings(tmp_path, FROM_PACS).source
    assert isinstance(pacs, PacsSettings)
    if trouble in ("missing", "a link", "a folder"):
        password.rename(tmp_path / "elsewhere")
    if trouble == "a link":
        password.symlink_to(tmp_path / "elsewhere")
    elif trouble == "a folder":
        password.mkdir(0o700)
    elif trouble == "open to others":
        assert pacs.authorization() == ("tomoray", "hunter2")
        password.chmod(0o640)
    with pytest.raises(Refusal) as caught:
        pacs.authorization()
    assert caught.value.code is ExitCode.SETTINGS_INVALID
    assert "pacs.password" in caught.value.where and "hunter" not in str(caught.value)


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        pacs = _settings(tmp_path, FROM_PACS.replace("/etc/hospital-ca.pem", name)).source
        assert isinstance(pacs, PacsSettings)
        with pytest.raises(Refusal) as caught:
            pacs.verified_by()
        assert caught.value.code is ExitCode.SETTINGS_INVALID
        assert name in caught.value.where


def test_two_processes_never_share_a_state_folder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with sole_process(lock), pytest.raises(Refusal, match="another process"), sole_process(lock):
        pytest.fail("both hold the folder")
    with sole_process(lock):
        pass
