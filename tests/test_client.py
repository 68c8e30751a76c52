"""The Python client, against the real server and against strange ones."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import hrd
from hrd import Client, ClientError, HeartRate, protocol
from hrd.client import NoDaemonError
from hrd.errors import HrdError
from hrd.protocol import PROTO
from hrd.service.server import SocketServer
from hrd.status import Status
from tests.socket_help import (
    PATIENCE_S,
    RawClient,
    descriptors,
    eventually,
    hr,
    no_hr,
    ppg,
    short_directory,
)

ROOT = Path(__file__).parent.parent


@pytest.fixture
def path() -> Iterator[str]:
    with short_directory() as directory:
        yield os.path.join(directory, "hrd.sock")


@pytest.fixture
def server(path: str) -> Iterator[SocketServer]:
    with SocketServer(path, "1.2.3", lambda: Status(uptime_s=4.0)) as running:
        yield running


@contextlib.contextmanager
def strange_daemon(path: str, *lines: bytes, stay: bool = False) -> Iterator[None]:
    """Says ``lines`` to whoever connects, then closes (or ``stay``s until the end)."""
    end = threading.Event()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(5)

        def serve() -> None:
            kept = []
            while True:
                connection, _ = listener.accept()
                if end.is_set():
                    connection.close()
                    break
                with contextlib.suppress(OSError):
                    connection.sendall(b"".join(lines))
                if stay:
                    kept.append(connection)
                else:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_WR)
                    kept.append(connection)
            for connection in kept:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            end.set()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
                last.connect(path)
            thread.join()


def _lines(*messages: Dict[str, Any]) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


VERSION = {"class": "VERSION", "proto": "1.0", "release": "1.2.3"}


# With the real server.


def test_iterating_gives_readings(server: SocketServer, path: str) -> None:
    server.publish(no_hr(1))
    with Client(path) as client:
        assert client.release == "1.2.3"
        readings = iter(client)
        assert next(readings) == HeartRate(
            time_s=1_700_000_001.0, state="no_face", reason="NO_FACE", fps=30.0
        )
        server.publish(hr(2))
        reading = next(readings)
        assert reading == HeartRate(
            time_s=1_700_000_002.0,
            state="tracking",
            bpm=72.0,
            confidence=0.9,
            fps=30.0,
            latency_ms=41.0,
        )
        assert reading.tracking
        with pytest.raises(AttributeError):
            reading.bpm = 60.0  # type: ignore[misc]


def test_messages_and_lines(server: SocketServer, path: str) -> None:
    server.publish(hr(1))
    with Client(path) as client:
        messages = client.messages(ppg=True)
        assert [next(messages)["class"] for _ in range(2)] == ["VERSION", "HR"]
        eventually(lambda: server.stats().requests == 1, "the request for PPG is understood")
        server.publish(ppg(2))
        assert next(messages) == ppg(2)
        lines = client.lines()
        assert next(lines) == protocol.encode(protocol.version_message("1.2.3"))
        assert next(lines) == protocol.encode(hr(1))


def test_poll_and_status_do_not_disturb_the_stream(server: SocketServer, path: str) -> None:
    server.publish(hr(1))
    with Client(path) as client:
        readings = iter(client)
        assert next(readings).time_s == 1_700_000_001.0
        for n in range(2, 5):
            server.publish(hr(n))
        assert client.status()["uptime_s"] == 4.0
        assert client.poll().time_s == 1_700_000_004.0
        assert [next(readings).time_s - 1_700_000_000 for _ in range(3)] == [2.0, 3.0, 4.0]


def test_poll_waits_for_the_first_reading(server: SocketServer, path: str) -> None:
    client = Client(path)
    answers: List[HeartRate] = []
    thread = threading.Thread(target=lambda: answers.append(client.poll()))
    thread.start()
    eventually(lambda: server.stats().requests == 2, "the poll is understood")
    assert answers == []
    server.publish(hr(1))
    thread.join(PATIENCE_S)
    assert [answer.time_s for answer in answers] == [1_700_000_001.0]


def test_leaving_the_loop_closes_the_connection(server: SocketServer, path: str) -> None:
    before = descriptors()
    server.publish(hr(1))
    client = Client(path)
    for reading in client:
        assert reading.tracking
        break
    eventually(lambda: server.stats().connected == 0, "the connection is closed")
    client.close()
    client.close()
    assert descriptors() == before
    with pytest.raises(ClientError, match="has been closed"):
        client.poll()


def test_closing_from_another_thread_ends_the_loop(server: SocketServer, path: str) -> None:
    client = Client(path, timeout_s=None)
    got: List[HeartRate] = []
    thread = threading.Thread(target=lambda: got.extend(client))
    thread.start()
    eventually(lambda: server.stats().connected == 1, "it reads")
    client.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert got == []


def test_the_daemon_goes_away(server: SocketServer, path: str) -> None:
    server.publish(hr(1))
    with Client(path) as client:
        readings = iter(client)
        assert next(readings).tracking
        server.close()
        with pytest.raises(ClientError, match="closed the connection") as caught:
            next(readings)
        assert path in str(caught.value)
        with pytest.raises(NoDaemonError):
            client.poll()


def test_too_many_clients(path: str) -> None:
    with SocketServer(path, "1.2.3", max_clients=1), RawClient(path) as first:
        assert first.read()["class"] == "VERSION"
        with pytest.raises(ClientError, match="says: too many clients: 1 are connected"):
            Client(path)


def test_a_status_that_fails(path: str) -> None:
    def status() -> Status:
        raise ValueError("no idea")

    with SocketServer(path, "1.2.3", status):
        client = Client(path)
        with pytest.raises(ClientError, match="The daemon says: STATUS failed"):
            client.status()


# With reconnect=True.


def test_an_iteration_goes_on_with_the_next_daemon(path: str) -> None:
    lost: List[ClientError] = []
    with Client(path, reconnect=True, on_lost=lost.append) as client:  # none is there yet
        readings = iter(client)
        for release, n in (("1.0", 1), ("1.1", 2)):
            with SocketServer(path, release) as server:
                server.publish(hr(n))
                assert next(readings).time_s == 1_700_000_000.0 + n
                assert client.release == release
                assert client.poll().time_s == 1_700_000_000.0 + n
        assert len(lost) == 1  # the second daemon's end has not been looked at
        assert "closed the connection" in str(lost[0])


def test_closing_ends_the_wait_for_a_daemon(path: str) -> None:
    waiting = threading.Event()
    client = Client(path, reconnect=True, on_lost=lambda error: waiting.set())
    got: List[HeartRate] = []
    thread = threading.Thread(target=lambda: got.extend(client))
    thread.start()
    assert waiting.wait(PATIENCE_S)
    client.close()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert got == []


def test_a_question_waits_for_the_daemon_as_long_as_it_is_told(path: str) -> None:
    with pytest.raises(NoDaemonError):
        Client(path, timeout_s=0.3, reconnect=True).status()


def test_what_waiting_cannot_mend_is_raised_all_the_same(path: str) -> None:
    version = {"class": "VERSION", "proto": "2.0", "release": "3.1"}
    with strange_daemon(path, _lines(version)), pytest.raises(ClientError, match="protocol 2.0"):
        Client(path, reconnect=True)
    with pytest.raises(ClientError, match="too long"):
        Client("/tmp/" + "x" * 200, reconnect=True)


def test_a_daemon_that_falls_silent_is_left_for_the_next(path: str) -> None:
    lost: List[ClientError] = []
    with strange_daemon(path, _lines(VERSION, hr(1)), stay=True):
        client = Client(path, timeout_s=0.1, reconnect=True, on_lost=lost.append)
        readings = iter(client)
        assert [next(readings).time_s for _ in range(2)] == [1_700_000_001.0] * 2
    assert "Nothing came" in str(lost[0])
    client.close()


# With strange ones.


def test_new_fields_classes_and_states_are_tolerated(path: str) -> None:
    lines = _lines(
        {"class": "VERSION", "proto": "1.7", "release": "9.9", "new": 1},
        {"class": "SPO2", "percent": 98},
        {"no class": "at all"},
        {"class": "HR", "time": 5, "state": "tracking", "bpm": 60, "confidence": 1, "hrv_ms": 40},
        {"class": "HR", "time": 6.5, "state": "asleep", "reason": "LATE"},
    )
    with strange_daemon(path, lines, stay=True), Client(path) as client:
        readings = iter(client)
        first, second = next(readings), next(readings)
        assert first == HeartRate(time_s=5.0, state="tracking", bpm=60, confidence=1)
        assert first.extra == {"hrv_ms": 40}
        assert (second.state, second.reason, second.tracking) == ("asleep", "LATE", False)
        messages = client.messages()
        assert [next(messages).get("class") for _ in range(3)] == ["VERSION", "SPO2", None]


def test_another_major_protocol_is_refused(path: str) -> None:
    version = {"class": "VERSION", "proto": "2.0", "release": "3.1"}
    with strange_daemon(path, _lines(version)), pytest.raises(ClientError) as caught:
        Client(path)
    assert "protocol 2.0" in str(caught.value)
    assert f"protocol {PROTO}" in str(caught.value)
    assert "install the same release of hrd for both" in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b'{"class":"HR","time":1,"state":"unsure"}\n',
        b'{"class":"VERSION"}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_not_hrd_is_named_so(path: str, said: bytes) -> None:
    with strange_daemon(path, said), pytest.raises(ClientError, match="is not hrd") as caught:
        Client(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_stream_without_lines(path: str) -> None:
    with strange_daemon(path, b"x" * (5 * 1024 * 1024)), pytest.raises(ClientError) as caught:
        Client(path)
    assert "sends no lines" in str(caught.value)


def test_nothing_but_the_end(path: str) -> None:
    with strange_daemon(path), pytest.raises(ClientError, match="closed the connection at once"):
        Client(path)


def test_half_a_line_at_the_end_is_no_message(path: str) -> None:
    with strange_daemon(path, _lines(VERSION, hr(1)) + b'{"class":"HR","ti'):
        readings = iter(Client(path))
        assert next(readings).tracking
        with pytest.raises(ClientError, match="closed the connection"):
            next(readings)


def test_a_reading_without_state(path: str) -> None:
    with strange_daemon(path, _lines(VERSION, {"class": "HR", "time": 1.0})):
        readings = iter(Client(path))
        with pytest.raises(ClientError, match="without time or state"):
            next(readings)


def test_silence(path: str) -> None:
    with strange_daemon(path, stay=True), pytest.raises(ClientError, match="for 0.05 s"):
        Client(path, timeout_s=0.05)
    os.unlink(path)
    with strange_daemon(path, _lines(VERSION), stay=True):
        with pytest.raises(ClientError, match="Nothing came .* systemctl status hrd"):
            next(iter(Client(path, timeout_s=0.05)))
        with pytest.raises(ClientError, match="Nothing came"):
            Client(path, timeout_s=0.05).poll()


def test_a_daemon_that_does_not_accept(path: str) -> None:
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        busy.bind(path)
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(10):
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting.setblocking(False)
                waiting.connect(path)
        with pytest.raises(ClientError, match="does not answer"):
            Client(path, timeout_s=0.05)


# No daemon.


def test_no_daemon(path: str) -> None:
    with pytest.raises(NoDaemonError, match="does not exist: start it with: sudo systemctl start"):
        Client(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
    with pytest.raises(NoDaemonError, match="no longer running: start it with"):
        Client(path)
    os.unlink(path)
    Path(path).write_text("")
    with pytest.raises(ClientError, match="is not a socket"):
        Client(path)
    with pytest.raises(HrdError, match="Cannot connect to .*/hrd.sock/x"):
        Client(path + "/x")
    with pytest.raises(HrdError, match="too long"):
        Client("/tmp/" + "x" * 200)


def test_not_allowed(server: SocketServer, path: str) -> None:
    code = """
import os, sys
from hrd import Client, ClientError
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    Client(sys.argv[1])
except ClientError as error:
    print(error)
"""
    os.chmod(os.path.dirname(path), 0o000)
    done = subprocess.run(
        [sys.executable, "-c", code, path], cwd=str(ROOT), stdout=subprocess.PIPE, check=True
    )
    os.chmod(os.path.dirname(path), 0o700)
    assert done.stdout.decode() == (
        f"You may not use {path}:"
        " join its group with sudo usermod -aG hrd $USER and log in again.\n"
    )


# The package.


def test_importing_the_client_imports_nothing_heavy() -> None:
    code = "import sys; from hrd import Client; print([m for m in sys.modules if '.' not in m])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=str(ROOT), stdout=subprocess.PIPE, check=True
    )
    loaded = done.stdout.decode()
    assert "'socket'" in loaded
    for name in ("numpy", "scipy", "cv2", "asyncio", "torch", "onnxruntime", "mediapipe"):
        assert f"'{name}'" not in loaded


def test_the_package_offers_the_client_and_nothing_that_is_not_there() -> None:
    assert hrd.Client is Client
    assert set(hrd.__all__) >= {"Client", "ClientError", "HeartRate"}
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        hrd.Nothing  # type: ignore[attr-defined]  # noqa: B018
