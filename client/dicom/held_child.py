"""What every reader has in common: one reading process, started when first needed and ended with its ``with``."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from client.dicom.child import ReaderChild
from client.dicom.limits import ReaderLimits


class HeldChild:
    """Holds one reading process. For one thread at a time.

    Args:
        limits: what the process may use.
        command: program and arguments of the process; a stand-in in tests.
    """

    def __init__(self, limits: ReaderLimits | None = None, command: Sequence[str] | None = None) -> None:
        self._limits = limits or ReaderLimits()
        self._command = command
        self._child: ReaderChild | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Reading again starts another."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _close_dead(self) -> None:
        """Let go of a process that has ended, or that this one inherited and may not speak to."""
        if self._child is not None and not self._child.is_alive:
            self.close()

    def _started(self) -> ReaderChild:
        if self._child is None:
            self._child = ReaderChild(self._limits, self._command)
        return self._child
