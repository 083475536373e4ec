"""The signature is OpenSSH's to the byte, and holds for one message, one key and one spelling."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from common.release import read_release_key, release_key, release_key_of
from common.release.ssh_signature import expect_signature, signature_of
from common.trust import new_site_key

# Made by OpenSSH: ssh-keygen -t ed25519, then ssh-keygen -Y sign -n tomoray-network-release on "hello\n".
OPENSSH_SEED = bytes.fromhex("6a9cf8ec6f35a1a9ea8059b0bf39133b401abcc6740aa71d5a7c30ab0990ae37")
OPENSSH_PUBLIC = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAd8ID4kmjY+D3i43PfPJp+A2E0oEC8tHAqWT3h8mZ58 \n"
OPENSSH_SIGNATURE = b"""-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgB3wgPiSaNj4PeLjc988mn4DYTS
gQLy0cCpZPeHyZnnwAAAAXdG9tb3JheS1uZXR3b3JrLXJlbGVhc2UAAAAAAAAABnNoYTUx
MgAAAFMAAAALc3NoLWVkMjU1MTkAAABAVsfdtTGvs4MUBvx92sEQ8EmuvBnlISkNjmICPv
Vn5NWxPAz953Mnlbfj2HcynKaszluIaDJr9EfSu2g5a7COAA==
-----END SSH SIGNATURE-----
"""
KEY = Ed25519PrivateKey.from_private_bytes(OPENSSH_SEED)
MESSAGE = b"hello\n"


def reason(message: bytes, armoured: bytes, key: Ed25519PrivateKey = KEY) -> str:
    with pytest.raises(Refusal) as caught:
        expect_signature(message, armoured, release_key_of(key), "SHA256SUMS.sig")
    assert caught.value.code is ExitCode.RELEASE_NOT_SIGNED
    return caught.value.what


def test_the_signature_is_openssh_s_own_to_the_byte() -> None:
    assert signature_of(MESSAGE, KEY) == OPENSSH_SIGNATURE
    key = release_key(OPENSSH_PUBLIC, where="key")
    expect_signature(MESSAGE, OPENSSH_SIGNATURE, key, "SHA256SUMS.sig")
    assert key.openssh.encode() == OPENSSH_PUBLIC.strip()
    # The digest that ssh-keygen -l prints in base64.
    assert base64.b64encode(bytes.fromhex(key.sha256)) == b"d9fgPjVP/zf/oWK8UVFY7/hgRS9aOnKG4x/9JaUCV3U="


def test_another_key_and_another_message_have_each_their_reason() -> None:
    other = Ed25519PrivateKey.generate()
    assert "another key" in reason(MESSAGE, signature_of(MESSAGE, other))
    assert reason(MESSAGE, signature_of(b"hello", KEY)) == "signature does not hold"
    assert reason(MESSAGE, b"") == "no Ed25519 signature of a release"


def test_a_signature_for_another_purpose_is_none_of_a_release() -> None:
    body = b"".join(OPENSSH_SIGNATURE.splitlines()[1:-1])
    other = base64.b64encode(base64.b64decode(body).replace(b"tomoray-network-release", b"tomoray-something-elsey"))
    lines = [other[i : i + 70] for i in range(0, len(other), 70)]
    armoured = b"\n".join([b"-----BEGIN SSH SIGNATURE-----", *lines, b"-----END SSH SIGNATURE-----", b""])
    assert reason(MESSAGE, armoured) == "no Ed25519 signature of a release"


def test_every_bit_of_the_signature_s_file_counts() -> None:
    """Also those that base64 leaves unused, and the line ends."""
    for place in range(len(OPENSSH_SIGNATURE)):
        for bit in range(8):
            changed = bytearray(OPENSSH_SIGNATURE)
            changed[place] ^= 1 << bit
            assert reason(MESSAGE, bytes(changed))


@given(st.binary(max_size=600))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    assert reason(MESSAGE, data)


@given(st.integers(0, len(OPENSSH_SIGNATURE) - 1), st.binary(max_size=4))
def test_a_signature_cut_or_followed_by_something_does_not_hold(cut: int, rest: bytes) -> None:
    assert reason(MESSAGE, OPENSSH_SIGNATURE[:cut] + rest)
    if rest:
        assert reason(MESSAGE, OPENSSH_SIGNATURE + rest)


@pytest.mark.parametrize(
    "line",
    [b"", b"hello", b"ssh-ed25519 AAAA", b"x" * 5000, new_site_key()[1], b"\xff\xfe"],
    ids=["empty", "words", "short", "long", "a site's", "no text"],
)
def test_what_is_no_release_key_is_refused(line: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        release_key(line, where="key")
    assert caught.value.code is ExitCode.SETTINGS_INVALID


def test_a_private_key_given_for_a_public_one_is_refused_without_a_word_of_it(tmp_path) -> None:
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    (tmp_path / "release.key").write_bytes(pem)
    with pytest.raises(Refusal) as caught:
        read_release_key(tmp_path / "release.key")
    assert caught.value.code is ExitCode.SETTINGS_INVALID
    with pytest.raises(Refusal):
        read_release_key(tmp_path / "missing.pub")
