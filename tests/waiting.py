"""Waiting for what another thread or process does, without guessing how long that takes."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import IO, Callable

PATIENCE_S = 20.0  # a test waits this long before it fails, and never this long if all is well


def eventually(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return as soon as the condition holds; fail if it does not for a long time."""
    deadline_s = time.monotonic() + patience_s
    never = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, f"still not: {what}"
        never.wait(0.002)


def read_line(pipe: IO[bytes]) -> bytes:
    """The next line of a process; fails if none comes."""
    data = b""
    deadline_s = time.monotonic() + PATIENCE_S
    while not data.endswith(b"\n"):
        left_s = deadline_s - time.monotonic()
        came = select.select([pipe], [], [], max(0.0, left_s))[0]
        assert came, f"only {data!r} came"
        byte = os.read(pipe.fileno(), 1)
        assert byte, f"it ended after {data!r}"
        data += byte
    return data
