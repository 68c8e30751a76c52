"""A client of the daemon, standard library only.

>>> from hrd import Client
>>> for reading in Client():
...     print(reading.bpm if reading.tracking else reading.reason)
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Iterator, Mapping, Optional, Set, Type

from hrd.errors import HrdError
from hrd.protocol import DEFAULT_SOCKET, PROTO, Message, quote

__all__ = ["DEFAULT_SOCKET", "Client", "ClientError", "HeartRate", "NoDaemonError"]

_MAX_LINE_BYTES = 4 * 1024 * 1024
_RECV_BYTES = 64 * 1024
_KNOWN_FIELDS = frozenset(
    ("class", "time", "state", "bpm", "confidence", "reason", "snr_db", "fps", "latency_ms")
)


class ClientError(HrdError):
    """The daemon cannot be reached or understood; the message says why and what to do."""


class NoDaemonError(ClientError):
    """No daemon is listening there: it may yet start."""


@dataclass(frozen=True)
class HeartRate:
    """One reading. ``bpm`` and ``confidence`` in the state ``tracking`` only, ``reason`` in all
    others (``no_camera``, ``no_face``, ``warming_up``, ``unsure``, and what may come).

    ``time_s``: Unix time of the newest frame used. ``confidence``: the calibrated probability that
    bpm is within 5 bpm of the truth. ``extra``: fields that this release does not know.
    """

    time_s: float
    state: str
    bpm: Optional[float] = None
    confidence: Optional[float] = None
    reason: Optional[str] = None
    snr_db: Optional[float] = None
    fps: Optional[float] = None
    latency_ms: Optional[float] = None
    extra: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def tracking(self) -> bool:
        """Whether there is a bpm."""
        return self.state == "tracking" and self.bpm is not None

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> HeartRate:
        """From an ``HR`` object; raises ``ClientError`` if it has no time or no state."""
        time_s, state = message.get("time"), message.get("state")
        if not isinstance(time_s, (int, float)) or not isinstance(state, str):
            raise ClientError(f"The daemon sent an HR without time or state: {quote(message)}.")
        return cls(
            time_s=float(time_s),
            state=state,
            bpm=message.get("bpm"),
            confidence=message.get("confidence"),
            reason=message.get("reason"),
            snr_db=message.get("snr_db"),
            fps=message.get("fps"),
            latency_ms=message.get("latency_ms"),
            extra={name: value for name, value in message.items() if name not in _KNOWN_FIELDS},
        )


class Client:
    """Reads a running daemon.

    The constructor looks whether a daemon of this protocol answers on ``path`` and raises
    ``ClientError`` if not. After that every iteration and every ``poll`` or ``status`` has a
    connection of its own, so that they do not disturb each other, may run in different threads,
    and nothing piles up unread between two polls. ``timeout_s``: how long to wait for the next
    message before ``ClientError`` is raised (None: for ever); the daemon sends one a second.
    """

    def __init__(self, path: str = DEFAULT_SOCKET, timeout_s: Optional[float] = 10.0) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._connections: Set[_Connection] = set()
        self._closed = False
        self.release = ""
        """The daemon's version of hrd."""
        self._connect().close()

    def __iter__(self) -> Iterator[HeartRate]:
        """Readings as they come, the newest one at once, for ever."""
        for message in self.messages():
            if message.get("class") == "HR":
                yield HeartRate.from_message(message)

    def messages(self, ppg: bool = False) -> Iterator[Message]:
        """Every message as a dict, of whatever class, VERSION first; with ``ppg`` PPG as well."""
        for line in self.lines(ppg):
            yield decode(line)

    def lines(self, ppg: bool = False) -> Iterator[bytes]:
        """Every line as it came, its newline included, VERSION first; with ``ppg`` PPG as well."""
        connection = self._connect()
        try:
            yield connection.version_line
            if ppg:
                connection.request({"class": "WATCH", "ppg": True})
            while True:
                line = connection.read_line()
                if line is None:
                    if self._closed:
                        return
                    raise ClientError(
                        f"The daemon at {self.path} closed the connection: it has stopped, or this"
                        " program did not read fast enough. See: systemctl status hrd"
                    )
                yield line
        finally:
            self._connections.discard(connection)
            connection.close()

    def poll(self) -> HeartRate:
        """The newest reading, now (the first one, if there is none yet)."""
        return HeartRate.from_message(self._ask("POLL", "HR"))

    def status(self) -> Message:
        """What the daemon says of itself: a ``STATUS`` object."""
        return self._ask("STATUS", "STATUS")

    def close(self) -> None:
        """End every iteration; may be called twice, and from another thread."""
        self._closed = True
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
        if self._closed:
            raise ClientError("This client has been closed: make a new one.")
        connection = _Connection(self.path, self.timeout_s)
        self.release = connection.release
        self._connections.add(connection)
        if self._closed:  # by another thread, meanwhile
            connection.shut_down()
        return connection

    def _ask(self, request: str, answer: str) -> Message:
        connection = self._connect()
        try:
            # Quiet first: the newest HR comes at connect anyway, and POLL's answer after it.
            connection.request({"class": "WATCH", "enable": False})
            connection.request({"class": request})
            while True:
                line = connection.read_line()
                if line is None:
                    raise ClientError(
                        f"The daemon at {self.path} closed the connection without an answer to"
                        f" {request}. See: systemctl status hrd"
                    )
                message = decode(line)
                if message.get("class") == answer:
                    return message
                if message.get("class") == "ERROR":
                    raise ClientError(f"The daemon says: {message.get('message')}")
        finally:
            self._connections.discard(connection)
            connection.close()


class _Connection:
    """One connection, past its VERSION."""

    def __init__(self, path: str, timeout_s: Optional[float]) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._received = bytearray()
        self._socket = _connect(path, timeout_s)
        try:
            self.version_line = self._read_version()
        except BaseException:
            self._socket.close()
            raise

    def _read_version(self) -> bytes:
        line = self.read_line()
        if line is None:
            raise ClientError(
                f"The daemon at {self._path} closed the connection at once. See: journalctl -u hrd"
            )
        message = decode(line)
        if message.get("class") == "ERROR":
            raise ClientError(f"The daemon at {self._path} says: {message.get('message')}")
        proto = message.get("proto")
        if message.get("class") != "VERSION" or not isinstance(proto, str):
            raise ClientError(
                f"What listens on {self._path} is not hrd: it began with {quote(line)}."
            )
        self.release = str(message.get("release", ""))
        major = PROTO.split(".")[0]
        if proto.split(".")[0] != major:
            raise ClientError(
                f"The daemon at {self._path} (release {self.release}) speaks protocol {proto}, this"
                f" client protocol {PROTO}: install the same release of hrd for both"
                f" (pip install hrd=={self.release})."
            )
        return line

    def request(self, request: Message) -> None:
        try:
            self._socket.sendall(json.dumps(request, separators=(",", ":")).encode() + b"\n")
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
            if searched > _MAX_LINE_BYTES:
                raise ClientError(
                    f"What listens on {self._path} is not hrd: it sends no lines, but"
                    f" {quote(bytes(self._received[:100]))}."
                )
            try:
                data = self._socket.recv(_RECV_BYTES)
            except socket.timeout:
                raise ClientError(
                    f"Nothing came from the daemon at {self._path} for {self._timeout_s:g} s:"
                    " it hangs or is still starting. See: systemctl status hrd"
                ) from None
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
        raise _explain(error, path) from None
    except BaseException:
        sock.close()
        raise


def _explain(error: OSError, path: str) -> ClientError:
    """The plain sentence for a failed connect."""
    start = "start it with: sudo systemctl start hrd (or: hrd run)"
    if error.errno == errno.ENOENT:
        return NoDaemonError(f"No daemon is listening on {path}, which does not exist: {start}")
    if error.errno == errno.ECONNREFUSED:
        try:
            is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
        except OSError:
            is_socket = True
        if not is_socket:
            return ClientError(f"{path} is not a socket: give the daemon's with --socket.")
        return NoDaemonError(f"The daemon that made {path} is no longer running: {start}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ClientError(
            f"You may not use {path}: join its group with sudo usermod -aG hrd $USER and log in"
            " again."
        )
    if error.errno == errno.EAGAIN:
        return ClientError(
            f"The daemon at {path} does not answer. See: systemctl status hrd; if it hangs:"
            " sudo systemctl restart hrd"
        )
    return ClientError(f"Cannot connect to {path}: {error.strerror or error}.")


def decode(line: bytes) -> Message:
    """The object in one line; raises ``ClientError``."""
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ClientError(f"What listens there is not hrd: it sent {quote(line)}.")
    return message
