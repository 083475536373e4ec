"""Objects sent to a server of this hospital over STOW-RS (DICOM PS3.18, 10.5), and what it says of them."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from client.pacs.connection import silent_libraries
from client.pacs.session import BoundedSession, Stopped, Unavailable, Withheld
from client.pacs.settings import Destination
from common.errors import ExitCode, Refusal

MOST_BATCH_BYTES: Final = 16 << 20
_TIMEOUT_SECONDS: Final = (10.0, 60.0)
_TRIES: Final = 3
_WAIT_SECONDS: Final = 1.0
_FAILED, _STORED = "00081198", "00081199"


def send_objects(destination: Destination, name: str, files: Sequence[Path]) -> None:
    """Send DICOM files; a server that has one of them already takes it again.

    Args:
        destination: where to.
        name: what the settings call it.
        files: DICOM files.

    Raises:
        Refusal: ``SENDING_FAILED`` if it does not answer or does not take every object, ``PACS_REFUSED`` if it does not
            admit this site, ``SETTINGS_INVALID`` if a secret or certificate cannot be used.
    """
    sent = 0
    with silent_libraries(), closing(BoundedSession(destination, threading.Event())) as session:
        for batch in _batches(files):
            taken = _taken(_answer(session, destination, name, batch, sent, len(files)))
            sent += taken
            if taken < len(batch):
                raise _failed(f"took {sent} of {len(files)} objects", name)


def _batches(files: Sequence[Path]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for file in files:
        content = file.read_bytes()
        if batch and sum(map(len, batch)) + len(content) > MOST_BATCH_BYTES:
            yield batch
            batch = []
        batch.append(content)
    if batch:
        yield batch


def _answer(
    session: BoundedSession, destination: Destination, name: str, batch: Sequence[bytes], sent: int, all_of: int
) -> bytes:
    boundary = secrets.token_hex(16)
    parts = [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + one + b"\r\n" for one in batch]
    body = b"".join((*parts, f"--{boundary}--\r\n".encode()))
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    for again in range(_TRIES):
        try:
            done = session.post(f"{destination.url}/studies", data=body, headers=headers, timeout=_TIMEOUT_SECONDS)
            return done.content
        except (Unavailable, Withheld, Stopped) as error:
            if again == _TRIES - 1:
                raise _failed(f"does not answer; took {sent} of {all_of} objects", name) from error
            time.sleep(_WAIT_SECONDS * 2**again)
    raise AssertionError("unreachable")


def _taken(answer: bytes) -> int:
    """How many objects a server says it stored; none if it says that one failed, or nothing that can be read."""
    try:
        said: Any = json.loads(answer)
        said = said[0] if isinstance(said, list) else said
        failed, stored = (said.get(tag, {}).get("Value", []) for tag in (_FAILED, _STORED))
        return 0 if failed else len(stored)
    except (ValueError, RecursionError, AttributeError, TypeError, IndexError):
        return 0


def _failed(what: str, name: str) -> Refusal:
    mend = "look at the server's log and at its settings, then send the files of the folder that was written"
    return Refusal(ExitCode.SENDING_FAILED, f"the destination {what}", where=f"destinations.{name}", mend=mend)
