import hashlib
import io
import subprocess
import sys
import tomllib
import zipfile

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.trust import (
    BUNDLE,
    BUNDLE_SHA256,
    RELEASE,
    bundle_of,
    load_private_key,
    load_public_key,
    new_site_key,
    public_key_of,
    public_key_sha256,
)

OPENSSH = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH


def test_bundle_of_a_release_never_changes() -> None:
    # Sites of release 0.1.0 refuse every other digest: this one is part of the release.
    assert hashlib.sha256(bundle_of("0.1.0")).hexdigest() == (
        "bc11bf9b3eecd5c4a98f397319c0caf2eb798ea8eec2bc1dbf67da1948b02595"
    )


def test_bundle_is_this_release_and_holds_no_code() -> None:
    assert bundle_of(RELEASE) == BUNDLE
    assert hashlib.sha256(BUNDLE).hexdigest() == BUNDLE_SHA256
    with zipfile.ZipFile(io.BytesIO(BUNDLE)) as archive:
        assert archive.namelist() == ["pyproject.toml"]
        project = tomllib.loads(archive.read("pyproject.toml").decode())
    assert project["project"]["version"] == RELEASE


def test_releases_have_different_bundles() -> None:
    assert bundle_of("0.1.0") != bundle_of("0.1.1")


def test_key_halves_belong_together() -> None:
    private, public = new_site_key()
    assert public_key_of(load_private_key(private, where="test")) == public


def test_key_digest_is_the_one_ssh_keygen_prints() -> None:
    # OpenSSH's digest is over the decoded second field (RFC 4253 6.6), which names the curve in clear.
    line = (
        b"ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBJs/EJVQRLqucX5TbbBzcW7Qu8XEkhbC4SeB"
        b"TJWqYRkthrrOKO/nTZZFhG5XeLW/QfIIscLBOuJN3KwN5a7P4dEhYtqBWZLvgLgqmnDSpZjPHBQmwVdqq6Nw2Nvds7xU7w=="
    )
    # ssh-keygen -l -E sha256 prints k8D7JIxshEJLULCOEZuG0h5p83M33qjNS63PM9cQGdA, which is this in base64.
    assert public_key_sha256(line) == "93c0fb248c6c84424b50b08e119b86d21e69f37337dea8cd4badcf33d71019d0"


def test_key_digest_ignores_the_comment() -> None:
    _, public = new_site_key()
    assert public_key_sha256(public + b" engineer@hospital\n") == public_key_sha256(public)


def _other_private_keys() -> list[bytes]:
    pem, openssh = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
    plain = serialization.NoEncryption()
    return [
        ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, openssh, plain),
        ed25519.Ed25519PrivateKey.generate().private_bytes(pem, openssh, plain),
        ec.generate_private_key(ec.SECP384R1()).private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
    ]


@pytest.mark.parametrize("key", _other_private_keys(), ids=["P-256", "Ed25519", "P-384 as PKCS8"])
def test_private_keys_of_other_kinds_are_refused(key: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        load_private_key(key, where="key file")
    assert refusal.value.code is ExitCode.SETTINGS_INVALID
    assert refusal.value.where == "key file"


def test_public_keys_of_other_kinds_are_refused() -> None:
    for key in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
        with pytest.raises(Refusal, match="P-384"):
            load_public_key(key.public_key().public_bytes(*OPENSSH), where="test")


@given(st.binary(max_size=300))
def test_no_bytes_break_the_key_readers(data: bytes) -> None:
    for read in (load_public_key, load_private_key):
        with pytest.raises(Refusal):
            read(data, where="test")


def test_private_key_never_shows_in_a_refusal() -> None:
    private, _ = new_site_key()
    with pytest.raises(Refusal) as refusal:
        load_private_key(private[: len(private) // 2], where="key file")
    assert private.split(b"\n")[1].decode() not in str(refusal.value)


def test_trust_does_not_import_flower() -> None:
    # Flower reads the environment while it is imported, so silencing must be possible before.
    program = "import sys; import common.trust; assert not any(name.split('.')[0] == 'flwr' for name in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
