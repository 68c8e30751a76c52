"""The client of the daemon for asyncio: the words of ``hrd.client``, to be awaited.

>>> from hrd import AsyncClient
>>> async def show():
...     async with AsyncClient(reconnect=True) as client:
...         async for reading in client:
...             print(reading.bpm if reading.tracking else reading.reason)
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import AsyncIterator, Optional, Set, Type

from hrd import wire
from hrd.client import OnLost
from hrd.protocol import DEFAULT_SOCKET, Message
from hrd.wire import ClientError, HeartRate, decode

__all__ = ["AsyncClient"]


class AsyncClient:
    """Reads a running daemon; see ``hrd.Client``, whose arguments and methods these are.

    A constructor can't wait: ``async with`` (or ``await client.open()``) looks whether a daemon
    answers, and raises ``ClientError`` as ``Client()`` does. Use it in one event loop.
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
        self._closed = False
        self.release = ""
        """The daemon's version of hrd; empty until one has answered."""

    async def open(self) -> None:
        """Look whether a daemon answers. Raises ``ClientError``."""
        try:
            self._end(await self._connect())
        except ClientError as error:
            if not (self.reconnect and error.passing):
                raise

    async def __aenter__(self) -> AsyncClient:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    async def __aiter__(self) -> AsyncIterator[HeartRate]:
        """Readings as they come, the newest one at once, for ever."""
        async for message in self.messages():
            if message.get("class") == "HR":
                yield HeartRate.from_message(message)

    async def messages(
        self, ppg: bool = False, setup: bool = False, features: bool = False
    ) -> AsyncIterator[Message]:
        """Every message as a dict, of whatever class, VERSION first; with ``ppg`` PPG, with
        ``setup`` SETUP, with ``features`` FEATURES as well."""
        async for line in self.lines(ppg, setup, features):
            yield decode(line)

    async def lines(
        self, ppg: bool = False, setup: bool = False, features: bool = False
    ) -> AsyncIterator[bytes]:
        """Every line as it came, its newline included, VERSION first (again after each
        reconnection); with ``ppg`` PPG, with ``setup`` SETUP, with ``features`` FEATURES as
        well."""
        request = wire.watch(ppg, setup, features)
        lost = False
        attempt = 0
        while not self._closed:
            connection = None
            try:
                connection = await self._connect()
                lost, attempt = False, 0
                yield connection.version_line
                if len(request) > 1:  # what every connection begins with needs no asking
                    connection.request(request)
                while True:
                    line = await connection.read_line()
                    if line is None:
                        raise wire.gone(self.path)
                    yield line
            except ClientError as error:
                if self._closed:
                    return
                if not (self.reconnect and error.passing):
                    raise
                if not lost and self._on_lost is not None:
                    self._on_lost(error)
                lost = True
            finally:
                if connection is not None:
                    self._end(connection)
            await asyncio.sleep(wire.retry_s(attempt))
            attempt += 1

    async def poll(self) -> HeartRate:
        """The newest reading, now (the first one, if there is none yet)."""
        return HeartRate.from_message(await self._ask("POLL", "HR"))

    async def status(self) -> Message:
        """What the daemon says of itself: a ``STATUS`` object."""
        return await self._ask("STATUS", "STATUS")

    def close(self) -> None:
        """End every iteration; may be called twice."""
        self._closed = True
        for connection in list(self._connections):
            connection.close()

    async def _connect(self) -> _Connection:
        if self._closed:
            raise ClientError("This client has been closed: make a new one.")
        connection = await _Connection.open(self.path, self.timeout_s)
        self.release = connection.release
        self._connections.add(connection)
        if self._closed:  # meanwhile
            connection.close()
        return connection

    def _end(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        connection.close()

    async def _ask(self, request: str, answer: str) -> Message:
        loop = asyncio.get_event_loop()
        patience_s = float("inf") if self.timeout_s is None else self.timeout_s
        deadline_s = loop.time() + patience_s
        attempt = 0
        while True:
            try:
                return await self._ask_once(request, answer)
            except ClientError as error:
                wait_s = wire.retry_s(attempt)
                late = loop.time() + wait_s > deadline_s
                if not (self.reconnect and error.passing) or late or self._closed:
                    raise
            await asyncio.sleep(wait_s)
            attempt += 1

    async def _ask_once(self, request: str, answer: str) -> Message:
        connection = await self._connect()
        try:
            connection.request(wire.QUIET)
            connection.request({"class": request})
            while True:
                line = await connection.read_line()
                if line is None:
                    raise wire.no_answer(self.path, request)
                message = wire.answer_in(line, answer)
                if message is not None:
                    return message
        finally:
            self._end(connection)


class _Connection:
    """One connection, past its VERSION; made by ``open``."""

    def __init__(
        self,
        path: str,
        timeout_s: Optional[float],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._reader = reader
        self._writer = writer
        self.release = ""
        self.version_line = b""

    @classmethod
    async def open(cls, path: str, timeout_s: Optional[float]) -> _Connection:
        try:
            opening = asyncio.open_unix_connection(path, limit=wire.MAX_LINE_BYTES)
            reader, writer = await asyncio.wait_for(opening, timeout_s)
        except asyncio.TimeoutError:
            raise wire.silent(path, timeout_s) from None
        except OSError as error:
            raise wire.explain(error, path) from None
        connection = cls(path, timeout_s, reader, writer)
        try:
            line = await connection.read_line()
            connection.release = wire.check_version(line, path)
            connection.version_line = line or b""
        except BaseException:
            connection.close()
            raise
        return connection

    def request(self, request: Message) -> None:
        self._writer.write(wire.encode_request(request))

    async def read_line(self) -> Optional[bytes]:
        """The next whole line, or None at the end."""
        try:
            return await asyncio.wait_for(self._reader.readuntil(b"\n"), self._timeout_s)
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            raise wire.no_lines(self._path, await self._reader.read(100)) from None
        except asyncio.TimeoutError:
            raise wire.silent(self._path, self._timeout_s) from None
        except ConnectionError:
            return None

    def close(self) -> None:
        self._writer.close()
