"""Timing of stages from outside: the stages themselves read no clock."""

from __future__ import annotations

import contextlib
import time
from typing import Callable, ContextManager, Iterator

Timed = Callable[[str], ContextManager[None]]
"""Called with a stage's name; what runs inside the context is that stage's work."""


def untimed(stage: str) -> ContextManager[None]:
    """Measures nothing."""
    return contextlib.nullcontext()


def stopwatch(report: Callable[[str, float], None]) -> Timed:
    """Calls ``report`` with a stage's name and the seconds that it took, once per use."""

    @contextlib.contextmanager
    def timed(stage: str) -> Iterator[None]:
        start_s = time.perf_counter()
        yield
        report(stage, time.perf_counter() - start_s)

    return timed
