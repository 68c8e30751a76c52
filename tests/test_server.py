"""The socket server, over real sockets."""

from __future__ import annotations

import contextlib
import errno
import grp
import json
import logging
import os
import selectors
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrd import protocol
from hrd.service.door import Door
from hrd.service.lines import Line, LineBuffer
from hrd.service.listen import listen
from hrd.service.ration import Ration
from hrd.service.server import ServerError, SocketServer
from hrd.status import EngineStatus, Status
from tests.socket_help import PATIENCE_S, RawClient, descriptors, eventually, hr, no_hr, ppg
from tests.socket_help import short_directory as _short_directory

ROOT = Path(__file__).parent.parent
Serve = Callable[..., SocketServer]


@pytest.fixture
def directory() -> Iterator[str]:
    with _short_directory() as path:
        yield path


@pytest.fixture
def path(directory: str) -> str:
    return os.path.join(directory, "hrd.sock")


@pytest.fixture
def serve(path: str) -> Iterator[Serve]:
    """Start servers on ``path`` (or elsewhere) that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def start(at: str = path, **options: Any) -> SocketServer:
            server = SocketServer(at, "1.2.3", **options)
            return stack.enter_context(server)

        yield start


def _python(code: str, *args: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *args], cwd=str(ROOT), **options)


# Conversation.


def test_a_client_that_only_reads_gets_everything(serve: Serve, path: str) -> None:
    server = serve()
    server.publish(no_hr(1))
    server.publish(hr(2))
    with RawClient(path) as first:
        assert first.read() == {"class": "VERSION", "proto": protocol.PROTO, "release": "1.2.3"}
        eventually(lambda: server.stats().sent >= 2, "the first client has been greeted")
        with RawClient(path) as second:
            assert second.read()["class"] == "VERSION"
            assert second.read() == hr(2)  # the newest, once
            server.publish(hr(3))
            assert second.read() == hr(3)
            assert first.read_until("HR")["class"] == "HR"


def test_before_the_first_reading_there_is_none(serve: Serve, path: str) -> None:
    server = serve()
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"
        server.publish(no_hr(7))
        assert client.read() == no_hr(7)


def test_waveform_goes_to_those_who_asked(serve: Serve, path: str) -> None:
    server = serve(status=lambda: Status(uptime_s=1.0))
    with RawClient(path) as plain, RawClient(path) as curious:
        curious.send(b'{"class":"WATCH","ppg":true}\n{"class":"STATUS"}\n')
        assert curious.read_classes(2) == ["VERSION", "STATUS"]
        assert plain.read_classes(1) == ["VERSION"]
        server.publish(ppg(1))
        server.publish(hr(1))
        assert curious.read() == ppg(1)
        assert curious.read() == hr(1)
        assert plain.read() == hr(1)
        curious.send(b'{"class":"WATCH"}\n{"class":"STATUS"}\n')
        assert curious.read()["class"] == "STATUS"
        server.publish(ppg(2))
        server.publish(hr(2))
        assert curious.read() == hr(2)


def test_a_client_that_wants_to_poll_only(serve: Serve, path: str) -> None:
    server = serve()
    server.publish(hr(1))
    with RawClient(path) as client, RawClient(path) as watcher:
        client.send(b'{"class":"WATCH","enable":false}\n{"class":"STATUS"}\n')
        assert client.read_until("STATUS")["class"] == "STATUS"
        for n in (2, 3):
            server.publish(hr(n))
            while watcher.read_until("HR") != hr(n):
                pass
        client.send(b'{"class":"POLL"}\n{"class":"POLL"}\n{"class":"WATCH","enable":true}\n')
        assert client.read() == hr(3)
        assert client.read() == hr(3)
        client.send(b'{"class":"STATUS"}\n')
        assert client.read()["class"] == "STATUS"
        server.publish(hr(4))
        assert client.read() == hr(4)


def test_a_poll_before_the_first_reading_is_answered_by_it(serve: Serve, path: str) -> None:
    server = serve()
    with RawClient(path) as client:
        client.send(b'{"class":"WATCH","enable":false}\n{"class":"POLL"}\n{"class":"STATUS"}\n')
        assert client.read_classes(2) == ["VERSION", "STATUS"]
        server.publish(hr(1))
        assert client.read() == hr(1)
        server.publish(hr(2))
        client.send(b'{"class":"STATUS"}\n')
        assert client.read()["class"] == "STATUS"  # hr(2) was not asked for


def test_status_is_the_daemons_and_the_servers(serve: Serve, path: str) -> None:
    engine = EngineStatus(name="pos", reason="asked for")
    serve(status=lambda: Status(engine=engine, fps=29.5))
    with RawClient(path) as client:
        client.send(b'{"class":"STATUS"}\n')
        status = client.read_until("STATUS")
    assert status["engine"] == {"name": "pos", "reason": "asked for"}
    assert status["fps"] == 29.5
    assert "model" not in status
    assert status["clients"] == {
        "connected": 1,
        "accepted": 1,
        "refused": 0,
        "cut_off": 0,
        "requests": 1,
        "bad_requests": 0,
        "sent": 1,
        "dropped": 0,
    }


def test_a_status_that_fails_is_an_error_and_no_end(
    serve: Serve, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def status() -> Status:
        raise KeyError("jitter")

    server = serve(status=status)
    with RawClient(path) as client:
        client.send(b'{"class":"STATUS"}\n' * 3)
        assert client.read_classes(1) == ["VERSION"]
        for _ in range(3):
            assert client.read() == {
                "class": "ERROR",
                "message": "STATUS failed: KeyError: 'jitter'",
            }
        server.publish(hr(1))
        assert client.read() == hr(1)
    assert len([record for record in caplog.records if record.message == "STATUS failed"]) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1\r",
        b"\x00\x01\x02",
        b"\xff\xfe\xfd",
        b"[" * 4096,
        b'{"class":"POLL","x":' + b"9" * 4000 + b"}",
        b'{"class":"SHUTDOWN"}',
        b'{"class":"WATCH","ppg":null}',
        b"null",
    ],
)
def test_anything_else_is_an_error_and_the_connection_lives_on(
    serve: Serve, path: str, line: bytes
) -> None:
    server = serve()
    with RawClient(path) as client:
        client.send(line + b"\n" + b'{"class":"STATUS"}\n')
        assert client.read_classes(3) == ["VERSION", "ERROR", "STATUS"]
        server.publish(hr(1))
        assert client.read() == hr(1)
    assert server.stats().bad_requests == 1


def test_a_request_in_pieces(serve: Serve, path: str) -> None:
    serve()
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"
        for byte in b'{"class":"STATUS"}\r\n':
            client.send(bytes([byte]))
        assert client.read()["class"] == "STATUS"


def test_a_long_request_is_one_error_and_the_rest_of_it_is_skipped(serve: Serve, path: str) -> None:
    server = serve()
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"
        piece = b"x" * 65536
        for _ in range(16 * 20):  # 20 MiB
            client.send(piece)
        error = client.read()
        assert "longer than 4096 bytes" in error["message"]
        assert len(error["message"]) < 200
        server.publish(hr(1))
        assert client.read() == hr(1)
        client.send(b'"}\n{"class":"STATUS"}\n')
        assert client.read()["class"] == "STATUS"
    assert server.stats().bad_requests == 1


def test_requests_at_the_limit(serve: Serve, path: str) -> None:
    serve()
    request = b'{"class":"STATUS"}'
    with RawClient(path) as client:
        client.send(request.ljust(protocol.MAX_REQUEST_BYTES) + b"\n")
        client.send(request.ljust(protocol.MAX_REQUEST_BYTES + 1) + b"\n")
        client.send(request + b"\n")
        assert client.read_classes(4) == ["VERSION", "STATUS", "ERROR", "STATUS"]


# Clients that behave badly.


def test_a_client_that_never_reads_is_cut_off_and_delays_nobody(
    serve: Serve, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(buffer_limit_bytes=8192, stall_s=1000.0)
    padding = "x" * 200
    with RawClient(path) as good, RawClient(path) as bad, caplog.at_level(logging.INFO):
        assert good.read_classes(1) == ["VERSION"]
        eventually(lambda: server.stats().connected == 2, "both are connected")
        for n in range(1000):  # in lockstep: the good one gets each before the next is made
            server.publish(hr(n, new=padding))
            assert good.read() == hr(n, new=padding)
        stats = server.stats()
        assert (stats.cut_off, stats.connected, stats.dropped) == (1, 1, 0)
        got = _read_to_end(bad.socket)
        # What it is owed before the cut is whole but for the last line.
        lines = got.split(b"\n")
        assert json.loads(lines[1]) == hr(0, new=padding)
        assert 8192 < len(got) < 100_000
    cuts = [record.getMessage() for record in caplog.records if "cut off" in record.message]
    assert len(cuts) == 1
    assert f"pid {os.getpid()}" in cuts[0]
    assert "bytes unread" in cuts[0]


def test_a_client_that_asks_and_never_reads_holds_no_memory(serve: Serve, path: str) -> None:
    server = serve(stall_s=0.2)
    with RawClient(path) as good, RawClient(path) as flood:
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < 100_000_000:
                sent += flood.socket.send(b"garbage\n" * 1000)
        assert sent < 2_000_000  # it was made to wait, and then cut off
        eventually(lambda: server.stats().cut_off == 1, "the flood is cut off")
        server.publish(hr(1))
        assert good.read_until("HR") == hr(1)


def test_a_flood_of_garbage_that_is_read_is_answered_line_by_line(serve: Serve, path: str) -> None:
    server = serve()
    count = 2000
    with RawClient(path) as flood, RawClient(path) as good:
        sender = threading.Thread(
            target=flood.send, args=(b"?\n" * count + b'{"class":"STATUS"}\n',)
        )
        sender.start()
        assert good.read_classes(1) == ["VERSION"]
        for n in range(20):  # readings pass between the garbage
            server.publish(hr(n))
            assert good.read() == hr(n)
        errors = 0
        while True:
            kind = flood.read()["class"]
            errors += kind == "ERROR"
            if kind == "STATUS":
                break
        sender.join()
    assert errors == count
    assert server.stats().bad_requests == count


def test_a_slow_client_that_comes_back_in_time_gets_every_line(serve: Serve, path: str) -> None:
    server = serve(stall_s=1000.0)
    count = 300
    with RawClient(path) as good, RawClient(path) as late:
        eventually(lambda: server.stats().connected == 2, "both are connected")
        assert good.read_classes(1) == ["VERSION"]
        for n in range(count):
            server.publish(hr(n))
            assert good.read() == hr(n)
        assert late.read_classes(1) == ["VERSION"]
        assert [late.read() for _ in range(count)] == [hr(n) for n in range(count)]
        late.send(b'{"class":"STATUS"}\n')  # its requests are read again as well
        assert late.read()["class"] == "STATUS"


def test_many_clients_one_encoding(
    serve: Serve, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    encoded: List[object] = []
    real = protocol.encode

    def counting(message: Any) -> bytes:
        encoded.append(message)
        return real(message)

    monkeypatch.setattr(protocol, "encode", counting)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(path)) for _ in range(250)]
        for client in clients:
            assert client.read()["class"] == "VERSION"
        assert server.stats().connected == 250
        for n in range(3):
            server.publish(hr(n))
        for client in clients:
            assert [client.read() for _ in range(3)] == [hr(n) for n in range(3)]
    assert len(encoded) == 3
    eventually(lambda: server.stats().connected == 0, "all have gone")


def test_requests_and_connections_are_rationed() -> None:
    now_s = [1000.0]
    ration = Ration(clock=lambda: now_s[0])
    for _ in range(3):
        assert [ration.take() for _ in range(65)] == [True] * 64 + [False]
        assert not ration.take()
        assert ration.again_s == pytest.approx(now_s[0] + 0.02)
        now_s[0] += 0.021
    assert [ration.take(4) for _ in range(17)] == [True] * 16 + [False]


def test_no_more_clients_than_allowed(
    serve: Serve, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(max_clients=2)
    with RawClient(path) as first, RawClient(path) as second:
        assert first.read()["class"] == second.read()["class"] == "VERSION"
        for _ in range(3):
            with RawClient(path) as third:
                assert third.read() == {
                    "class": "ERROR",
                    "message": "too many clients: 2 are connected",
                }
                assert third.at_end()
        first.close()
        eventually(lambda: server.stats().connected == 1, "one has gone")
        with RawClient(path) as third:
            assert third.read()["class"] == "VERSION"
    assert server.stats().refused == 3
    assert len([record for record in caplog.records if "refused" in record.message]) == 1


def test_clients_come_and_go(serve: Serve, path: str) -> None:
    server = serve()
    server.publish(hr(1))
    before = descriptors()
    for n in range(300):
        client = RawClient(path)
        if n % 3 == 0:
            client.send(b'{"class":"POLL"}\n' * 5)
        elif n % 3 == 1:
            client.send(b'{"class":')
        client.close()
    eventually(lambda: server.stats().accepted == 300, "all were served")
    eventually(lambda: server.stats().connected == 0, "all have gone")
    assert descriptors() == before


def test_a_half_closed_client_goes_on_reading(serve: Serve, path: str) -> None:
    server = serve(stall_s=0.4)  # looks for those that have gone every 0.1 s
    with RawClient(path) as client:
        client.send(b'{"class":"STATUS"}')  # no newline: the end of input ends the line
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_classes(2) == ["VERSION", "STATUS"]
        for n in range(3):
            server.publish(hr(n))
            assert client.read() == hr(n)
    # It has gone for good now; no reading is needed to find out.
    eventually(lambda: server.stats().connected == 0, "it has gone")


def test_a_half_closed_client_that_only_polls_is_served_and_closed(serve: Serve, path: str) -> None:
    server = serve()
    with RawClient(path) as client:
        client.send(b'{"class":"WATCH","enable":false}\n{"class":"POLL"}\n')
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read()["class"] == "VERSION"
        eventually(lambda: server.stats().requests == 2, "both requests are understood")
        server.publish(hr(1))
        assert client.read() == hr(1)
        assert client.at_end()
    with RawClient(path) as client:
        client.send(b'{"class":"WATCH","enable":false}\n' + b'{"class":"POLL"}\n' * 1000)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read()["class"] == "VERSION"
        for _ in range(1000):  # more than one turn's requests, more than the kernel's buffer
            assert client.read_until("HR") == hr(1)
        client.read_until("HR")  # the one sent at connect
        assert client.at_end()


def test_out_of_descriptors(directory: str, path: str) -> None:
    code = """
import os, resource, sys
from hrd.service.server import SocketServer
with SocketServer(sys.argv[1], "1.2.3") as server:
    used = max(map(int, os.listdir("/proc/self/fd"))) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 5, used + 5))
    print("ready", flush=True)
    sys.stdin.readline()
    print(server.stats().refused, server.running, flush=True)
"""
    child = _python(code, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child, contextlib.ExitStack() as stack:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        clients = [stack.enter_context(RawClient(path)) for _ in range(20)]
        answers = [client.read() for client in clients]  # nobody is left without one
        served = [client for client, answer in zip(clients, answers) if answer["class"] != "ERROR"]
        messages = {answer["message"] for answer in answers if answer["class"] == "ERROR"}
        assert 1 <= len(served) < 20
        assert messages == {"the daemon cannot open more connections: Too many open files"}
        served[0].send(b'{"class":"STATUS"}\n')
        status = served[0].read()
        assert status["clients"]["refused"] == 20 - len(served)
        for client in served:
            client.close()

        def accepted() -> bool:
            with RawClient(path) as client:
                return client.read()["class"] == "VERSION"

        eventually(accepted, "clients are accepted again")
        child.stdin.write(b"\n")
        child.stdin.close()
        assert child.stdout.readline().endswith(b" True\n")
    assert child.returncode == 0
    assert os.listdir(directory) == []


def test_out_of_descriptors_even_for_refusing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may take the spare descriptor: then the queue is left alone for a while."""

    class Exhausted:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.tries = 0

        def accept(self) -> Tuple[socket.socket, Any]:
            self.tries += 1
            if self.tries <= 4:
                self.fail()
            return self.sock.accept()

        def fail(self) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

    listener: Any = listen(path)
    listener.sock = exhausted = Exhausted(listener.sock)
    monkeypatch.setattr(os, "open", lambda *args: exhausted.fail())  # no spare one either
    with selectors.DefaultSelector() as selector, contextlib.closing(
        Door(listener, 10, Ration(), selector, pause_s=100.0)
    ) as door, RawClient(path):
        for _ in range(2):
            assert list(door.come_in(lambda: 0)) == []
            assert door.again_s is not None
            assert door.again_s > time.monotonic() + 50.0  # shut for a while
            assert exhausted.sock not in [key.fileobj for key in selector.get_map().values()]
            door.open_if_due(door.again_s)
            assert door.again_s is None
        (sock,) = door.come_in(lambda: 0)
        sock.close()


# The socket file.


def test_permissions_whatever_the_umask(directory: str) -> None:
    for umask, mode in ((0o000, 0o660), (0o077, 0o660), (0o022, 0o600)):
        path = os.path.join(directory, "run", "hrd.sock")
        old = os.umask(umask)
        try:
            server = SocketServer(path, "1.2.3", mode=mode)
        finally:
            os.umask(old)
        with server:
            assert stat.S_IMODE(os.stat(path).st_mode) == mode
            assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o750
        assert os.listdir(directory) == []  # the directory that it made is gone as well


def test_the_file_is_never_open_to_others(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before chmod, too, it has no more bits than asked for."""
    modes = []
    real = os.chmod

    def chmod(target: Any, mode: int) -> None:
        modes.append(stat.S_IMODE(os.stat(target).st_mode))
        real(target, mode)

    monkeypatch.setattr(os, "chmod", chmod)
    old = os.umask(0)
    try:
        SocketServer(path, "1.2.3").close()
    finally:
        os.umask(old)
    assert modes == [0o660]


def test_group(directory: str) -> None:
    mine = os.getegid()
    others = [entry for entry in grp.getgrall() if entry.gr_gid != mine]
    if os.geteuid() != 0:
        others = [entry for entry in others if entry.gr_gid in os.getgroups()]
    entry = others[0] if others else grp.getgrgid(mine)
    path = os.path.join(directory, "run", "hrd.sock")
    with SocketServer(path, "1.2.3", group=entry.gr_name):
        assert os.stat(path).st_gid == entry.gr_gid
        assert os.stat(os.path.dirname(path)).st_gid == entry.gr_gid
    with SocketServer(path, "1.2.3", group="no such group"):
        assert os.stat(path).st_gid == mine
    with SocketServer(path, "1.2.3", group=None):
        assert os.stat(path).st_gid == mine


def test_a_group_that_may_not_be_given_is_named(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def chown(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "chown", chown)
    other = next(entry for entry in grp.getgrall() if entry.gr_gid != os.getegid())
    SocketServer(path, "1.2.3", group=other.gr_name).close()
    mine = grp.getgrgid(os.getegid()).gr_name
    assert f"{path} stays with the group {mine}, whose members alone may connect" in caplog.text
    assert f"a member of the group {other.gr_name} may give it to that one" in caplog.text


def test_nothing_is_left_behind(directory: str, path: str) -> None:
    threads = threading.active_count()
    before = descriptors()
    server = SocketServer(path, "1.2.3")
    server.start()
    clients = [RawClient(path) for _ in range(5)]
    assert clients[0].read()["class"] == "VERSION"
    server.publish(hr(1))
    server.close()
    server.close()
    server.publish(hr(2))  # a pipeline that is still ending: no harm
    assert not server.running
    for client in clients[1:]:
        assert client.read_classes(2) == ["VERSION", "HR"]  # what was published before is sent
        assert client.at_end()
    for client in clients:
        client.close()
    assert threading.active_count() == threads
    assert descriptors() == before
    assert os.listdir(directory) == []


def test_never_started_leaves_nothing_behind(directory: str, path: str) -> None:
    before = descriptors()
    server = SocketServer(path, "1.2.3")
    assert os.listdir(directory) == ["hrd.sock"]
    server.close()
    assert os.listdir(directory) == []
    assert descriptors() == before


def test_a_stale_socket_is_replaced(serve: Serve, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
        dead.listen(1)
    assert os.path.exists(path)
    serve()
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"


def test_after_kill_9_the_socket_is_usable_again(serve: Serve, path: str) -> None:
    code = """
import sys
from hrd.service.server import SocketServer
with SocketServer(sys.argv[1], "1.2.3"):
    print("ready", flush=True)
    sys.stdin.read()
"""
    with _python(code, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        with pytest.raises(ServerError, match=f"already listening on {path} .process {child.pid}."):
            serve()
        child.send_signal(signal.SIGKILL)
    assert os.path.exists(path)
    serve()
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"


def test_a_live_socket_is_refused_and_left_alone(serve: Serve, path: str) -> None:
    serve()
    with pytest.raises(ServerError, match="another hrd is already listening on") as caught:
        SocketServer(path, "1.2.3")
    assert path in str(caught.value)
    assert "--socket" in str(caught.value)
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"


def test_a_live_socket_with_a_full_queue_is_refused(path: str) -> None:
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        busy.bind(path)
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(10):
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting.setblocking(False)
                waiting.connect(path)
        with pytest.raises(ServerError, match="already listening"):
            SocketServer(path, "1.2.3")
        assert os.path.exists(path)


def test_of_many_daemons_at_once_one_wins(path: str) -> None:
    for _ in range(10):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(path)
        barrier = threading.Barrier(5)
        made: List[SocketServer] = []
        refused: List[ServerError] = []

        def start(
            barrier: threading.Barrier = barrier,
            made: List[SocketServer] = made,
            refused: List[ServerError] = refused,
        ) -> None:
            barrier.wait()
            try:
                made.append(SocketServer(path, "1.2.3"))
            except ServerError as error:
                refused.append(error)

        threads = [threading.Thread(target=start) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(made), len(refused)) == (1, 4)
        with made[0], RawClient(path) as client:
            assert client.read()["class"] == "VERSION"


@pytest.mark.parametrize("kind", ["file", "directory", "symlink", "datagram"])
def test_what_is_not_ours_is_left_alone(path: str, kind: str) -> None:
    other: List[socket.socket] = []
    if kind == "file":
        Path(path).write_text("precious")
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink("/dev/null", path)
    else:
        other.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        other[0].bind(path)
    before = os.lstat(path)
    with pytest.raises(ServerError) as caught:
        SocketServer(path, "1.2.3")
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.lstat(path).st_ino == before.st_ino
    for sock in other:
        sock.close()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{}/none/of/this/hrd.sock", "mkdir -p"),
        ("{}/" + "x" * 120, "may be 107"),
        ("{}/a\0b", "NUL"),
        ("/dev/null/hrd.sock", "/dev/null is not a directory"),
        ("/sys/hrd/hrd.sock", "Cannot make the directory /sys/hrd"),
        ("/proc/hrd.sock", "Cannot make the socket /proc/hrd.sock"),
    ],
)
def test_a_path_where_no_socket_can_be(directory: str, bad: str, says: str) -> None:
    before = descriptors()
    with pytest.raises(ServerError) as caught:
        SocketServer(bad.format(directory), "1.2.3")
    assert says in str(caught.value)
    assert "--socket" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(directory) == []
    assert descriptors() == before


def test_a_directory_that_may_not_be_written(directory: str) -> None:
    code = """
import os, sys
from hrd.service.server import ServerError, SocketServer
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for path in sys.argv[1:]:
    try:
        SocketServer(path, "1.2.3")
    except ServerError as error:
        print(error)
"""
    os.chmod(directory, 0o555)
    paths = [os.path.join(directory, "hrd.sock"), os.path.join(directory, "run", "hrd.sock")]
    with _python(code, *paths, stdout=subprocess.PIPE) as child:
        out, _ = child.communicate(timeout=PATIENCE_S)
    os.chmod(directory, 0o755)
    lines = out.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"Cannot make the socket {paths[0]} (Permission denied): run hrd as")
    assert lines[1].startswith(f"Cannot make the directory {directory}/run for the socket (Perm")
    assert child.returncode == 0


def test_a_file_put_in_our_place_is_not_removed(path: str) -> None:
    with SocketServer(path, "1.2.3"):
        os.unlink(path)
        Path(path).write_text("somebody else's")
    assert Path(path).read_text() == "somebody else's"


def test_a_file_removed_meanwhile_is_no_trouble(directory: str, path: str) -> None:
    with SocketServer(path, "1.2.3"):
        os.unlink(path)
    assert os.listdir(directory) == []


def test_a_socket_that_somebody_else_listens_on(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as theirs:
        theirs.bind(path)
        os.chmod(path, 0o600)
        theirs.listen(5)
        with SocketServer("ignored", "1.2.3", listen_socket=theirs.dup()) as server:
            assert server.path == path
            with RawClient(path) as client:
                assert client.read()["class"] == "VERSION"
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600  # theirs to make and to remove


def test_a_socket_that_cannot_be_listened_on_is_refused(path: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.listen(1)
        with pytest.raises(ServerError, match="not a listening UNIX stream socket"):
            SocketServer(path, "1.2.3", listen_socket=other)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(path)
        with pytest.raises(ServerError, match="not a listening UNIX stream socket"):
            SocketServer(path, "1.2.3", listen_socket=other)


# Publishing.


@pytest.mark.parametrize("message", [{"class": "STATUS"}, {}, {"class": "VERSION"}])
def test_only_readings_and_waveform_are_published(path: str, message: Dict[str, Any]) -> None:
    with SocketServer(path, "1.2.3") as server, pytest.raises(ValueError, match="only HR, PPG"):
        server.publish(message)


def test_publishing_never_waits_and_drops_are_counted(path: str) -> None:
    server = SocketServer(path, "1.2.3")  # not started: nobody takes the messages
    for n in range(1000):
        server.publish(hr(n))
    assert server.stats().dropped == 1000 - 256
    with server, RawClient(path) as client:
        assert client.read()["class"] == "VERSION"
        newest = client.read()
        while newest != hr(999):  # the oldest were dropped, the newest is kept
            newest = client.read()


def test_publishing_from_many_threads(serve: Serve, path: str) -> None:
    server = serve()
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"

        def publish(first: int) -> None:
            for n in range(first, first + 50):
                server.publish(hr(n))

        threads = [threading.Thread(target=publish, args=(1000 * k,)) for k in range(5)]
        for thread in threads:
            thread.start()
        got = [int(client.read()["time"]) - 1_700_000_000 for _ in range(250)]
        for thread in threads:
            thread.join()
    for k in range(5):  # all of them, and each thread's in order
        assert [n for n in got if n // 1000 == k] == list(range(1000 * k, 1000 * k + 50))


class Fault(BaseException):
    """Not an error that a STATUS may have."""


def test_a_failing_thread_says_so_and_cleans_up(
    directory: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    failures: List[BaseException] = []
    fault = Fault("broken")

    def status() -> Status:
        raise fault

    server = SocketServer(path, "1.2.3", status, on_failure=failures.append)
    server.start()
    with RawClient(path) as client:
        assert client.read()["class"] == "VERSION"
        client.send(b'{"class":"STATUS"}\n')
        assert client.at_end()
    eventually(lambda: not server.running, "the thread has ended")
    assert failures == [fault]
    assert "the socket server failed" in caplog.text
    server.publish(hr(1))
    server.close()
    assert os.listdir(directory) == []


def test_who_connects_is_logged_at_debug(
    serve: Serve, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="hrd.service.server"):
        serve()
        with RawClient(path) as client:
            assert client.read()["class"] == "VERSION"
    assert (
        f"client connected: pid {os.getpid()}, uid {os.getuid()}, gid {os.getgid()}" in caplog.text
    )


# Lines.


@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"a\nb\n", b"\n\n"]), max_size=20),
    st.integers(1, 10),
)
def test_lines_do_not_depend_on_how_the_bytes_came(pieces: List[bytes], limit: int) -> None:
    buffer = LineBuffer(limit)
    lines: List[Line] = []

    def take_all() -> None:
        while buffer.ready:
            line = buffer.take()
            assert line is not None
            lines.append(line)
        assert buffer.take() is None

    for piece in pieces:
        buffer.feed(piece)
        take_all()
    buffer.finish()
    take_all()
    whole = b"".join(pieces)
    expected = whole.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert lines == [Line(line[:limit], len(line) > limit) for line in expected]


def test_a_line_without_end_takes_no_memory() -> None:
    buffer = LineBuffer(4096)
    piece = b"x" * 16384
    tracemalloc.start()
    try:
        lines = 0
        for _ in range(2000):  # 32 MB
            buffer.feed(piece)
            while buffer.ready:
                lines += buffer.take() is not None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert lines == 1
    assert peak < 200_000


def _read_to_end(sock: socket.socket) -> bytes:
    got = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while True:
            data = sock.recv(65536)
            if not data:
                break
            got += data
    return bytes(got)
