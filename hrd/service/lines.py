"""Cut a stream of bytes into lines without ever holding more than a bounded piece of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Line:
    """One line without its newline. ``too_long``: only the line's beginning is kept."""

    data: bytes
    too_long: bool = False


class LineBuffer:
    """Feed it what was received, then take lines until there is none.

    Holds at most ``limit_bytes`` plus the last piece fed, if pieces are fed only while ``ready``
    is False. A longer line comes out once, cut and marked, and the rest of it is thrown away.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._data = bytearray()
        self._skipping = False  # inside the rest of a line that was too long

    @property
    def ready(self) -> bool:
        """Whether ``take`` would return a line."""
        if self._skipping:
            self._skip()
        return b"\n" in self._data or len(self._data) > self._limit_bytes

    def feed(self, data: bytes) -> None:
        self._data += data

    def finish(self) -> None:
        """The stream has ended: what is left over is the last line, newline or not."""
        if self._data and not self._data.endswith(b"\n"):
            self._data += b"\n"

    def take(self) -> Optional[Line]:
        """The next line, or None if it is not complete yet."""
        if self._skipping:
            self._skip()
        end = self._data.find(b"\n")
        if end < 0:
            if len(self._data) <= self._limit_bytes:
                return None
            line = Line(bytes(self._data[: self._limit_bytes]), too_long=True)
            self._data.clear()
            self._skipping = True
            return line
        line = Line(bytes(self._data[: min(end, self._limit_bytes)]), end > self._limit_bytes)
        del self._data[: end + 1]
        return line

    def _skip(self) -> None:
        end = self._data.find(b"\n")
        if end < 0:
            self._data.clear()
        else:
            del self._data[: end + 1]
            self._skipping = False
