"""The client for asyncio, against the real server: the same words as the other's."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any, Awaitable, Callable, Iterator, List

import pytest

from hrd import AsyncClient, Client, ClientError
from hrd.client import NoDaemonError
from hrd.service.server import SocketServer
from hrd.status import Status
from tests.socket_help import PATIENCE_S, hr, no_hr, ppg, short_directory


@pytest.fixture
def path() -> Iterator[str]:
    with short_directory() as directory:
        yield os.path.join(directory, "hrd.sock")


def run(test: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(test(), PATIENCE_S))


def test_its_words_are_the_other_clients() -> None:
    def public(kind: type) -> List[str]:
        return [name for name in vars(kind) if not name.startswith("_")]

    assert set(public(AsyncClient)) == set(public(Client)) | {"open"}
    assert inspect.signature(AsyncClient) == inspect.signature(Client)


def test_readings_poll_status_and_waveform(path: str) -> None:
    async def test() -> None:
        with SocketServer(path, "1.2.3", lambda: Status(uptime_s=4.0)) as server:
            server.publish(no_hr(1))
            async with AsyncClient(path) as client:
                assert client.release == "1.2.3"
                readings = client.__aiter__()
                assert (await readings.__anext__()).reason == "NO_FACE"
                server.publish(hr(2))
                assert (await readings.__anext__()).bpm == 72.0
                assert (await client.poll()).time_s == 1_700_000_002.0
                assert (await client.status())["uptime_s"] == 4.0
                messages = client.messages(ppg=True)
                assert [(await messages.__anext__())["class"] for _ in range(2)] == [
                    "VERSION",
                    "HR",
                ]
                while server.stats().requests < 5:  # 2 of poll, 2 of status, then WATCH
                    await asyncio.sleep(0)
                server.publish(ppg(3))
                assert await messages.__anext__() == ppg(3)

    run(test)


def test_it_reconnects(path: str) -> None:
    async def test() -> None:
        lost: List[ClientError] = []
        async with AsyncClient(path, reconnect=True, on_lost=lost.append) as client:
            seen: List[float] = []

            async def read() -> None:
                async for reading in client:
                    seen.append(reading.time_s - 1_700_000_000.0)

            async def until(condition: Callable[[], bool]) -> None:
                while not condition():
                    await asyncio.sleep(0.001)

            task = asyncio.ensure_future(read())
            await until(lambda: len(lost) == 1)  # none is there yet
            for n in (1, 2):
                with SocketServer(path, "1.2.3") as server:
                    server.publish(hr(n))
                    await until(lambda: len(seen) == n)  # noqa: B023 - awaited at once
                await until(lambda: len(lost) == n + 1)  # noqa: B023
            client.close()
            await task
            assert seen == [1.0, 2.0]
            assert isinstance(lost[0], NoDaemonError)

    run(test)


def test_without_a_daemon_it_says_what_the_other_says(path: str) -> None:
    async def test() -> None:
        async with AsyncClient(path):
            pass

    with pytest.raises(NoDaemonError) as caught:
        run(test)
    with pytest.raises(NoDaemonError) as other:
        Client(path)
    assert str(caught.value) == str(other.value)


def test_the_daemon_goes_away(path: str) -> None:
    async def test() -> None:
        with SocketServer(path, "1.2.3") as server:
            server.publish(hr(1))
            client = AsyncClient(path)
            readings = client.__aiter__()
            await readings.__anext__()
        await readings.__anext__()

    with pytest.raises(ClientError, match="closed the connection"):
        run(test)


def test_silence_and_too_long_a_line(path: str) -> None:
    async def speak(*data: bytes) -> asyncio.AbstractServer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for piece in data:
                writer.write(piece)

        return await asyncio.start_unix_server(serve, path)

    async def silent() -> None:
        async with await speak():
            await AsyncClient(path, timeout_s=0.05).open()

    with pytest.raises(ClientError, match="Nothing came"):
        run(silent)
    os.unlink(path)

    async def endless() -> None:
        async with await speak(b"x" * (5 * 1024 * 1024)):
            await AsyncClient(path).open()

    with pytest.raises(ClientError, match="sends no lines"):
        run(endless)
