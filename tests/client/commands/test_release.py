"""The command verifies with the key it is given or the one that is pinned, and ends with the refusal's code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client.cli import main
from client.commands.synthesize_cohort import GeneratorSource
from client.settings import SiteSettings
from common.errors import ExitCode, Refusal
from common.exchange import weights_of
from common.files import write_tensors
from common.networks import build_generator
from common.release import release_key_of, write_release
from common.study import Study
from tests.common.release.releases import RELEASE_TROUBLES, Signed, card_for

SETTINGS = """
name = "west"
role = "evaluate"
archive = "archive"
state = "state"
studies = ["small.toml"]
[coordinator]
address = "127.0.0.1:1"
ca_certificate = "ca.crt"
private_key = "site.key"
"""


@pytest.fixture
def signed(tmp_path: Path, study: Study, study_text: str) -> Signed:
    private, weights = Ed25519PrivateKey.generate(), weights_of(build_generator(study))
    card = card_for(study, weights)
    write_release(tmp_path / "release", card, "page", weights, private)
    (tmp_path / "release.pub").write_text(f"{release_key_of(private).openssh} coordinator\n")
    (tmp_path / "site.toml").write_text(SETTINGS)
    (tmp_path / "pinned.toml").write_text(f'{SETTINGS}release_key = "{release_key_of(private).openssh}"\n')
    (tmp_path / "small.toml").write_text(study_text)
    (tmp_path / "other.toml").write_text(study_text.replace("voxel_mm = 7.0", "voxel_mm = 6.0"))
    return Signed(tmp_path / "release", card, weights, private)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tomoray-site", "release", "verify", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_release_is_verified_with_either_key(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = ("--study", tmp_path / "small.toml")
    assert ended(monkeypatch, signed.folder, "--key", tmp_path / "release.pub", *study) == 0
    assert ended(monkeypatch, signed.folder, "--settings", tmp_path / "pinned.toml") == 0
    printed = capsys.readouterr().out
    assert printed.count("release intact: study small") == 2
    assert signed.key.sha256 in printed
    assert signed.card.generator_sha256 in printed


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("no key", ExitCode.USAGE),
        ("none pinned", ExitCode.SETTINGS_INVALID),
        ("another key", ExitCode.RELEASE_NOT_SIGNED),
        ("another study", ExitCode.RELEASE_OF_ANOTHER_STUDY),
        *RELEASE_TROUBLES.items(),
    ],
)
def test_each_trouble_has_its_exit_code_and_one_line(
    signed: Signed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: str,
    code: ExitCode,
) -> None:
    arguments: list[object] = [signed.folder, "--key", tmp_path / "release.pub"]
    if trouble == "no key":
        arguments = [signed.folder]
    elif trouble == "none pinned":
        arguments = [signed.folder, "--settings", tmp_path / "site.toml"]
    elif trouble == "another key":
        other = release_key_of(Ed25519PrivateKey.generate())
        (tmp_path / "release.pub").write_text(other.openssh)
    elif trouble == "another study":
        arguments += ["--study", tmp_path / "other.toml"]
    else:
        signed.spoil(trouble)
    assert ended(monkeypatch, *arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("tomoray-site: ")
    assert error.count("\n") == 1


def test_weights_come_from_a_verified_release_or_from_a_file(signed: Signed, tmp_path: Path, study: Study) -> None:
    settings = SiteSettings.from_toml(tmp_path / "pinned.toml")
    found, words = GeneratorSource(weights=None, release=signed.folder).generator(settings, study)
    assert list(found) == list(signed.weights)
    assert "round 3" in words
    write_tensors(tmp_path / "loose.safetensors", signed.weights)
    loose, words = GeneratorSource(weights=tmp_path / "loose.safetensors", release=None).generator(settings, study)
    assert set(loose) == set(found)
    assert signed.card.generator_sha256[:16] in words


def test_weights_of_a_release_that_does_not_verify_are_never_used(signed: Signed, tmp_path: Path, study: Study) -> None:
    source = GeneratorSource(weights=None, release=signed.folder)
    with pytest.raises(Refusal, match="no release key is pinned"):
        source.generator(SiteSettings.from_toml(tmp_path / "site.toml"), study)
    pinned = SiteSettings.from_toml(tmp_path / "pinned.toml")
    with pytest.raises(Refusal, match="another study"):
        source.generator(pinned, study.model_copy(update={"name": "other"}))
    (signed.folder / "card.html").write_text("another page")
    with pytest.raises(Refusal, match="not the file that was signed"):
        source.generator(pinned, study)


@pytest.mark.parametrize("both", [True, False])
def test_weights_have_one_source(tmp_path: Path, both: bool) -> None:
    path = tmp_path if both else None
    with pytest.raises(Refusal) as caught:
        GeneratorSource(weights=path, release=path)
    assert caught.value.code is ExitCode.USAGE
