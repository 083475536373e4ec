"""Looks at an archive that has settled, with a stand-in for the limited process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from client.archive.index import SETTLED_NS
from client.archive.pseudonym import Pseudonyms
from client.dicom import Fault, ReadFile

NAMES = Pseudonyms(b"k" * 32)
Answer = ReadFile | Fault | None


class StandInReader:
    """Answers for the limited process, and notes what it was asked."""

    def __init__(self, answer: Callable[[Path], Answer]) -> None:
        self.answer = answer
        self.asked: list[Path] = []

    def headers(self, paths: Iterable[Path]) -> Iterator[Answer]:
        for path in paths:
            self.asked.append(path)
            yield self.answer(path)


def settle() -> None:
    """Waits until any later change of a file is sure to show."""
    time.sleep(1.5 * SETTLED_NS / 1e9)
