"""What the clients of the socket have in common: readings, errors, the first line, the waits.

Standard library only. ``hrd.client`` and ``hrd.async_client`` differ in how they wait and in
nothing else.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any, Mapping, Optional

from hrd.errors import HrdError, Kind
from hrd.protocol import PROTO, Message, quote

MAX_LINE_BYTES = 4 * 1024 * 1024

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits of a client that reconnects, before each attempt; the last one is repeated."""

_KNOWN_FIELDS = frozenset(
    ("class", "time", "state", "bpm", "confidence", "reason", "snr_db", "fps", "latency_ms")
)


class ClientError(HrdError):
    """The daemon cannot be reached or understood; the message says why and what to do.

    ``kind`` is ``Kind.ABSENT`` where trying again would not help: another protocol, another
    program, no permission.
    """

    @property
    def passing(self) -> bool:
        """Whether a client that reconnects should try again."""
        return self.kind is not Kind.ABSENT


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


def check_version(line: Optional[bytes], path: str) -> str:
    """The daemon's release, from the first line of a connection (None: there was none). Raises
    ``ClientError`` unless it is a daemon of this protocol."""
    if line is None:
        raise ClientError(
            f"The daemon at {path} closed the connection at once. See: journalctl -u hrd"
        )
    message = decode(line)
    if message.get("class") == "ERROR":
        raise ClientError(f"The daemon at {path} says: {message.get('message')}")
    proto = message.get("proto")
    if message.get("class") != "VERSION" or not isinstance(proto, str):
        raise not_hrd(path, f"it began with {quote(line)}")
    release = str(message.get("release", ""))
    if proto.split(".")[0] != PROTO.split(".")[0]:
        raise ClientError(
            f"The daemon at {path} (release {release}) speaks protocol {proto}, this client "
            f"protocol {PROTO}: install the same release of hrd for both.",
            Kind.ABSENT,
        )
    return release


def not_hrd(path: str, why: str) -> ClientError:
    """For something else that listens there."""
    return ClientError(f"What listens on {path} is not hrd: {why}.", Kind.ABSENT)


def no_lines(path: str, received: bytes) -> ClientError:
    """For what sends more than any line may hold."""
    return not_hrd(path, f"it sends no lines, but {quote(received[:100])}")


def gone(path: str) -> ClientError:
    """For a connection that ended while readings were expected."""
    return ClientError(
        f"The daemon at {path} closed the connection: it has stopped, or this program did not "
        "read fast enough. See: systemctl status hrd"
    )


def no_answer(path: str, request: str) -> ClientError:
    """For a connection that ended before its answer."""
    return ClientError(
        f"The daemon at {path} closed the connection without an answer to {request}."
        " See: systemctl status hrd"
    )


def silent(path: str, timeout_s: Optional[float]) -> ClientError:
    """For a daemon that says nothing."""
    return ClientError(
        f"Nothing came from the daemon at {path} for {timeout_s or 0.0:g} s:"
        " it hangs or is still starting. See: systemctl status hrd"
    )


def answer_in(line: bytes, wanted: str) -> Optional[Message]:
    """The message in a line if it is of the class ``wanted``; raises for an ``ERROR``."""
    message = decode(line)
    if message.get("class") == "ERROR":
        raise ClientError(f"The daemon says: {message.get('message')}")
    return message if message.get("class") == wanted else None


def encode_request(request: Message) -> bytes:
    """A request as one line."""
    return json.dumps(request, separators=(",", ":")).encode() + b"\n"


QUIET: Message = {"class": "WATCH", "enable": False}
"""Sent before a question: the newest HR comes at connect anyway, and POLL's answer after it."""


def watch(ppg: bool = False, setup: bool = False, features: bool = False) -> Message:
    """The subscription to readings and what is asked for beside them. What is not is left out, so
    that an older daemon understands the rest."""
    streams = {"ppg": ppg, "setup": setup, "features": features}
    return {"class": "WATCH", **{name: True for name, wanted in streams.items() if wanted}}


def retry_s(attempt: int) -> float:
    """How long to wait before attempt number ``attempt`` (from 0) to connect again."""
    return RETRY_S[min(attempt, len(RETRY_S) - 1)]


def explain(error: OSError, path: str) -> ClientError:
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
            return ClientError(
                f"{path} is not a socket: give the daemon's with --socket.", Kind.ABSENT
            )
        return NoDaemonError(f"The daemon that made {path} is no longer running: {start}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ClientError(
            f"You may not use {path}: join its group with sudo usermod -aG hrd $USER and log in"
            " again.",
            Kind.ABSENT,
        )
    if error.errno == errno.EAGAIN:
        return ClientError(
            f"The daemon at {path} does not answer. See: systemctl status hrd; if it hangs:"
            " sudo systemctl restart hrd"
        )
    return ClientError(f"Cannot connect to {path}: {error.strerror or error}.", Kind.ABSENT)


def decode(line: bytes) -> Message:
    """The object in one line; raises ``ClientError``."""
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise ClientError(f"What listens there is not hrd: it sent {quote(line)}.", Kind.ABSENT)
    return message
