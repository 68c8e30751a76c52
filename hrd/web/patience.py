"""Connections that take a place and ask for nothing, or take nothing of what they asked for.

A connection has ``PATIENCE_S`` to send a whole request, from its opening and from each answer on,
whatever it sends meanwhile. While an answer is made it may last, as events do for hours: then the
kernel ends it when what was sent has not been taken for as long (``TCP_USER_TIMEOUT``), which
finds telephones that have left the network, and readers that do not read.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Callable, Dict

PATIENCE_S = 15.0

_SEND_BYTES = 128 * 1024
"""What the kernel may hold for a connection: a minute of events, an eighth of a table."""


class Patience:
    """``begin`` a connection's time, ``hold`` it while an answer is made, ``begin`` it again."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        self._ends: Dict[asyncio.BaseTransport, asyncio.TimerHandle] = {}

    def begin(self, transport: asyncio.BaseTransport) -> None:
        """From now on it has ``patience_s`` for a whole request."""
        self.hold(transport)
        loop = asyncio.get_event_loop()
        self._ends[transport] = loop.call_later(self.patience_s, self._end, transport)

    def hold(self, transport: asyncio.BaseTransport) -> None:
        """A whole request has come: no limit until ``begin``."""
        timer = self._ends.pop(transport, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """No timer is left."""
        for transport in list(self._ends):
            self.hold(transport)

    def _end(self, transport: Any) -> None:
        del self._ends[transport]
        transport.abort()


class Entrance(asyncio.Protocol):
    """A connection's first moment: its limits are set, then ``make`` says who answers it."""

    def __init__(self, patience: Patience, make: Callable[[Any], asyncio.Protocol]) -> None:
        self._patience = patience
        self._make = make

    def connection_made(self, transport: Any) -> None:
        protocol = self._make(transport)
        _limit(transport.get_extra_info("socket"), self._patience.patience_s)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if not transport.is_closing():
            self._patience.begin(transport)


def _limit(sock: Any, patience_s: float) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * patience_s))
