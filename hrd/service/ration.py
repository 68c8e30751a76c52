"""How much of the process's time the socket's clients may take."""

from __future__ import annotations

import time
from typing import Callable

PERIOD_S = 0.02
WORK_PER_PERIOD = 64  # requests: 3,200 a second
TO_ACCEPT = 4  # connecting costs about as much as four requests: 800 a second


class Ration:
    """So much work in each period, and no more: the rest waits for the next."""

    def __init__(
        self,
        work: int = WORK_PER_PERIOD,
        period_s: float = PERIOD_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = work
        self._period_s = period_s
        self._now = clock
        self._left = work
        self.again_s = 0.0
        """When the next period begins."""

    def take(self, cost: int = 1) -> bool:
        """Whether so much work may be done now; takes it off if so."""
        now_s = self._now()
        if now_s >= self.again_s:
            self._left = self._work
            self.again_s = now_s + self._period_s
        if self._left < cost:
            return False
        self._left -= cost
        return True
