"""The key for releases is made once, for this user alone, and anything odd in its place is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExitCode, Refusal
from common.processes import sole_process
from common.release import read_release_key, release_key_of
from common.trust import new_site_key
from server.consortium import signing_key


def test_the_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "release"
    first, again = signing_key(folder), signing_key(folder)
    assert first.private_bytes_raw() == again.private_bytes_raw()
    assert (folder / "release.key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert read_release_key(folder / "release.pub") == release_key_of(first)


def test_two_coordinators_have_two_keys(tmp_path: Path) -> None:
    assert release_key_of(signing_key(tmp_path / "a")) != release_key_of(signing_key(tmp_path / "b"))


@pytest.mark.parametrize("trouble", ["open to others", "a link", "another kind", "no key", "a folder"])
def test_an_odd_key_is_refused_and_never_replaced(tmp_path: Path, trouble: str) -> None:
    signing_key(tmp_path)
    path = tmp_path / "release.key"
    if trouble == "open to others":
        path.chmod(0o640)
    elif trouble == "a link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif trouble == "another kind":
        path.write_bytes(new_site_key()[0])
    elif trouble == "no key":
        path.write_text("no key")
    else:
        path.unlink()
        path.mkdir()
    with pytest.raises(Refusal) as caught:
        signing_key(tmp_path)
    assert caught.value.code is ExitCode.SETTINGS_INVALID
    assert caught.value.where == str(path)


def test_two_processes_never_make_two_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Ed25519PrivateKey] = []
    monkeypatch.setattr(Ed25519PrivateKey, "generate", lambda: made.append(None))
    with sole_process(tmp_path / "lock"), pytest.raises(Refusal, match="another process"):
        signing_key(tmp_path)
    assert made == []
