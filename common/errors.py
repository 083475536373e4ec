"""Refusals a person can act on: what is wrong, where, and how to mend it, with a numbered exit code.

The table of codes with their mends is ``docs/errors.md``.
"""

from __future__ import annotations

from enum import IntEnum
from functools import partial
from typing import final


class ExitCode(IntEnum):
    """Exit status of the three commands. Numbers are stable: they are never reused for another meaning."""

    OK = 0
    USAGE = 2
    STUDY_INVALID = 10
    SETTINGS_INVALID = 11
    STUDY_NOT_APPROVED = 12
    ARCHIVE_EMPTY = 20
    ARCHIVE_UNREADABLE = 21
    COHORT_TOO_SMALL = 22
    IMAGE_INVALID = 23
    PACS_UNREACHABLE = 24
    PACS_REFUSED = 25
    DISK_FULL = 30
    DISK_UNWRITABLE = 31
    PORT_IN_USE = 40
    COORDINATOR_UNREACHABLE = 41
    COORDINATOR_REFUSED_SITE = 42
    SUPERLINK_FAILED = 44
    TOO_FEW_SITES = 50
    EXCHANGE_INVALID = 51
    EGRESS_REFUSED = 52
    LEDGER_BROKEN = 53
    ROLE_REFUSED = 54
    TRAINING_DIVERGED = 60
    GEOMETRY_INVALID = 61
    RUN_INVALID = 70
    CHILD_FAILED = 71
    RELEASE_NOT_SIGNED = 80
    RELEASE_DAMAGED = 81
    RELEASE_FORMAT_UNKNOWN = 82
    RELEASE_CARD_INVALID = 83
    RELEASE_WEIGHTS_INVALID = 84
    RELEASE_OF_ANOTHER_STUDY = 85
    FILM_UNUSABLE = 90
    NOT_A_HEAD = 91
    PAIR_ONE_VIEW = 92
    PAIR_SAME_IMAGE = 93
    PAIR_OTHER_PATIENT = 94
    PAIR_TOO_FAR = 95
    PAIR_TIED = 96
    OUT_OF_DISTRIBUTION = 97
    SENDING_FAILED = 98
    INTERRUPTED = 130


@final
class Refusal(Exception):
    """One line that says what is wrong, where, and how to mend it.

    Args:
        code: the numbered exit code the process ends with if nothing handles the refusal.
        what: what is wrong, e.g. ``"no space left on device"``.
        where: the file, field, address or message concerned. Never a patient's name, id or UID.
        mend: what the reader can do about it.
    """

    def __init__(self, code: ExitCode, what: str, *, where: str, mend: str) -> None:
        self.code = code
        self.what = _one_line(what)
        self.where = _one_line(where)
        self.mend = _one_line(mend)
        super().__init__(str(self))

    def __reduce__(self) -> tuple[partial[Refusal], tuple[()]]:
        # The default rebuilds an exception from its text alone, so a worker's refusal would be lost on the way back.
        return partial(Refusal, self.code, self.what, where=self.where, mend=self.mend), ()

    def __str__(self) -> str:
        return f"{self.what} [{self.where}]; {self.mend} (exit {int(self.code)})"


def _one_line(text: str) -> str:
    return " ".join(text.split())
