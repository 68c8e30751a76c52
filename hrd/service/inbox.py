"""What other threads have for the server's thread: a bounded queue, and a pipe that wakes it."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Deque, List, Tuple

MESSAGES = 256


class Inbox:
    """``put`` from any thread, ``take`` in the server's, whose selector watches ``fd``.

    Should the server's thread be overwhelmed, the oldest message waiting is dropped and counted.
    The constructor raises ``OSError`` where there are no descriptors.
    """

    def __init__(self, messages: int = MESSAGES) -> None:
        self._limit = messages
        self._lock = threading.Lock()  # guards all below, and the pipe against being closed
        self._messages: Deque[Tuple[str, bytes]] = deque()
        self._since_s = 0.0  # when the oldest message was put
        self._closing = False
        self._released = False
        self.dropped = 0
        self.fd, self._wake_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def closing(self) -> bool:
        """Whether ``close`` has been called."""
        return self._closing

    def put(self, kind: str, line: bytes) -> None:
        """Never waits. After ``close`` it does nothing."""
        with self._lock:
            if self._closing:
                return
            if len(self._messages) >= self._limit:
                self._messages.popleft()
                self.dropped += 1
            self._messages.append((kind, line))
            if len(self._messages) == 1:
                self._since_s = time.monotonic()
                self._wake()

    def take(self) -> List[Tuple[str, bytes]]:
        """All that has come, oldest first."""
        if not self._messages:
            return []
        with self._lock:
            messages = list(self._messages)
            self._messages.clear()
        return messages

    def waiting_s(self) -> float:
        """How long the oldest message has been lying here; 0 if there is none."""
        with self._lock:
            return time.monotonic() - self._since_s if self._messages else 0.0

    def drain(self) -> None:
        """Take up what woke the thread."""
        try:
            while os.read(self.fd, 4096):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Take nothing more, and wake the thread so that it notices."""
        with self._lock:
            self._closing = True
            if not self._released:
                self._wake()

    def release(self) -> bool:
        """Close the pipe. False if that has been done before."""
        with self._lock:
            self._closing = True
            if self._released:
                return False
            self._released = True
            os.close(self.fd)
            os.close(self._wake_fd)
        return True

    def _wake(self) -> None:
        try:
            os.write(self._wake_fd, b"w")
        except BlockingIOError:
            pass  # full of wake-ups already
