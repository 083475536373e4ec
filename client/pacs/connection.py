"""One connection to a PACS: what can be asked of it. What answers is bounded before dicomweb-client sees it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

from dicomweb_client import DICOMwebClient

from client.pacs.session import BoundedSession, Withheld, no_dicomweb
from client.pacs.settings import PacsSettings

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 20.0


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
        self._session = BoundedSession(settings, halt)
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
            raise no_dicomweb("the PACS does not answer this search", self._url) from None

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
        raise no_dicomweb("a search's answer is no DICOM JSON", where) from None


def _page(answer: object) -> list[Any]:
    if not isinstance(answer, list):
        raise TypeError
    return answer
