import ipaddress
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ExitCode, Refusal
from server.consortium import Certificates, make_certificates, tls_context
from server.consortium.certificates import _general_name


def _handshake(certificates: Certificates, trust: bytes, host: str) -> None:
    """Raises where a client that trusts ``trust`` would not talk to ``host``."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificates.certificate, certificates.key)
    left, right = socket.socketpair()
    with left, right:
        for end in (left, right):
            end.settimeout(10)

        def accept() -> None:
            try:
                server.wrap_socket(right, server_side=True).close()
            except OSError:
                right.close()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            tls_context(trust).wrap_socket(left, server_hostname=host).close()
        finally:
            thread.join()


def test_clients_accept_the_server_by_each_of_its_names(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, ["Coordinator.example.org", "192.0.2.7"])
    trust = certificates.ca_certificate.read_bytes()
    for host in ("coordinator.example.org", "192.0.2.7", "localhost", "127.0.0.1"):
        _handshake(certificates, trust, host)


def test_clients_refuse_another_name_and_another_authority(tmp_path: Path) -> None:
    ours, theirs = (make_certificates(tmp_path / name, ["a.example.org"]) for name in ("ours", "theirs"))
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(ours, ours.ca_certificate.read_bytes(), "b.example.org")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(ours, theirs.ca_certificate.read_bytes(), "a.example.org")


def test_making_them_again_changes_nothing(tmp_path: Path) -> None:
    first = make_certificates(tmp_path, ["a.example.org"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert make_certificates(tmp_path, ["a.example.org"]) == first
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_new_hosts_get_a_new_server_certificate_from_the_same_authority(tmp_path: Path) -> None:
    before = make_certificates(tmp_path, ["a.example.org"]).ca_certificate.read_bytes()
    certificates = make_certificates(tmp_path, ["b.example.org"])
    assert certificates.ca_certificate.read_bytes() == before
    _handshake(certificates, before, "b.example.org")


def test_an_interrupted_first_making_is_finished(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, [])
    certificates.certificate.unlink()
    _handshake(make_certificates(tmp_path, []), certificates.ca_certificate.read_bytes(), "localhost")


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    make_certificates(tmp_path, [])
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_server_certificate_cannot_sign_others(tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(make_certificates(tmp_path, []).certificate.read_bytes())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_damaged_authority_is_refused_and_never_replaced(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, [])
    certificates.ca_certificate.write_bytes(b"damaged")
    with pytest.raises(Refusal) as refusal:
        make_certificates(tmp_path, [])
    assert refusal.value.code is ExitCode.SETTINGS_INVALID
    assert certificates.ca_certificate.read_bytes() == b"damaged"


def test_a_lost_authority_key_is_refused(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, [])
    certificates.ca_key.unlink()
    with pytest.raises(Refusal):
        make_certificates(tmp_path, [])


def test_an_authority_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, [])
    certificates.ca_key.write_bytes(certificates.key.read_bytes())
    serialization.load_pem_private_key(certificates.ca_key.read_bytes(), None)
    with pytest.raises(Refusal, match="another certificate"):
        make_certificates(tmp_path, [])


@pytest.mark.parametrize("host", ["", "https://a.org", "a.org:443", "a b", "-a.org", "a..org", "ä.org", "a" * 64])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(Refusal) as refusal:
        make_certificates(tmp_path, [host])
    assert refusal.value.code is ExitCode.SETTINGS_INVALID


@given(st.text(max_size=80))
def test_any_text_is_a_host_or_refused(text: str) -> None:
    try:
        name = _general_name(text)
    except Refusal:
        return
    if isinstance(name, x509.IPAddress):
        assert name.value == ipaddress.ip_address(text)
    else:
        assert name.value == text.lower()
