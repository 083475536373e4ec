from __future__ import annotations

from pathlib import Path

import pytest

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
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, old: str, new: str, field: str) -> None:
    (tmp_path / "site.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(Refusal) as caught:
        SiteSettings.from_toml(tmp_path / "site.toml")
    assert caught.value.code is ExitCode.SETTINGS_INVALID
    assert field in caught.value.what


def test_two_processes_never_share_a_state_folder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with sole_process(lock), pytest.raises(Refusal, match="another process"), sole_process(lock):
        pytest.fail("both hold the folder")
    with sole_process(lock):
        pass
