"""How a site proves who it is, and a PACS that it is the right one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from client.pacs import PacsSettings, synchronise
from common.errors import ExitCode, Refusal
from tests.client.pacs.orthanc import Orthanc, Sent, certified, contents, keyed_name

pytestmark = pytest.mark.orthanc

Fill = Callable[..., Sent]


@pytest.fixture
def orthanc(new_orthanc: Callable[..., Orthanc]) -> Orthanc:
    return new_orthanc()


def _sync(settings: PacsSettings, tmp_path: Path) -> dict[str, bytes]:
    return contents(synchronise(settings, tmp_path / "pacs", keyed_name))


def test_a_wrong_password_is_refused_at_once(orthanc: Orthanc, fill: Fill, tmp_path: Path) -> None:
    fill(orthanc, 1)
    (orthanc.folder / "password").write_text("wrong")
    with pytest.raises(Refusal) as caught:
        _sync(orthanc.settings(), tmp_path)
    assert caught.value.code is ExitCode.PACS_REFUSED
    assert "does not admit" in caught.value.what and "wrong" not in str(caught.value)


def test_tls_is_verified_and_never_switched_off(
    orthanc: Orthanc, fill: Fill, tmp_path: Path, door: Callable[..., str]
) -> None:
    fill(orthanc, 3)
    authority, own = certified(tmp_path / "own")
    stranger, _ = certified(tmp_path / "stranger")
    url = door(orthanc, certificate=own)
    assert len(_sync(orthanc.settings(url=url, ca_certificate=authority), tmp_path)) == 3
    for distrusted in (stranger, None):
        with pytest.raises(Refusal) as caught:
            _sync(orthanc.settings(url=url, ca_certificate=distrusted), tmp_path)
        assert caught.value.code is ExitCode.PACS_REFUSED
        assert "not trusted" in caught.value.what


def test_a_bearer_token_is_sent(orthanc: Orthanc, fill: Fill, tmp_path: Path, door: Callable[..., str]) -> None:
    fill(orthanc, 3)
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("a.bearer-token_1\n")
    url = door(orthanc, token="a.bearer-token_1")
    settings = orthanc.settings(user=None, password_file=None, token_file=token, url=url)
    assert len(_sync(settings, tmp_path)) == 3
    token.write_text("another")
    with pytest.raises(Refusal) as caught:
        _sync(settings, tmp_path)
    assert caught.value.code is ExitCode.PACS_REFUSED
