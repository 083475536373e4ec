"""What makes the two sides trust each other: the release's bundle and a site's key."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import version

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import ExitCode, Refusal

RELEASE = version("tomoray-federated")
"""Version of the installed release."""

MAX_KEY_BYTES = 4096


_BUNDLE_PROJECT = """\
[project]
name = "federated"
version = "{release}"

[tool.flwr.app]
publisher = "tomoray"

[tool.flwr.app.components]
serverapp = "installed:none"
clientapp = "installed:none"

[tool.flwr.app.config]
"""


def bundle_of(release: str) -> bytes:
    """The Flower App Bundle of a release: a zip of one file that names the release and holds no code.

    Flower identifies a run's program by the SHA-256 of its bundle. Both sides run what is installed, so the bundle only
    has to say which release that is. Equal releases give equal bytes.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        entry = zipfile.ZipInfo("pyproject.toml", (1980, 1, 1, 0, 0, 0))
        # Both fields default to the packing machine's, which would change the digest.
        entry.create_system, entry.external_attr = 3, 0o644 << 16
        archive.writestr(entry, _BUNDLE_PROJECT.format(release=release))
    return stream.getvalue()


BUNDLE: bytes = bundle_of(RELEASE)
"""The bundle of the installed release."""

BUNDLE_SHA256: str = hashlib.sha256(BUNDLE).hexdigest()
"""SHA-256 of ``BUNDLE`` in hex: a site works for no run whose bundle has another."""


def new_site_key() -> tuple[bytes, bytes]:
    """A new identity for a site: an EC P-384 private key (OpenSSH PEM, not encrypted) and its public key (OpenSSH)."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return private, public_key_of(key)


def public_key_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half of a private key, as one OpenSSH line without comment."""
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def load_private_key(openssh_pem: bytes, *, where: str) -> ec.EllipticCurvePrivateKey:
    """A site's private key.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if it is not an unencrypted EC P-384 key in OpenSSH format.
    """
    mend = "make a new key with tomoray-site, and have the coordinator admit its public half"
    try:
        key = serialization.load_ssh_private_key(_bounded(openssh_pem), password=None)
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm) as error:
        raise _invalid("not an unencrypted OpenSSH private key", where, mend) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise _invalid("not an EC P-384 private key", where, mend)
    return key


def load_public_key(openssh_public: bytes, *, where: str) -> ec.EllipticCurvePublicKey:
    """A site's public key.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if it is not one EC P-384 key in OpenSSH format.
    """
    mend = "copy the one line that starts with ecdsa-sha2-nistp384 from the site"
    try:
        key = serialization.load_ssh_public_key(_bounded(openssh_public).strip())
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm) as error:
        raise _invalid("not an OpenSSH public key", where, mend) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise _invalid("not an EC P-384 public key", where, mend)
    return key


def public_key_sha256(openssh_public: bytes) -> str:
    """SHA-256 of a public key in hex, whatever comment follows it: the digest of ``ssh-keygen -l -E sha256``.

    Raises:
        Refusal: ``SETTINGS_INVALID`` as :func:`load_public_key` does.
    """
    key = load_public_key(openssh_public, where="public key")
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return hashlib.sha256(base64.b64decode(line.split()[1])).hexdigest()


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_KEY_BYTES:
        raise ValueError("too large for a key")
    return data


def _invalid(what: str, where: str, mend: str) -> Refusal:
    return Refusal(ExitCode.SETTINGS_INVALID, what, where=where, mend=mend)
