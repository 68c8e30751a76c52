"""The daemon, read once for all browsers.

Lines go on as they came, so that a page shows the socket's own numbers. A browser that does not
take its lines is cut off; nothing is kept for it but references to the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from typing import Any, AsyncIterator, Callable, Deque, Dict, Optional, Set

from hrd.async_client import AsyncClient
from hrd.protocol import Message
from hrd.web.history import History
from hrd.why import why
from hrd.wire import ClientError, HeartRate, decode

_QUEUE_LINES = 64
_WAVES = 12  # chunks that a new browser gets at once, to have something to draw
_STATUS_S = 5.0
_KEEP_ALIVE_S = 10.0

EVENT_GONE = "GONE"
"""Class of the hub's own message: the daemon cannot be read, and why."""

EVENT_WHY = "WHY"
"""Class of the hub's own message for the daemon's FEATURES: what they say, in words."""


def event(message: bytes) -> bytes:
    """A line as a server-sent event."""
    return b"data: " + message.strip() + b"\n\n"


def why_event(message: Message) -> bytes:
    """FEATURES in words; the daemon's own numbers, and no rate that it has not published."""
    found = why(message)
    told: Dict[str, Any] = {"class": EVENT_WHY, "time": message.get("time")}
    if found is not None:
        told["confidence"] = found.confidence
        told["start"] = found.start
        told["gate"] = found.gate
        told["weights"] = [
            {"name": one.name, "log_odds": round(one.log_odds, 3), "measured": one.measured}
            for one in found.weights
        ]
    return event(_line(told))


class Viewer:
    """One browser's events; iterate over them. Ends when the hub ends, or it has fallen behind:
    then ``on_cut_off`` is called, since who writes to it waits for it."""

    def __init__(self, setup: bool, on_cut_off: Callable[[], object]) -> None:
        self.setup = setup
        self._on_cut_off = on_cut_off
        self._events: asyncio.Queue[Optional[bytes]] = asyncio.Queue(_QUEUE_LINES)
        self._cut = False

    def put(self, data: bytes) -> None:
        """Never waits; too many that were not taken are the end."""
        try:
            self._events.put_nowait(data)
        except asyncio.QueueFull:
            self.end()
            self._on_cut_off()

    def end(self) -> None:
        """No more events."""
        self._cut = True
        while not self._events.empty():
            self._events.get_nowait()
        self._events.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._cut:
            try:
                data = await asyncio.wait_for(self._events.get(), _KEEP_ALIVE_S)
            except asyncio.TimeoutError:
                data = b": still here\n\n"
            if data is None:
                return
            yield data


class Hub:
    """``run`` reads the daemon on ``path`` for ever; ``join`` and ``leave`` are for browsers.

    ``on_state`` is told when the daemon is found or lost. Raises ``ClientError`` from ``run`` where
    waiting can't help: another protocol, no permission.
    """

    def __init__(self, path: str, on_state: Callable[[str], object] = print) -> None:
        self.history = History()
        self.viewers: Set[Viewer] = set()
        self._path = path
        self._on_state = on_state
        self._newest: Dict[str, bytes] = {}
        self._waves: Deque[bytes] = deque(maxlen=_WAVES)
        self._gone: Optional[bytes] = self._gone_event("waiting for the daemon")
        self._client = AsyncClient(path, reconnect=True, on_lost=self._lost)
        self._closed = False
        self._setup_client: Optional[AsyncClient] = None
        self._setup_task: Optional[asyncio.Task[None]] = None

    def join(self, on_cut_off: Callable[[], object], setup: bool = False) -> Viewer:
        """A browser more: it begins with the newest of everything."""
        viewer = Viewer(setup, on_cut_off)
        if self._gone is not None:
            viewer.put(self._gone)
        else:
            for data in (*self._newest.values(), *self._waves):
                viewer.put(data)
        self.viewers.add(viewer)
        if setup and self._setup_client is None:
            self._setup_client = AsyncClient(self._path, None, reconnect=True)
            reading = self._read_setup(self._setup_client)
            self._setup_task = asyncio.get_event_loop().create_task(reading)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A browser less."""
        self.viewers.discard(viewer)
        if not any(one.setup for one in self.viewers):
            self._end_setup()

    async def run(self) -> None:
        """Read until ``close``."""
        asking = asyncio.get_event_loop().create_task(self._ask_status())
        try:
            async with self._client as client:
                async for line in client.lines(ppg=True, features=True):
                    self._take(line)
        finally:
            self.close()
            asking.cancel()

    def close(self) -> None:
        """End ``run`` and every browser's events; may be called twice.

        Not by cancelling alone: before Python 3.12 ``asyncio.wait_for`` may lose that.
        """
        self._closed = True
        self._client.close()
        self._end_setup()
        for viewer in list(self.viewers):
            viewer.end()

    def _take(self, line: bytes) -> None:
        message = decode(line)
        kind = str(message.get("class"))
        data = event(line)
        if kind == "VERSION":
            self._gone = None
            self._newest.clear()
            self._waves.clear()
            self._on_state("the daemon answers")
        elif kind == "HR":
            reading = HeartRate.from_message(message)
            self.history.add(reading)
            if reading.state in ("no_face", "no_camera"):
                self._waves.clear()
        elif kind == "FEATURES":
            kind, data = EVENT_WHY, why_event(message)
        elif kind not in ("PPG", "BEAT", "VITALS"):
            return
        if kind == "PPG":
            self._waves.append(data)
        else:
            self._newest[kind] = data
        self._send(data)

    def _send(self, data: bytes, setup: bool = False) -> None:
        for viewer in list(self.viewers):
            if viewer.setup or not setup:
                viewer.put(data)

    def _lost(self, error: ClientError) -> None:
        self._on_state(str(error))
        self._newest.clear()
        self._waves.clear()
        told, self._gone = self._gone, self._gone_event("the daemon is gone; waiting for it")
        if told is None:  # once, not at every try
            self._send(self._gone)

    def _gone_event(self, why: str) -> bytes:
        text = json.dumps({"class": EVENT_GONE, "time": round(time.time(), 3), "message": why})
        return event(text.encode())

    async def _ask_status(self) -> None:
        """The daemon's own state, while anybody looks."""
        wait_s = 0.5
        while not self._closed:
            await asyncio.sleep(wait_s)
            wait_s = _STATUS_S if self.viewers else 0.5
            if not self.viewers or self._gone is not None:
                continue
            with contextlib.suppress(ClientError):
                status = await AsyncClient(self._path, 5.0).status()
                data = event(json.dumps(status, separators=(",", ":")).encode())
                self._newest["STATUS"] = data
                self._send(data)

    def _end_setup(self) -> None:
        if self._setup_client is not None and self._setup_task is not None:
            self._setup_client.close()
            self._setup_task.cancel()
        self._setup_client = self._setup_task = None

    async def _read_setup(self, client: AsyncClient) -> None:
        """The set-up view, while anybody has it open."""
        try:
            messages: Any = client.messages(setup=True)
            async for message in messages:
                if message.get("class") == "SETUP":
                    self._send(event(_line(message)), setup=True)
        except ClientError:
            return  # the hub's own reading says why
        finally:
            client.close()


def _line(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
