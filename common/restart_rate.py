"""How often something that keeps ending may be started again: a rate, so that no age of a process uses it up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import final


@final
class RestartRate:
    """Allows so many starts within any stretch of so many seconds.

    Args:
        most: starts allowed within the stretch.
        within_s: its length.
        clock: seconds that never go back.
    """

    def __init__(self, most: int, within_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._starts: deque[float] = deque(maxlen=most)
        self._within_s = within_s
        self._clock = clock

    def allows(self) -> bool:
        """Whether it may be started now; if so, that start is counted."""
        now = self._clock()
        if len(self._starts) == self._starts.maxlen and now - self._starts[0] < self._within_s:
            return False
        self._starts.append(now)
        return True
