"""A child process that must answer in time, and is ended if it does not."""

from __future__ import annotations

import collections
import logging
import select
import signal
import subprocess
import threading
import time
from typing import IO, Any, Deque, Optional, Tuple

logger = logging.getLogger(__name__)

_SLICE_S = 0.1  # how soon a stop is noticed
_JOIN_S = 0.5

Step = Tuple[Optional[signal.Signals], float]
"""A signal to send (None: only wait) and how long the child then has to end."""


class StoppedError(Exception):
    """The wait for an answer was ended from outside."""


def await_answer(
    fd: Any, deadline_s: float, stop: Optional[threading.Event] = None, slice_s: float = _SLICE_S
) -> None:
    """Return when there is something to read from ``fd`` (the end of it is something, too).

    ``deadline_s``: on ``time.monotonic()``. Raises ``TimeoutError`` when that has passed, and
    ``StoppedError`` soon after another thread has set ``stop``.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        if stop is not None and stop.is_set():
            raise StoppedError
        left_s = deadline_s - time.monotonic()
        if left_s <= 0.0:
            raise TimeoutError
        if poll.poll(1e3 * (left_s if stop is None else min(slice_s, left_s))):
            return


def end(process: subprocess.Popen[Any], *steps: Step) -> bool:
    """End a child, step by step. False if it has outlived them all: it hangs in the kernel, which
    will reap it some day."""
    for number, wait_s in steps:
        if process.poll() is not None:
            return True
        if number is not None:
            process.send_signal(number)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
        return True
    return process.poll() is not None


def how_it_ended(process: subprocess.Popen[Any], wait_s: float = _JOIN_S) -> Optional[str]:
    """``was killed by SIGSEGV`` or ``exited with code 1``; None if it still runs."""
    try:
        code = process.wait(wait_s)
    except subprocess.TimeoutExpired:
        return None
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = ", perhaps for lack of memory" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"


class LastWords:
    """Reads what a child says, in a thread, so that its pipe is never full; keeps the newest
    lines."""

    def __init__(self, pipe: IO[bytes], lines: int, name: str) -> None:
        self._lines: Deque[str] = collections.deque(maxlen=lines)
        self._name = name
        self._thread = threading.Thread(target=self._listen, args=(pipe,), name=name, daemon=True)
        self._thread.start()

    def of_the_dead(self) -> Tuple[str, ...]:
        """The last lines of a child that has ended, oldest first."""
        self._thread.join(_JOIN_S)
        return tuple(self._lines)

    def _listen(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                text = line.decode("utf-8", "replace").strip()
                if text:
                    self._lines.append(text)
                    logger.debug("%s: %s", self._name, text)
