"""A client of the daemon, standard library only.

>>> from hrd import Client
>>> for reading in Client():
...     print(reading.bpm if reading.tracking else reading.reason)

``hrd.async_client`` has the same with ``async`` and ``await``.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from types import TracebackType
from typing import Callable, Iterator, Optional, Set, Type

from hrd import wire
from hrd.protocol import DEFAULT_SOCKET, Message
from hrd.wire import ClientError, HeartRate, NoDaemonError, decode

__all__ = ["DEFAULT_SOCKET", "Client", "ClientError", "HeartRate", "NoDaemonError", "decode"]

_RECV_BYTES = 64 * 1024

OnLost = Callable[[ClientError], object]
"""Told why, once, when a client that reconnects has lost the daemon (or finds none)."""


class Client:
    """Reads a running daemon.

    The constructor looks whether a daemon of this protocol answers on ``path`` and raises
    ``ClientError`` if not. After that every iteration and every ``poll`` or ``status`` has a
    connection of its own, so that they do not disturb each other, may run in different threads,
    and nothing piles up unread between two polls. ``timeout_s``: how long to wait for the next
    message before ``ClientError`` is raised (None: for ever); the daemon sends one a second.

    ``reconnect``: no daemon, one that goes away or falls silent is waited for, and an iteration
    goes on with the next one, for ever; ``poll`` and ``status`` try for ``timeout_s``. Only what
    waiting can't mend is still raised (another protocol, no permission). ``on_lost`` is told
    when the waiting begins.
    """

    def __init__(
        self,
        path: str = DEFAULT_SOCKET,
        timeout_s: Optional[float] = 10.0,
        reconnect: bool = False,
        on_lost: Optional[OnLost] = None,
    ) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self.reconnect = reconnect
        self._on_lost = on_lost
        self._connections: Set[_Connection] = set()
        self._closed = threading.Event()
        self.release = ""
        """The daemon's version of hrd; empty until one has answered."""
        try:
            self._end(self._connect())
        except ClientError as error:
            if not (reconnect and error.passing):
                raise

    def __iter__(self) -> Iterator[HeartRate]:
        """Readings as they come, the newest one at once, for ever."""
        for message in self.messages():
            if message.get("class") == "HR":
                yield HeartRate.from_message(message)

    def messages(
        self, ppg: bool = False, setup: bool = False, features: bool = False
    ) -> Iterator[Message]:
        """Every message as a dict, of whatever class, VERSION first; with ``ppg`` PPG, with
        ``setup`` SETUP, with ``features`` FEATURES as well."""
        for line in self.lines(ppg, setup, features):
            yield decode(line)

    def lines(
        self, ppg: bool = False, setup: bool = False, features: bool = False
    ) -> Iterator[bytes]:
        """Every line as it came, its newline included, VERSION first (again after each
        reconnection); with ``ppg`` PPG, with ``setup`` SETUP, with ``features`` FEATURES as
        well."""
        request = wire.watch(ppg, setup, features)
        lost = False
        attempt = 0
        while True:
            try:
                for line in self._lines_once(request):
                    lost, attempt = False, 0
                    yield line
                return
            except ClientError as error:
                if self._closed.is_set():
                    return
                if not (self.reconnect and error.passing):
                    raise
                if not lost and self._on_lost is not None:
                    self._on_lost(error)
                lost = True
            if self._closed.wait(wire.retry_s(attempt)):
                return
            attempt += 1

    def poll(self) -> HeartRate:
        """The newest reading, now (the first one, if there is none yet)."""
        return HeartRate.from_message(self._ask("POLL", "HR"))

    def status(self) -> Message:
        """What the daemon says of itself: a ``STATUS`` object."""
        return self._ask("STATUS", "STATUS")

    def close(self) -> None:
        """End every iteration; may be called twice, and from another thread."""
        self._closed.set()
        for connection in list(self._connections):
            connection.shut_down()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def _connect(self) -> _Connection:
        if self._closed.is_set():
            raise ClientError("This client has been closed: make a new one.")
        connection = _Connection(self.path, self.timeout_s)
        self.release = connection.release
        self._connections.add(connection)
        if self._closed.is_set():  # by another thread, meanwhile
            connection.shut_down()
        return connection

    def _end(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        connection.close()

    def _lines_once(self, request: Message) -> Iterator[bytes]:
        """The lines of one connection; returns only after ``close``."""
        connection = self._connect()
        try:
            yield connection.version_line
            if len(request) > 1:  # what every connection begins with needs no asking
                connection.request(request)
            while True:
                line = connection.read_line()
                if line is None:
                    if self._closed.is_set():
                        return
                    raise wire.gone(self.path)
                yield line
        finally:
            self._end(connection)

    def _ask(self, request: str, answer: str) -> Message:
        patience_s = float("inf") if self.timeout_s is None else self.timeout_s
        deadline_s = time.monotonic() + patience_s
        attempt = 0
        while True:
            try:
                return self._ask_once(request, answer)
            except ClientError as error:
                wait_s = wire.retry_s(attempt)
                late = time.monotonic() + wait_s > deadline_s
                if not (self.reconnect and error.passing) or late or self._closed.wait(wait_s):
                    raise
            attempt += 1

    def _ask_once(self, request: str, answer: str) -> Message:
        connection = self._connect()
        try:
            connection.request(wire.QUIET)
            connection.request({"class": request})
            while True:
                line = connection.read_line()
                if line is None:
                    raise wire.no_answer(self.path, request)
                message = wire.answer_in(line, answer)
                if message is not None:
                    return message
        finally:
            self._end(connection)


class _Connection:
    """One connection, past its VERSION."""

    def __init__(self, path: str, timeout_s: Optional[float]) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._received = bytearray()
        self._socket = _connect(path, timeout_s)
        try:
            line = self.read_line()
            self.release = wire.check_version(line, path)
            self.version_line = line or b""
        except BaseException:
            self._socket.close()
            raise

    def request(self, request: Message) -> None:
        try:
            self._socket.sendall(wire.encode_request(request))
        except OSError:
            pass  # gone: reading says so, after what it still had to say

    def read_line(self) -> Optional[bytes]:
        """The next whole line, or None at the end."""
        searched = 0
        while True:
            end = self._received.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._received[: end + 1])
                del self._received[: end + 1]
                return line
            searched = len(self._received)
            if searched > wire.MAX_LINE_BYTES:
                raise wire.no_lines(self._path, bytes(self._received[:100]))
            try:
                data = self._socket.recv(_RECV_BYTES)
            except socket.timeout:
                raise wire.silent(self._path, self._timeout_s) from None
            except ConnectionError:
                return None
            if not data:
                return None
            self._received += data

    def shut_down(self) -> None:
        """Make a read that is under way, in whatever thread, return."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self._socket.close()


def _connect(path: str, timeout_s: Optional[float]) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if timeout_s is not None:
            # While the daemon's queue is full, a socket with a Python timeout would fail at once;
            # with this option the kernel waits. Zero would mean for ever.
            whole_s = int(timeout_s)
            rest_us = max(1, int((timeout_s - whole_s) * 1e6))
            limit = struct.pack("@ll", whole_s, rest_us)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        sock.connect(path)
        sock.settimeout(timeout_s)
        return sock
    except OSError as error:
        sock.close()
        raise wire.explain(error, path) from None
    except BaseException:
        sock.close()
        raise
