"""HTTP to a PACS: every answer is read at once, within bounds of time and size, and no redirect is followed.

The PACS is reached directly: no proxy, no cookie or password from this machine's own files.
"""

from __future__ import annotations

import io
import ssl
import threading
import time
from typing import Any, final

import requests
import urllib3
from requests.adapters import HTTPAdapter

from client.pacs.settings import DicomWebServer
from common.errors import ExitCode, Refusal

MOST_SEARCH_BYTES = 32 << 20
MOST_OBJECT_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_ANSWER_SECONDS = 600.0
_OBJECT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
# What a server answers that took some of the objects, or none; its body says which.
_STORED_IN_PART = frozenset({202, 409})
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
class BoundedSession(requests.Session):
    """Reads each answer at once, within bounds of time and size."""

    def __init__(self, settings: DicomWebServer, halt: threading.Event) -> None:
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
        """The answer to a request, whole and in memory.

        Raises:
            Unavailable, Withheld, Stopped: if there is none.
            Refusal: ``PACS_REFUSED`` if there never will be.
        """
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
        is_store = response.request.method == "POST"
        if status in (200, 204, 206) or (is_store and status in _STORED_IN_PART):
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
        if is_store:
            mend = "set url to the root of its DICOMweb services, which must take objects (STOW-RS)"
            raise self._refusal(f"the server takes no objects (status {status})", mend)
        if is_object or status in (404, 410):
            raise Withheld
        raise no_dicomweb(f"the PACS does not answer this search (status {status})", self._where)

    def _refusal(self, what: str, mend: str) -> Refusal:
        return Refusal(ExitCode.PACS_REFUSED, what, where=self._where, mend=mend)


def no_dicomweb(what: str, where: str) -> Refusal:
    """What answers is not DICOMweb."""
    mend = "set url to the root of the PACS's DICOMweb services (QIDO-RS and WADO-RS)"
    return Refusal(ExitCode.PACS_REFUSED, what, where=where, mend=mend)


def _with_plain_wildcards(url: str) -> str:
    """The same address, its wildcards as they are: RFC 3986 allows them in a query, and some PACS decode none."""
    path, mark, query = url.partition("?")
    return path + mark + query.replace("%2A", "*").replace("%3F", "?").replace("+", "%20")


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
