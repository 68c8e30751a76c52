"""Signals: they only set flags, and one thread sees to it that the end comes in time."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Callable, Dict, Optional, Type

logger = logging.getLogger(__name__)

END_WITHIN_S = 1.7
"""SIGTERM to the end: after this the process ends whatever still hangs."""

HUNG_STATUS = 1


class Signals:
    """SIGTERM and SIGINT set ``stop``; SIGHUP asks for a reload (``take_reload``).

    A context manager, for the main thread; it puts the old handlers back. Python runs its
    handlers in the main thread between two instructions, and so not at all while that hangs in a
    library. The C part of a handler runs at once, though, and wakes a thread through a pipe: if
    the end has not come ``END_WITHIN_S`` after the signal, that thread calls ``on_hang`` and ends
    the process.

    SIGHUP is left alone at a terminal, whose closing it announces.
    """

    def __init__(self, reload: bool = True, exit_now: Callable[[int], Any] = os._exit) -> None:
        self.stop = threading.Event()
        self.on_hang: Optional[Callable[[], None]] = None
        self._exit_now = exit_now
        self._reload_asked = False
        self._numbers = [signal.SIGTERM, signal.SIGINT]
        if reload and not any(_is_terminal(stream) for stream in (sys.stdin, sys.stderr)):
            self._numbers.append(signal.SIGHUP)
        self._ended = threading.Event()
        self._old: Dict[int, Any] = {}

    def take_reload(self) -> bool:
        """Whether a reload has been asked for since the last time."""
        asked, self._reload_asked = self._reload_asked, False
        return asked

    def __enter__(self) -> Signals:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self._read, True)
        self._thread = threading.Thread(target=self._watch, name="hrd-signals", daemon=True)
        self._thread.start()
        for number in self._numbers:
            self._old[number] = signal.signal(number, self._handle)
        self._old_fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        signal.set_wakeup_fd(self._old_fd)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        self._ended.set()
        os.close(self._write)  # the thread reads its end of file
        self._thread.join()
        os.close(self._read)

    def _handle(self, number: int, frame: Optional[FrameType]) -> None:
        if number == signal.SIGHUP:
            self._reload_asked = True
        else:
            self.stop.set()

    def _watch(self) -> None:
        while True:
            data = os.read(self._read, 64)
            if not data:
                return
            if not {int(signal.SIGTERM), int(signal.SIGINT)} & set(data):
                continue
            self.stop.set()
            if self._ended.wait(END_WITHIN_S):
                return
            logger.error("the pipeline hangs: hrd ends without it")
            if self.on_hang is not None:
                # in a thread, since it may hang as well
                helper = threading.Thread(target=self.on_hang, daemon=True)
                helper.start()
                helper.join(0.2)
            self._exit_now(HUNG_STATUS)
            return


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and bool(stream.isatty())
    except (OSError, ValueError):  # closed
        return False
