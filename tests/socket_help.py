"""What the tests of the socket share: a raw client, messages, and waiting without hoping."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from typing import Any, Dict, Iterator, List

import jsonschema

from hrd import protocol
from hrd.types import Reading, Reason, State
from tests.waiting import PATIENCE_S, eventually

__all__ = ["PATIENCE_S", "eventually"]

VALIDATOR = jsonschema.Draft202012Validator(protocol.load_schema())


def hr(n: int = 0, **extra: object) -> Dict[str, Any]:
    """A reading of its own, numbered by its time."""
    reading = Reading(time_s=0.0, state=State.TRACKING, bpm=72.0, confidence=0.9, fps=30.0)
    return protocol.hr_message(reading, 1_700_000_000.0 + n, 41.0, **extra)


def no_hr(n: int = 0) -> Dict[str, Any]:
    reading = Reading(time_s=0.0, state=State.NO_FACE, reason=Reason.NO_FACE, fps=30.0)
    return protocol.hr_message(reading, 1_700_000_000.0 + n)


def ppg(n: int = 0) -> Dict[str, Any]:
    return protocol.ppg_message(1_700_000_000.0 + n, 30.0, [0.1, -0.2, 0.3])


@contextlib.contextmanager
def short_directory() -> Iterator[str]:
    """pytest's own are too long for the path of a UNIX socket."""
    with tempfile.TemporaryDirectory(prefix="hrd") as directory:
        yield directory


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class RawClient:
    """Bytes in, lines out; every line that it reads is held against the schema."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> Dict[str, Any]:
        line = self._file.readline()
        assert line.endswith(b"\n"), f"the connection ended after {line!r}"
        message: Dict[str, Any] = json.loads(line)
        VALIDATOR.validate(message)
        return message

    def read_classes(self, count: int) -> List[str]:
        return [self.read()["class"] for _ in range(count)]

    def read_until(self, kind: str) -> Dict[str, Any]:
        while True:
            message = self.read()
            if message["class"] == kind:
                return message

    def at_end(self) -> bool:
        """Whether the server closes the connection without another word."""
        try:
            return self._file.readline() == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
