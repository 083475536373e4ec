"""Peak memory of this process and all it started."""

from __future__ import annotations

from typing import final

import psutil


@final
class PeakMemory:
    """Largest sum of resident set sizes over the process tree at any sample; shared pages count in each process."""

    def __init__(self) -> None:
        self._root = psutil.Process()
        self.peak_bytes = 0

    def sample(self) -> None:
        """Look once."""
        total = 0
        for process in (self._root, *self._root.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        self.peak_bytes = max(self.peak_bytes, total)
