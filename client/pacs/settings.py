"""Which PACS, which of its series, and how this site proves who it is."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Self, final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.errors import ExitCode, Refusal

MOST_SECRET_BYTES = 64 << 10
_URL = re.compile(r"https?://[0-9A-Za-z._:\[\]/~-]+")
_SECRET = re.compile(r"[\x21-\x7e]+")

_Word = Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")]
_Pattern = Annotated[str, Field(pattern=r"^[^\\\x00-\x1f]{1,64}$")]
_Date = Annotated[str, Field(pattern=r"^[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$")]


class DicomWebServer(BaseModel):
    """Something that answers DICOMweb (DICOM PS3.18): where it is, and how this site signs in.

    Attributes:
        url: root of its DICOMweb services; plain http only on this machine itself.
        token_file: file with a bearer token.
        user, password_file: name, and file with the password, for basic authentication.
        ca_certificate: certificate authority of the server, PEM; None takes the usual public ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, Field(max_length=512)]
    token_file: Path | None = None
    user: Annotated[str, Field(pattern=r"^[\x21-\x39\x3b-\x7e]{1,128}$")] | None = None
    password_file: Path | None = None
    ca_certificate: Path | None = None

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        if not _URL.fullmatch(url):
            raise ValueError("must be https://HOST[:PORT]/PATH without user, query or fragment")
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError("names no possible host and port") from error
        if not host:
            raise ValueError("names no host")
        if parts.scheme == "http" and not _is_loopback(host):
            raise ValueError("must be https: plain http is allowed on this machine itself alone")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file belong together")
        if self.user is not None and self.token_file is not None:
            raise ValueError("give either token_file, or user and password_file")
        return self

    def rooted(self, folder: Path) -> Self:
        """The same with its files' paths counted from a folder."""
        names = ("token_file", "password_file", "ca_certificate")
        return self.model_copy(update={name: folder / path for name in names if (path := getattr(self, name))})

    def authorization(self) -> str | tuple[str, str] | None:
        """The bearer token, or the user's name and password.

        Raises:
            Refusal: ``SETTINGS_INVALID`` if the secret's file is missing, open to other users, or no secret.
        """
        if self.token_file is not None:
            return _read_secret(self.token_file)
        if self.user is not None and self.password_file is not None:
            return self.user, _read_secret(self.password_file)
        return None

    def verified_by(self) -> str | bool:
        """File of the certificate authority, or True for the usual public ones. TLS is always verified.

        Raises:
            Refusal: ``SETTINGS_INVALID`` if the file is missing or no certificate.
        """
        if self.ca_certificate is None:
            return True
        try:
            ssl.create_default_context(cafile=str(self.ca_certificate))
        except OSError as error:
            what, mend = (
                "no certificate of an authority (PEM)",
                "get the PACS's certificate authority from its operator",
            )
            where = str(self.ca_certificate)
            raise Refusal(ExitCode.SETTINGS_INVALID, what, where=where, mend=mend) from error
        return str(self.ca_certificate)


@final
class Destination(DicomWebServer):
    """A server in this hospital that takes DICOM objects over STOW-RS."""


@final
class PacsSettings(DicomWebServer):
    """A PACS that answers DICOMweb: where it is, what is searched for, how this site signs in.

    Attributes:
        modality: of the series.
        body_part: Body Part Examined, any of these; empty takes every series.
        descriptions: Series Description, any of these patterns with ``*`` and ``?``; empty takes every series.
        study_dates: first and last day, YYYYMMDD; None takes every day.
        most_series: series kept at most.
        connections: series retrieved side by side.
        patience_seconds: how long a PACS that does not answer is asked again.
    """

    modality: _Word = "CT"
    body_part: Annotated[tuple[_Word, ...], Field(max_length=32)] = ()
    descriptions: Annotated[tuple[_Pattern, ...], Field(max_length=32)] = ()
    study_dates: tuple[_Date, _Date] | None = None
    most_series: Annotated[int, Field(ge=1, le=100_000)] = 5000
    connections: Annotated[int, Field(ge=1, le=8)] = 2
    patience_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0

    @model_validator(mode="after")
    def _dates_are_in_order(self) -> Self:
        if self.study_dates is not None and self.study_dates[0] > self.study_dates[1]:
            raise ValueError("study_dates must name the first day, then the last")
        return self

    def criteria(self) -> str:
        """What is searched for, and where, as one text: equal for settings that find the same series."""
        return self.model_dump_json(
            include={"url", "modality", "body_part", "descriptions", "study_dates", "most_series"}
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_secret(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            is_open = bool(os.fstat(stream.fileno()).st_mode & 0o077)
            content = stream.read(MOST_SECRET_BYTES + 1)
    except OSError as error:
        what, mend = f"secret unreadable ({type(error).__name__})", "write it into this plain file, with mode 0600"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=mend) from error
    if is_open:
        what, mend = "secret is open to other users", "set the file's mode to 0600"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=mend)
    secret = content.decode("latin-1").strip()
    if len(content) > MOST_SECRET_BYTES or not _SECRET.fullmatch(secret):
        what, mend = "no secret of one printable line", "write the secret alone into this file"
        raise Refusal(ExitCode.SETTINGS_INVALID, what, where=str(path), mend=mend)
    return secret
