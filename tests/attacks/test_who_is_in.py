"""Admissions over a real SuperLink: what the file says holds at once, for keys that are in and keys that are out."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.link import LinkEventKind
from common.errors import ExitCode, Refusal
from common.roles import Role
from server.consortium import admit
from server.consortium.admission import write_admissions
from server.coordinator.roster import Roster

pytestmark = pytest.mark.processes


def _write(path: Path, consortium, *sites: tuple[str, str]) -> None:
    write_admissions(path, [admit(name, Role.TRAIN, consortium.keys[owner].verifying.openssh) for name, owner in sites])


@pytest.fixture
def said() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def path(tmp_path: Path, consortium) -> Path:
    return tmp_path / "sites.toml"


def test_keys_follow_the_file_while_the_run_goes_on(consortium, path: Path, said: list[tuple[str, str]]) -> None:
    site, later = consortium.site("stays", admitted=False), consortium.site("later", admitted=False)
    _write(path, consortium, ("stays", "stays"))
    roster = Roster(path, consortium.control, lambda *words: said.append(words))
    with site.running():
        consortium.wait_for(lambda: LinkEventKind.CONNECTED in site.kinds())
        node = roster.addressees["stays"].node
        # Renamed: the same key, the same node, no ghost.
        _write(path, consortium, ("renamed", "stays"), ("later", "later"))
        roster.refresh()
        assert roster.addressees["renamed"].node == node
        assert set(roster.addressees) == set(roster.sites) == {"renamed", "later"}
        with later.running():
            consortium.wait_for(lambda: LinkEventKind.CONNECTED in later.kinds())
        # Revoked: unregistered, and thrown off the line.
        _write(path, consortium, ("later", "later"))
        roster.refresh()
        assert consortium.keys["stays"].verifying.sha256 not in consortium.control.registered_keys()
        consortium.wait_for(lambda: any("does not know" in event.detail for event in site.events), 30)
    assert said == []


def test_a_revoked_key_does_not_come_back(consortium, path: Path, said: list[tuple[str, str]]) -> None:
    site = consortium.site("revoked", admitted=False, patience_s=0.2)
    other = consortium.site("other", admitted=False)
    assert other.failure is None
    _write(path, consortium, ("revoked", "revoked"), ("other", "other"))
    roster = Roster(path, consortium.control, lambda *words: said.append(words))
    _write(path, consortium, ("other", "other"))
    roster.refresh()
    site.run()
    assert isinstance(site.failure, Refusal)
    assert site.failure.code is ExitCode.COORDINATOR_REFUSED_SITE
    _write(path, consortium, ("revoked", "revoked"), ("other", "other"))
    roster.refresh()
    assert set(roster.addressees) == {"other"}
    assert [site for site, _ in said] == ["revoked"]
    assert "one that was revoked stays so" in said[0][1]


def test_a_file_that_cannot_be_read_changes_nothing_and_is_said(
    consortium, path: Path, said: list[tuple[str, str]]
) -> None:
    consortium.site("kept", admitted=False)
    _write(path, consortium, ("kept", "kept"))
    roster = Roster(path, consortium.control, lambda *words: said.append(words))
    path.write_text("[[site]]\nname = 'half")
    roster.refresh()
    roster.refresh()
    assert set(roster.sites) == {"kept"}
    assert consortium.keys["kept"].verifying.sha256 in consortium.control.registered_keys()
    assert len(said) == 1


def test_a_key_that_nobody_admitted_is_unregistered(consortium, path: Path, said: list[tuple[str, str]]) -> None:
    # As if another program had registered it before the door was there.
    consortium.site("smuggled")
    consortium.site("genuine", admitted=False)
    _write(path, consortium, ("genuine", "genuine"))
    Roster(path, consortium.control, lambda *words: said.append(words))
    assert set(consortium.control.registered_keys()) == {consortium.keys["genuine"].verifying.sha256}
