"""A real Orthanc on loopback, and objects small enough to be sent often."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from client.pacs import PacsSettings

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PASSWORD = "orthanc-test-password"
PHI = {
    "PatientName": "SECRETNAME^PATIENT",
    "PatientID": "MRN-7741-SECRET",
    "IssuerOfPatientID": "SECRET-ISSUER",
    "PatientBirthDate": "19610704",
    "InstitutionName": "SECRETHOSPITAL",
    "ReferringPhysicianName": "SECRETDOCTOR^REFERRING",
    "AccessionNumber": "SECRET-ACC-99",
    "StudyDate": "20190212",
    "StudyDescription": "SECRET DESCRIPTION",
    "DeviceSerialNumber": "SECRET-SERIAL",
    "ContrastBolusAgent": "SECRET AGENT",
    "ImageComments": "SECRET COMMENT",
}


def keyed_name(kind: str, *values: str) -> str:
    """A site's keyed hash under a secret of the tests."""
    return hashlib.blake2b("\0".join((kind, *values)).encode(), key=b"test", digest_size=16).hexdigest()


def image_object(number: int, series: str, study: str, **tags: Any) -> FileDataset:
    """One slice of 32 x 32 pixels that says much of a patient."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        **PHI,
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": study,
        "SeriesInstanceUID": series,
        "FrameOfReferenceUID": generate_uid(entropy_srcs=[study]),
        "Modality": "CT",
        "BodyPartExamined": "HEAD",
        "SeriesDescription": "HEAD AXIAL",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "Manufacturer": "SIEMENS",
        "KVP": "120",
        "InstanceNumber": str(number + 1),
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [-16.5, -16.25, number * 5.0],
        "PixelSpacing": [1.5, 1.5],
        "SliceThickness": "5",
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
        "Rows": 32,
        "Columns": 32,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": np.full((32, 32), number, "<i2").tobytes(),
    }
    for keyword, value in (values | tags).items():
        setattr(dataset, keyword, value)
    return dataset


def file_bytes(dataset: FileDataset, folder: Path) -> bytes:
    """The DICOM file of an object."""
    path = folder / "object"
    dataset.save_as(path, enforce_file_format=True)
    return path.read_bytes()


def basic_authorization() -> str:
    """The header with which a door signs in."""
    return "Basic " + base64.b64encode(f"tomoray:{PASSWORD}".encode()).decode()


def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
    return port


@dataclass
class Orthanc:
    """A PACS of the test's own, with its data in a folder of the test's own."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.port = free_port()
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o600)
        configuration = {
            "Name": "test",
            "StorageDirectory": str(self.folder / "data"),
            "IndexDirectory": str(self.folder / "data"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.port,
            "HttpServerEnabled": True,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {"tomoray": PASSWORD},
            "HttpThreadsCount": 4,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            **self.options,
        }
        (self.folder / "orthanc.json").write_text(json.dumps(configuration))
        self.start()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["Orthanc", str(self.folder / "orthanc.json")], stdout=log, stderr=log, cwd=self.folder
            )
        deadline = time.monotonic() + 15
        while True:
            try:
                self._ask("get", "/system")
                return
            except requests.ConnectionError:
                assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def store(self, content: bytes) -> None:
        self._ask("post", "/instances", data=content)

    def delete_series(self, series: str) -> None:
        """Remove a series, as a hospital that withdraws it does."""
        question = {"Level": "Series", "Query": {"SeriesInstanceUID": series}}
        (found,) = self._ask("post", "/tools/find", json=question).json()
        self._ask("delete", f"/series/{found}")

    def settings(self, **changes: Any) -> PacsSettings:
        usual = {
            "url": f"{self.root}/dicom-web",
            "user": "tomoray",
            "password_file": self.folder / "password",
            "patience_seconds": 20.0,
            "connections": 1,
        }
        return PacsSettings.model_validate(usual | changes)

    def _ask(self, method: str, path: str, **content: Any) -> requests.Response:
        auth = ("tomoray", PASSWORD)
        done = requests.request(method, self.root + path, auth=auth, timeout=20, **content)
        done.raise_for_status()
        return done


@dataclass
class Sent:
    """What a PACS was given: UIDs of a series and its study, and its files' bytes."""

    series: str
    study: str
    contents: list[bytes]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its place."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def certified(folder: Path) -> tuple[Path, Path]:
    """A certificate authority, and a certificate for this machine with its key in one file, as Orthanc wants it."""
    folder.mkdir()
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (f"CA {folder.name}", "127.0.0.1")]
    now = datetime.now(UTC)

    def certificate(subject: int, extensions: list[tuple[x509.ExtensionType, bool]]) -> bytes:
        builder = x509.CertificateBuilder().subject_name(names[subject]).issuer_name(names[0])
        builder = builder.public_key(keys[subject].public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        identifier = x509.SubjectKeyIdentifier.from_public_key(keys[subject].public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
        for extension, is_critical in (*extensions, (identifier, False), (issuer, False)):
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    usage = {"content_commitment": False, "key_encipherment": False, "data_encipherment": False}
    usage |= {"key_agreement": False, "encipher_only": False, "decipher_only": False, "digital_signature": True}
    signs = x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True)
    authority = certificate(0, [(x509.BasicConstraints(ca=True, path_length=0), True), (signs, True)])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    own = certificate(1, [(x509.BasicConstraints(ca=False, path_length=None), True), (address, False)])
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(authority)
    (folder / "own.pem").write_bytes(own + key)
    return folder / "ca.pem", folder / "own.pem"
