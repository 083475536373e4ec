"""One connection to a PACS: every answer is bounded before dicomweb-client sees it, and no redirect is followed.

The PACS is reached directly: no proxy, no redirect, no cookie or password from this machine's own files.
"""

from __future__ import annotations

import io
import logging
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import requests
import urllib3
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter

from client.pacs.settings import PacsSettings
from common.errors import ExitCode, Refusal

MOST_SEARCH_BYTES = 32 << 20
MOST_OBJECT_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 20.0
_ANSWER_SECONDS = 600.0
_OBJECT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_TRY_AGAIN = frozenset({408, 425, 429, 502, 503, 504})


class Unavailable(Exception):
    """The PACS did not answer, or not now: it is asked again."""


@final
class ServerFault(Unavailable):
    """The PACS failed over this question, or did not come to an end with its answer: it may do so again."""


@final
class Withheld(Exception):
    """The PACS does not give this, or not in a form that can be read."""


@final
class Stopped(Exception):
    """Another part of the work ended all of it."""


@final
class PacsConnection:
    """Asks one PACS. For one thread at a time.

    Args:
        settings: the PACS.
        halt: ends answers that are being received.

    Raises:
        Refusal: ``SETTINGS_INVALID`` if a secret or certificate cannot be used.
    """

    def __init__(self, settings: PacsSettings, halt: threading.Event) -> None:
        self._url = settings.url
        self._session = _Session(settings, halt)
        timeout = (_CONNECT_SECONDS, _SILENCE_SECONDS)
        # Its own rule for UIDs refuses some that real scanners write; they are checked before they get here.
        self._client = DICOMwebClient(settings.url, session=self._session, timeout=timeout, permissive_uid=True)
        self._client.set_http_retry_params(retry=False)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def find_series(self, filters: Mapping[str, str], limit: int, offset: int) -> list[Any]:
        """One page of a search for series: DICOM JSON, unchecked.

        Raises:
            Unavailable: if the PACS does not answer now.
            Refusal: ``PACS_REFUSED`` if it never will.
        """
        try:
            with _no_values_in_errors(self._url):
                return _page(self._client.search_for_series(limit=limit, offset=offset, search_filters=dict(filters)))
        except Withheld:
            raise _no_dicomweb("the PACS does not answer this search", self._url) from None

    def find_instances(self, study: str, series: str, limit: int, offset: int) -> list[Any]:
        """One page of the instances of a series: DICOM JSON, unchecked.

        Raises:
            Withheld: if the PACS does not have the series any more.
            Unavailable, Refusal: as :meth:`find_series`.
        """
        with _no_values_in_errors(self._url):
            return _page(self._client.search_for_instances(study, series, limit=limit, offset=offset))

    def retrieve(self, study: str, series: str, instance: str) -> bytes:
        """One object as the PACS stores it: a DICOM file, unchecked.

        Raises:
            Unavailable: if the PACS does not answer now.
            Withheld: if it does not give this object, or no single one.
            Refusal: ``PACS_REFUSED`` if it does not know this site.
        """
        url = f"{self._url}/studies/{study}/series/{series}/instances/{instance}"
        try:
            # As bytes, in the way of bulk data: its way for instances parses them here.
            parts = list(self._client.iter_bulkdata(url))
        except (ValueError, KeyError) as error:
            raise Withheld from error
        if len(parts) != 1:
            raise Withheld
        return bytes(parts[0])


@final
class _Session(requests.Session):
    """Reads each answer at once, within bounds of time and size."""

    def __init__(self, settings: PacsSettings, halt: threading.Event) -> None:
        super().__init__()
        self._where = settings.url
        self._halt = halt
        # No proxy, no .netrc, no certificates of the environment.
        self.trust_env = False
        self.verify = settings.verified_by()
        self.mount("https://", HTTPAdapter(max_retries=0))
        self.mount("http://", HTTPAdapter(max_retries=0))
        authorization = settings.authorization()
        if isinstance(authorization, str):
            self.headers["Authorization"] = f"Bearer {authorization}"
        elif authorization is not None:
            self.auth = authorization
        # Compressed answers could grow without bound here.
        self.headers["Accept-Encoding"] = "identity"

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # noqa: ANN401 - as its base has it
        is_object = bool(options.get("stream"))
        # dicomweb-client names the host without its port, and bulk data of any kind.
        request.headers.pop("Host", None)
        if is_object:
            request.headers["Accept"] = _OBJECT
        request.url = _with_plain_wildcards(request.url or "")
        options.update(stream=True, allow_redirects=False)
        try:
            with super().send(request, **options) as response:
                self._require_answer(response, is_object)
                body = self._body(response, MOST_OBJECT_BYTES if is_object else MOST_SEARCH_BYTES)
        except requests.exceptions.SSLError as error:
            if _is_distrust(error):
                mend = "set ca_certificate to the PACS's authority, or correct the host's name in url"
                raise self._refusal("the PACS's certificate is not trusted", mend) from None
            raise Unavailable from None
        except (requests.RequestException, urllib3.exceptions.HTTPError):
            raise Unavailable from None
        if body is None:
            if is_object:
                raise Withheld
            raise self._refusal("a search's answer is too large", "narrow the search by body_part or study_dates")
        whole = requests.Response()
        whole.status_code, whole.headers, whole.raw = response.status_code, response.headers, io.BytesIO(body)
        if is_object and not _is_finished(body, response.headers.get("Content-Type", "")):
            raise ServerFault
        return whole

    def _body(self, response: requests.Response, most_bytes: int) -> bytes | None:
        """The answer's content; None if it is too large."""
        body = bytearray()
        deadline = time.monotonic() + _ANSWER_SECONDS
        # What has arrived, not a whole chunk: a PACS that drips must not escape the deadline.
        while chunk := response.raw.read1(_CHUNK_BYTES):
            body += chunk
            if self._halt.is_set():
                raise Stopped
            if len(body) > most_bytes:
                return None
            if time.monotonic() > deadline:
                raise ServerFault
        return bytes(body)

    def _require_answer(self, response: requests.Response, is_object: bool) -> None:
        status = response.status_code
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self._refusal("the PACS compresses its answers", "switch off compression for this site there")
        if status in (200, 204, 206):
            return
        if status in _TRY_AGAIN:
            raise Unavailable
        if status >= 500:
            raise ServerFault
        if status in (401, 403):
            mend = "correct token_file, or user and password_file, or let the PACS's operator allow this site"
            raise self._refusal(f"the PACS does not admit this site (status {status})", mend)
        if 300 <= status < 400:
            raise self._refusal("the PACS sends this site elsewhere", "set url to the final address, if it is trusted")
        if is_object or status in (404, 410):
            raise Withheld
        raise _no_dicomweb(f"the PACS does not answer this search (status {status})", self._where)

    def _refusal(self, what: str, mend: str) -> Refusal:
        return Refusal(ExitCode.PACS_REFUSED, what, where=self._where, mend=mend)


@contextmanager
def silent_libraries() -> Iterator[None]:
    """While it lasts, the libraries that speak to the PACS log nothing: their lines hold UIDs."""
    loggers = [logging.getLogger(name) for name in ("dicomweb_client", "requests", "retrying", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _no_values_in_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, RecursionError, AttributeError):
        raise _no_dicomweb("a search's answer is no DICOM JSON", where) from None


def _no_dicomweb(what: str, where: str) -> Refusal:
    mend = "set url to the root of the PACS's DICOMweb services (QIDO-RS and WADO-RS)"
    return Refusal(ExitCode.PACS_REFUSED, what, where=where, mend=mend)


def _with_plain_wildcards(url: str) -> str:
    """The same address, its wildcards as they are: RFC 3986 allows them in a query, and some PACS decode none."""
    path, mark, query = url.partition("?")
    return path + mark + query.replace("%2A", "*").replace("%3F", "?").replace("+", "%20")


def _page(answer: object) -> list[Any]:
    if not isinstance(answer, list):
        raise TypeError
    return answer


def _is_finished(body: bytes, content_type: str) -> bool:
    """Whether a multipart answer has its last boundary; without a length, a broken connection looks like an end."""
    if not content_type.lower().startswith("multipart/related"):
        return True
    return body[-256:].rstrip().endswith(b"--")


def _is_distrust(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in repr(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
