"""Ctrl-C while clips are drawn or a network is trained: nothing that is finished is lost."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Dict, Iterator, Optional, Type

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Training was stopped from outside; the message says what is saved and how to go on."""


class Interrupts:
    """Within this block SIGINT and SIGTERM raise ``KeyboardInterrupt``: at once, or where they
    come in a ``held`` part, at its end. Later ones do nothing, so that whoever handles the first
    can save in peace.

    Outside the main thread, which alone gets signals, it changes nothing; a signal that is
    ignored (``nohup``, a shell's background job) stays so.
    """

    def __init__(self) -> None:
        self._asked = False
        self._holds = 0
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Optional[FrameType]) -> None:
        first, self._asked = not self._asked, True
        if first and self._holds == 0:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A part that is done whole."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
        # also where the exception was raised in a destructor, which swallows it
        if self._asked:
            raise KeyboardInterrupt


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C waits for the end of this block. Processes started in it never see it, although a
    terminal sends it to all of a command's: whoever started them ends them, without tracebacks."""
    handler = signal.getsignal(signal.SIGINT)
    came = []
    # the mask is this thread's, and new processes'; where another thread takes the signal
    # (tqdm's), Python still runs the handler in the main one
    waits = threading.current_thread() is threading.main_thread() and callable(handler)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if waits:
        signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        if waits:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if came:
        signal.raise_signal(signal.SIGINT)
