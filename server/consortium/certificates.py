"""The consortium's own certificate authority and the coordinator's server certificate.

Sites trust this authority alone: they get its certificate with their invitation, and no public authority can vouch for
another coordinator.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import ExitCode, Refusal
from common.files import make_folder, write_atomic

VALID_DAYS = 3650
RENEW_DAYS = 30
CLOCK_SLACK = dt.timedelta(days=1)
LOOPBACK = ("localhost", "127.0.0.1")


@final
@dataclass(frozen=True)
class Certificates:
    """Paths of the PEM files.

    Attributes:
        ca_certificate: what sites and the coordinator's own processes verify against.
        ca_key: signs the server certificate; nothing but :func:`make_certificates` reads it.
        certificate: the server certificate.
        key: its private key.
    """

    ca_certificate: Path
    ca_key: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, hosts: Sequence[str]) -> Certificates:
    """Create what is missing in ``folder``: the authority once, the server certificate whenever ``hosts`` change.

    The authority is never replaced, so that sites that trust it keep doing so. Files are EC P-384, mode 0600.

    Args:
        folder: where the four files live.
        hosts: DNS names and IP addresses that sites reach the coordinator by; loopback is always added.

    Raises:
        Refusal: ``SETTINGS_INVALID`` for a host that is no DNS name or IP address, or files that are damaged;
            ``DISK_FULL`` or ``DISK_UNWRITABLE`` if the files cannot be written.
    """
    make_folder(folder)
    certificates = Certificates(*(folder / name for name in ("ca.crt", "ca.key", "server.crt", "server.key")))
    names = [_general_name(host) for host in dict.fromkeys((*hosts, *LOOPBACK))]
    authority = _authority(certificates)
    if not _is_current(certificates, names):
        _issue(certificates, names, *authority)
    return certificates


def _authority(paths: Certificates) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    if not paths.ca_key.exists() and not paths.ca_certificate.exists():
        key = ec.generate_private_key(ec.SECP384R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TomoRay Federated consortium")])
        builder = _builder(name, name, key.public_key()).add_extension(x509.BasicConstraints(True, 0), critical=True)
        certificate = builder.add_extension(_usage(authority=True), critical=True).sign(key, hashes.SHA384())
        # The certificate goes last: where it exists, its key does too.
        write_atomic(paths.ca_key, _private_pem(key))
        write_atomic(paths.ca_certificate, certificate.public_bytes(serialization.Encoding.PEM))
        paths.certificate.unlink(missing_ok=True)
    return _read(paths.ca_certificate, paths.ca_key)


def _issue(
    paths: Certificates, names: list[x509.GeneralName], authority: x509.Certificate, signer: ec.EllipticCurvePrivateKey
) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TomoRay Federated coordinator")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    builder = _builder(subject, authority.subject, key.public_key())
    for extension, critical in (
        (x509.BasicConstraints(False, None), True),
        (_usage(authority=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    ):
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(signer, hashes.SHA384())
    paths.certificate.unlink(missing_ok=True)
    write_atomic(paths.key, _private_pem(key))
    write_atomic(paths.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A site whose clock is behind must not find the certificate to lie in its future.
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _is_current(paths: Certificates, names: list[x509.GeneralName]) -> bool:
    if not paths.certificate.exists() or not paths.key.exists():
        return False
    certificate, _ = _read(paths.certificate, paths.key)
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = certificate.not_valid_after_utc - dt.datetime.now(dt.UTC)
    return set(alternatives) == set(names) and left > dt.timedelta(days=RENEW_DAYS)


def _read(certificate_path: Path, key_path: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    mend = "restore the file from a backup; a new authority would make every site join again"
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise Refusal(
            ExitCode.SETTINGS_INVALID, "certificate or key unreadable", where=str(certificate_path), mend=mend
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise Refusal(ExitCode.SETTINGS_INVALID, "key of another certificate", where=str(key_path), mend=mend)
    return certificate, key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.split(".")
    valid = len(host) <= 253 and all(
        1 <= len(label) <= 63 and label.isascii() and label.replace("-", "a").isalnum() and label.strip("-") == label
        for label in labels
    )
    if not valid:
        mend = "name the DNS name or IP address that sites connect to, without port or https://"
        raise Refusal(
            ExitCode.SETTINGS_INVALID, "not a host name or IP address", where=f"host '{host[:80]}'", mend=mend
        )
    return x509.DNSName(host.lower())


def tls_context(ca_certificate: bytes) -> ssl.SSLContext:
    """A client's TLS settings that trust the consortium's authority alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_certificate.decode("ascii"))
    return context
