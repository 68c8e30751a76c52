"""What the daemon writes about itself: for systemd's journal with fields, else plain lines.

Records may carry fields of their own (``extra={"fields": {"HRD_STATE": "tracking"}}``): they
arrive in the journal, to be found with ``journalctl -u hrd HRD_STATE=no_camera``.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
import time
from typing import Callable, Dict, List, Optional, TextIO, Tuple

JOURNAL_SOCKET = "/run/systemd/journal/socket"

PLAIN_FORMAT = "%(levelname)s %(name)s: %(message)s"

BURST = 5
"""So many lines of one kind are written at once ..."""
REFILL_S = 30.0
"""... and after that one in so many seconds; how many were left out is said with the next."""

_KINDS = 256  # templates remembered; hrd has fewer
_LINE_LIMIT = 4000  # characters


class RateLimit(logging.Filter):
    """Lets a burst of each kind of line through, then one now and then.

    A kind is a logger and a template (``record.msg`` before its arguments), so one client or one
    flapping state cannot fill the disk. A line after some that were left out says how many.
    """

    def __init__(
        self,
        burst: int = BURST,
        refill_s: float = REFILL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._burst = float(burst)
        self._refill_s = refill_s
        self._now = clock
        # kind -> (tokens, when they were counted, lines left out since)
        self._kinds: Dict[Tuple[str, str], Tuple[float, float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.INFO:
            return True  # somebody is looking for something: let them see it
        kind = (record.name, str(record.msg)[:200])
        now_s = self._now()
        tokens, counted_s, left_out = self._kinds.pop(kind, (self._burst, now_s, 0))
        tokens = min(self._burst, tokens + (now_s - counted_s) / self._refill_s)
        passes = tokens >= 1.0
        if passes:
            tokens -= 1.0
            if left_out:
                record.msg = f"{record.msg} (and {left_out} more like it before)"
                left_out = 0
        else:
            left_out += 1
        self._kinds[kind] = (tokens, now_s, left_out)
        while len(self._kinds) > _KINDS:
            del self._kinds[next(iter(self._kinds))]  # the one not seen for longest
        return passes


class JournalHandler(logging.Handler):
    """Sends records to systemd's journal by its own protocol, one datagram each.

    Raises ``OSError`` if the journal cannot be reached. A record that cannot be sent is lost: a
    full journal must not stop the daemon.
    """

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        try:
            self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._socket.send(entry(record, self.format(record)))
        except OSError:
            pass
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


def entry(record: logging.LogRecord, message: str) -> bytes:
    """A record in the journal's native format (systemd, "Native Journal Protocol")."""
    fields: Dict[str, str] = {
        "MESSAGE": message[:_LINE_LIMIT],
        "PRIORITY": str(priority(record.levelno)),
        "SYSLOG_IDENTIFIER": "hrd",
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        "THREAD_NAME": str(record.threadName),
    }
    extra = getattr(record, "fields", None)
    if isinstance(extra, dict):
        fields.update({str(name): str(value) for name, value in extra.items()})
    parts: List[bytes] = []
    for name, value in fields.items():
        data = value.encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts.append(name.encode("ascii") + b"\n" + struct.pack("<Q", len(data)) + data)
        else:
            parts.append(name.encode("ascii") + b"=" + data)
    return b"\n".join(parts) + b"\n"


def priority(level: int) -> int:
    """syslog's number for a level of ``logging``."""
    for least, number in ((50, 2), (40, 3), (30, 4), (20, 6)):
        if level >= least:
            return number
    return 7


class PrefixFormatter(logging.Formatter):
    """``<4>`` and the like before every line: journald reads the priority from it."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{priority(record.levelno)}>"
        lines = super().format(record)[:_LINE_LIMIT].splitlines() or [""]
        return "\n".join(prefix + line for line in lines)


def stream_is_journal(stream: TextIO, variable: Optional[str] = None) -> bool:
    """Whether journald reads this stream: ``$JOURNAL_STREAM`` is its device and inode."""
    variable = os.environ.get("JOURNAL_STREAM", "") if variable is None else variable
    try:
        device, inode = (int(number) for number in variable.split(":"))
        status = os.fstat(stream.fileno())
    except (ValueError, OSError):
        return False
    return (status.st_dev, status.st_ino) == (device, inode)


def make_handler(stream: Optional[TextIO] = None, journal: str = JOURNAL_SOCKET) -> logging.Handler:
    """The handler that suits where stderr goes: the journal itself, its prefixes, or plain."""
    stream = sys.stderr if stream is None else stream
    if stream_is_journal(stream):
        try:
            handler: logging.Handler = JournalHandler(journal)
        except OSError:
            handler = _StreamHandler(stream)
            handler.setFormatter(PrefixFormatter("%(name)s: %(message)s"))
        else:
            handler.setFormatter(logging.Formatter("%(message)s"))
        return handler
    handler = _StreamHandler(stream)
    handler.setFormatter(logging.Formatter(PLAIN_FORMAT))
    return handler


class _StreamHandler(logging.StreamHandler):
    """Writes to where the stream leads now, wherever descriptor 2 is turned to for a while.

    While a C++ library is loaded, its chatter is kept away by turning descriptor 2 off for the
    whole process; what other threads have to say meanwhile must not be lost with it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._own: Optional[TextIO] = None
        try:
            self._own = os.fdopen(os.dup(stream.fileno()), "w", 1, errors="backslashreplace")
        except (OSError, ValueError):  # a stream of Python alone
            pass
        super().__init__(self._own or stream)

    def close(self) -> None:
        super().close()
        if self._own is not None:
            self._own.close()
