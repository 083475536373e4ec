from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.roles import Role
from common.trust import new_site_key, public_key_sha256
from server.consortium import AdmittedSite, admit, admit_all, read_admissions
from server.consortium.admission import write_admissions


def _entry(name: str, role: str, key: bytes) -> str:
    return f'[[site]]\nname = "{name}"\nrole = "{role}"\npublic_key = "{key.decode()}"\n'


def _write(folder: Path, *entries: str) -> Path:
    path = folder / "sites.toml"
    path.write_text("\n".join(entries), encoding="utf-8")
    return path


def test_sites_are_read_with_roles_and_key_digests(tmp_path: Path) -> None:
    keys = [new_site_key()[1] for _ in range(2)]
    path = _write(tmp_path, _entry("north", "train", keys[0] + b" it@north"), _entry("east", "evaluate", keys[1]))
    east, north = read_admissions(path)
    assert (north.name, north.role, north.key_sha256) == ("north", Role.TRAIN, public_key_sha256(keys[0]))
    assert (east.name, east.role, east.public_key) == ("east", Role.EVALUATE, keys[1])


def test_a_name_is_admitted_once(tmp_path: Path) -> None:
    entries = [_entry("north", "train", new_site_key()[1]) for _ in range(2)]
    with pytest.raises(Refusal, match="admitted twice") as refusal:
        read_admissions(_write(tmp_path, *entries))
    assert refusal.value.code is ExitCode.SETTINGS_INVALID


def test_a_key_is_admitted_once_even_with_another_comment() -> None:
    _, key = new_site_key()
    sites = [admit("north", Role.TRAIN, key), admit("south", Role.EVALUATE, key + b" other")]
    with pytest.raises(Refusal, match="same key"):
        admit_all(sites, where="test")


def test_admissions_do_not_depend_on_their_order() -> None:
    sites = [admit(name, Role.TRAIN, new_site_key()[1]) for name in ("north", "east", "south")]
    assert admit_all(sites, where="test") == admit_all(reversed(sites), where="test")


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ('[[site]]\nname = "north"\nrole = "train"\n', "public_key"),
        ('[[site]]\nname = "north"\nrole = "spectator"\npublic_key = "x"\n', "role"),
        ('[[site]]\nname = "north"\nrole = "train"\npublic_key = "x"\n', "not an OpenSSH public key"),
        ('[[site]]\nname = "North Hospital"\nrole = "train"\npublic_key = "x"\n', "name"),
        ('[[sites]]\nname = "north"\n', "sites"),
        ("not toml", "not TOML"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_field(tmp_path: Path, entry: str, match: str) -> None:
    with pytest.raises(Refusal, match=match):
        read_admissions(_write(tmp_path, entry))


def test_missing_admissions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="unreadable"):
        read_admissions(tmp_path / "absent.toml")


KEY = new_site_key()[1]


@given(st.text(max_size=40))
def test_any_name_is_plain_or_refused(name: str) -> None:
    try:
        site = admit(name, Role.TRAIN, KEY)
    except Refusal:
        return
    assert isinstance(site, AdmittedSite)
    assert name.isascii()
    assert name.replace("-", "").isalnum()


def test_the_most_cases_of_a_site_come_back_as_they_were_written(tmp_path: Path) -> None:
    sites = [
        admit("north", Role.TRAIN, new_site_key()[1], most_cases=120),
        admit("west", Role.EVALUATE, new_site_key()[1]),
    ]
    path = tmp_path / "sites.toml"
    write_admissions(path, sites)
    assert [site.most_cases for site in read_admissions(path)] == [120, None]
