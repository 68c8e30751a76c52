"""``hrd web``: who may look, and that what is shown is what the daemon says."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import re
import socket
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from hrd.cli.main import main
from hrd.errors import UsageError
from hrd.protocol import features_message
from hrd.service.server import SocketServer
from hrd.wire import HeartRate
from tests.socket_help import PATIENCE_S, RawClient, eventually, hr, no_hr, ppg, short_directory

pytest.importorskip("aiohttp")

from hrd.web.app import PAGES, Site, serving  # noqa: E402
from hrd.web.guard import Guard, Listen, Rates, host_of, own_names, parse_listen  # noqa: E402
from hrd.web.history import History  # noqa: E402
from hrd.web.hub import Hub  # noqa: E402
from hrd.web.patience import Patience  # noqa: E402

TOKEN = "0123456789abcdef-secret"
STATIC = Path(__file__).parent.parent / "hrd" / "web" / "static"


class Web:
    """The server in a thread of its own."""

    def __init__(self, path: str, guard: Guard, viewers: int = 8, patience_s: float = 15.0) -> None:
        self._patience_s = patience_s
        self._ready = threading.Event()
        self._path, self._guard, self._viewers = path, guard, viewers
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    async def _main(self) -> None:
        self._loop = asyncio.get_event_loop()
        self._stop = asyncio.Event()
        self.hub = Hub(self._path, lambda text: None)
        patience = Patience(self._patience_s)
        self.site = Site(self.hub, self._guard, self._viewers, patience)
        async with serving(self.site, Listen("127.0.0.1", 0)) as self.port:
            reading = self._loop.create_task(self.hub.run())
            self._ready.set()
            await self._stop.wait()
            self.hub.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def __enter__(self) -> Web:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def ask(
        self, path: str = "/", method: str = "GET", body: Any = None, **headers: str
    ) -> Tuple[int, Dict[str, str], str]:
        """Status, headers and text of an answer; an underscore in a header's name is a hyphen."""
        connection = self.connection()
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()

    @contextlib.contextmanager
    def events(self, query: str = "") -> Iterator[Iterator[Dict[str, Any]]]:
        """The messages of an event stream."""
        connection = self.connection()
        connection.request("GET", f"/events{query}")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/event-stream"

        def messages() -> Iterator[Dict[str, Any]]:
            while True:
                line = answer.readline()
                if not line:
                    return
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

        try:
            yield messages()
        finally:
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
            answer.close()
            connection.close()


@pytest.fixture
def path() -> Iterator[str]:
    with short_directory() as directory:
        yield os.path.join(directory, "hrd.sock")


@pytest.fixture
def daemon(path: str) -> Iterator[SocketServer]:
    with SocketServer(path, "1.2.3") as server:
        yield server


@pytest.fixture
def web(daemon: SocketServer, path: str) -> Iterator[Web]:
    with Web(path, Guard(loopback=True)) as running:
        yield running


@pytest.fixture
def open_web(daemon: SocketServer, path: str) -> Iterator[Web]:
    """As it is for a network: with a token."""
    with Web(path, Guard(False, TOKEN, frozenset(("board",)))) as running:
        yield running


# What is shown.


@pytest.mark.parametrize("page", list(PAGES))
def test_every_page_is_there_and_names_no_other_host(web: Web, page: str) -> None:
    status, headers, text = web.ask(page)
    assert status == 200
    hosts = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text))
    assert hosts <= {"http://www.w3.org"}  # the name of SVG, which nobody asks
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|style=", text)  # what the policy forbids


def test_the_numbers_are_the_sockets(web: Web, daemon: SocketServer, path: str) -> None:
    with RawClient(path) as plain, web.events() as events:
        plain.send(b'{"class":"WATCH","ppg":true}\n')
        eventually(lambda: daemon.stats().requests >= 2, "both have asked for the wave")
        for n in range(5):
            daemon.publish(ppg(n))
            daemon.publish(hr(n) if n != 3 else no_hr(n))
        wanted = [plain.read() for _ in range(11)]
        got: List[Dict[str, Any]] = []
        while len(got) < 11:
            message = next(events)
            if message["class"] not in ("GONE", "STATUS"):
                got.append(message)
        assert got == wanted


def test_a_page_opened_later_begins_with_the_newest(web: Web, daemon: SocketServer) -> None:
    eventually(lambda: daemon.stats().requests == 1, "the hub has asked for the wave")
    for n in range(3):
        daemon.publish(ppg(n))
        daemon.publish(hr(n))
    eventually(lambda: len(web.hub.history) == 3, "the hub has read them")
    with web.events() as events:
        seen = [next(events) for _ in range(3)]
    assert [m["class"] for m in seen[:2]] == ["VERSION", "HR"]
    assert seen[1] == hr(2)
    recent = json.loads(web.ask("/recent.json")[2])
    assert recent["rates"] == []  # these are of 2023
    rows = web.ask("/history.csv")[2].splitlines()
    assert len(rows) == 4
    assert rows[3].split(",")[2:5] == ["tracking", "72.0", "0.9"]


def test_a_daemon_that_goes_is_said_at_once_and_the_next_one_taken_up(path: str) -> None:
    with Web(path, Guard(loopback=True)) as web, web.events() as events:
        assert next(events)["class"] == "GONE"
        for n in range(2):
            with SocketServer(path, "1.2.3") as daemon:
                assert next(events)["class"] == "VERSION"
                daemon.publish(hr(n))
                assert next(events) == hr(n)
            message = next(events)
            assert message["class"] == "GONE"
            assert "waiting for it" in message["message"]


def test_the_camera_is_described_while_somebody_looks(web: Web, daemon: SocketServer) -> None:
    setup = {"class": "SETUP", "time": 1_700_000_000.0, "in_the_way": ["NO_FACE"]}
    with web.events() as plain:
        with web.events("?setup=1") as asking:
            eventually(lambda: daemon.wanted("SETUP"), "it is asked for")
            daemon.publish(setup)
            daemon.publish(hr(1))
            seen = [next(asking) for _ in range(3)]
            assert setup in seen
        eventually(lambda: not daemon.wanted("SETUP"), "it is asked for no longer")
        classes = []
        while "HR" not in classes:
            classes.append(next(plain)["class"])
        assert "SETUP" not in classes


def test_why_the_confidence_is_what_it_is(web: Web, daemon: SocketServer) -> None:
    features = {"snr_db": 7.0, "share_logit": 0.0, "posterior_logit": 1.0}
    explain = {
        "bpm": 61.5,
        "confidence": 0.4,
        "start_log_odds": 0.25,
        "features": {n: {"value": v, "log_odds": -0.5} for n, v in features.items()},
        "gate": "confidence under 0.8",
    }
    with web.events() as events:
        eventually(lambda: daemon.wanted("FEATURES"), "it is asked for")
        daemon.publish(features_message(1_700_000_000.0, "onnx", explain))
        told = next(message for message in events if message["class"] == "WHY")
    assert told["weights"] == [
        {
            "name": "strength of the pulse",
            "log_odds": -1.5,
            "measured": "7.0 dB; 50 % of it at this rate",
        }
    ]
    assert (told["confidence"], told["start"], told["gate"]) == (0.4, 0.25, "confidence under 0.8")
    assert "61.5" not in json.dumps(told)  # an estimate that was held back is no reading


# Who may look.


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8088", "localhost:9000", "[::1]:8088", "LOCALHOST."]
)
def test_own_hosts(web: Web, host: str) -> None:
    assert web.ask(Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8088", "localhost.evil.example", "192.168.1.5", "", "["]
)
def test_foreign_hosts_are_refused(web: Web, host: str) -> None:
    assert web.ask(Host=host)[0] in (400, 421)
    assert web.ask("/events", Host=host)[0] in (400, 421)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
    ],
)
def test_other_sites_may_not_read(web: Web, headers: Dict[str, str]) -> None:
    for target in ("/events", "/recent.json", "/history.csv"):
        assert web.ask(target, Host="localhost:8088", **headers)[0] == 403


def test_a_link_from_elsewhere_and_the_page_itself_may(web: Web) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert web.ask("/", **link)[0] == 200
    own = {"Host": "localhost:8088", "Origin": "http://localhost:8088"}
    assert web.ask("/recent.json", **own)[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(web: Web, method: str) -> None:
    assert web.ask("/", method)[0] == 405


def test_oversized_requests_are_refused(web: Web) -> None:
    assert web.ask("/", body=b"x" * 10)[0] == 413
    assert web.ask("/", Cookie="x" * 10_000)[0] == 400
    assert web.ask("/?" + "x" * 10_000)[0] == 400
    assert web.ask("/")[0] == 200  # and the next one is answered


@pytest.mark.parametrize(
    "target", ["/nothing", "/../hrd.js", "/static/hrd.js", "/%2e%2e/app.py", "//etc/passwd"]
)
def test_there_is_nothing_else(web: Web, target: str) -> None:
    assert web.ask(target)[0] == 404


def test_without_the_token_nothing_is_told(open_web: Web) -> None:
    for target in (*PAGES, "/events", "/recent.json", "/words.json", "/history.csv"):
        status, _, text = open_web.ask(target)
        assert status == 401
        assert TOKEN not in text
    assert open_web.ask("/?token=wrong")[0] == 401
    assert open_web.ask("/", Cookie="hrd_token=wrong")[0] == 401
    assert open_web.ask("/", Authorization=f"Bearer {TOKEN}x")[0] == 401


def test_with_the_token_it_moves_into_a_cookie(open_web: Web) -> None:
    status, headers, _ = open_web.ask(f"/overlay?token={TOKEN}", Host="board:8088")
    assert status == 303
    assert headers["Location"] == "/overlay"
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert open_web.ask("/overlay", Cookie=cookie.partition(";")[0])[0] == 200
    assert open_web.ask("/recent.json", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_guessing_a_token_is_slow(open_web: Web) -> None:
    answers = [open_web.ask(f"/?token=guess{n}")[0] for n in range(12)]
    assert answers == [401] * 10 + [429] * 2
    assert open_web.ask("/", Authorization=f"Bearer {TOKEN}")[0] == 200


def test_in_a_network_names_must_be_known_and_addresses_may(open_web: Web) -> None:
    bearer = f"Bearer {TOKEN}"
    for host, status in (("board", 200), ("192.168.1.5:8088", 200), ("evil.example", 421)):
        assert open_web.ask(Host=host, Authorization=bearer)[0] == status


def test_only_so_many_pages_at_once(daemon: SocketServer, path: str) -> None:
    with Web(path, Guard(loopback=True), viewers=2) as web:
        with web.events(), web.events():
            eventually(lambda: len(web.hub.viewers) == 2, "both are open")
            assert web.ask("/events")[0] == 503
            assert web.ask("/")[0] == 200
        eventually(lambda: not web.hub.viewers, "both are closed")


def test_a_page_that_takes_nothing_is_cut_off_and_disturbs_no_other(
    web: Web, daemon: SocketServer
) -> None:
    slow = socket.socket()
    with contextlib.closing(slow):
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", web.port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: len(web.hub.viewers) == 1, "it looks")
        with web.events() as events:
            n = 0

            def cut_off() -> bool:
                nonlocal n
                n += 1
                daemon.publish(hr(n, padding="x" * 20_000))
                newest = next(m for m in events if m["class"] == "HR")
                assert newest["time"] == hr(n)["time"]
                return len(web.hub.viewers) == 1

            eventually(cut_off, "the slow one is cut off")


def ended(sock: socket.socket) -> bool:
    """Reads to the end of what comes; whether there was an end."""
    sock.settimeout(PATIENCE_S)
    try:
        while sock.recv(65536):
            pass
    except socket.timeout:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",  # nothing at all
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-",  # half a request
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",  # one, and then nothing
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hrd",  # one, and half of the next
    ],
)
def test_who_asks_for_nothing_is_let_go(daemon: SocketServer, path: str, sent: bytes) -> None:
    with Web(path, Guard(loopback=True), patience_s=0.2) as web:
        with socket.create_connection(("127.0.0.1", web.port)) as idle:
            idle.sendall(sent)
            assert ended(idle)
        assert web.ask("/")[0] == 200


def test_a_request_that_drips_is_not_waited_for(daemon: SocketServer, path: str) -> None:
    with contextlib.ExitStack() as running:
        web = running.enter_context(Web(path, Guard(loopback=True), patience_s=0.5))
        slow = running.enter_context(socket.create_connection(("127.0.0.1", web.port)))
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        slow.settimeout(0.05)

        def over() -> bool:
            try:
                slow.sendall(b"X-More: 1\r\n")
                return slow.recv(100) == b""
            except socket.timeout:
                return False
            except OSError:
                return True

        eventually(over, "it is ended, whatever it sends")


def test_events_outlast_that(daemon: SocketServer, path: str) -> None:
    with Web(path, Guard(loopback=True), patience_s=0.2) as web, web.events() as events:
        with socket.create_connection(("127.0.0.1", web.port)) as idle:
            assert ended(idle)  # so much time has passed
        daemon.publish(hr(5))
        assert any(message == hr(5) for message in events)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="needs Linux")
def test_who_does_not_read_its_answer_is_let_go(daemon: SocketServer, path: str) -> None:
    with Web(path, Guard(loopback=True), patience_s=0.5) as web:
        reading = HeartRate(1.0, "tracking", 72.0, 0.9)
        for n in range(20_000):  # more than any buffer takes
            web.hub.history.add(dataclasses.replace(reading, time_s=float(n + 1)))
        with contextlib.closing(socket.socket()) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", web.port))
            deaf.sendall(b"GET /history.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
            patience = web.site.patience
            eventually(lambda: not patience._ends, "its answer is being made")
            eventually(lambda: len(patience._ends) == 1, "the answer has been given up")


def test_one_address_of_a_network_has_not_all_places(daemon: SocketServer, path: str) -> None:
    with Web(path, Guard(False, TOKEN), patience_s=PATIENCE_S) as web:
        with contextlib.ExitStack() as held:
            for _ in range(32):
                held.enter_context(socket.create_connection(("127.0.0.1", web.port)))
            assert ended(held.enter_context(socket.create_connection(("127.0.0.1", web.port))))

        def room() -> bool:
            try:
                return web.ask("/")[0] in (401, 429)  # asked too often, maybe
            except (OSError, http.client.HTTPException):
                return False

        eventually(room, "there is room again")


# The parts.


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8088", "127.0.0.1", 8088, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:80", "::1", 80, True),
        ("0.0.0.0:8088", "0.0.0.0", 8088, False),
        ("192.168.1.4:1", "192.168.1.4", 1, False),
    ],
)
def test_where_to_listen(text: str, host: str, port: int, loopback: bool) -> None:
    where = parse_listen(text)
    assert (where.host, where.port, where.loopback) == (host, port, loopback)


@pytest.mark.parametrize(
    "text", ["", "8088", ":8088", "localhost", "x:1", "127.0.0.1:99999", "a b:1"]
)
def test_where_not_to_listen(text: str) -> None:
    with pytest.raises(UsageError, match="ADDRESS:PORT|address of this machine"):
        parse_listen(text)


def test_rates_fill_up_again() -> None:
    now = [0.0]
    rates = Rates(1.0, 3.0, lambda: now[0])
    assert [rates.take("a") for _ in range(4)] == [True, True, True, False]
    assert rates.take("b")
    now[0] = 2.0
    assert [rates.take("a") for _ in range(3)] == [True, True, False]
    for n in range(3000):
        rates.take(str(n))
    assert len(rates._left) <= 1024


def test_hosts_as_headers_name_them() -> None:
    assert host_of("Board.local:80") == "board.local"
    assert host_of("[::1]:80") == "::1"
    assert host_of("user@board") == "board"
    assert host_of("[") == ""
    assert own_names()


def test_history_gives_back_what_it_got() -> None:
    history = History(rows=80)
    readings = [HeartRate.from_message(hr(n) if n % 2 else no_hr(n)) for n in range(80)]
    for reading in readings:
        history.add(reading)
        history.add(reading)  # told again after a reconnection
    assert list(history.readings()) == readings
    assert list(history.readings(readings[70].time_s)) == readings[70:]
    history.add(HeartRate.from_message(hr(100)))
    assert len(history) == 71
    assert [bpm for _, bpm in history.rates(0.0)][-2:] == [72.0, 72.0]


def test_history_does_not_grow_with_the_names_it_is_told() -> None:
    history = History()
    for n in range(1000):
        history.add(HeartRate(float(n), "unsure", reason=f"R{n}"))
    assert len(history._names) <= 252


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "nowhere"], "ADDRESS:PORT"),
        (["--max-viewers", "0"], "--max-viewers"),
        (["--token-file", "/no/such"], "cannot be read"),
    ],
)
def test_bad_usage(arguments: List[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_token_that_everybody_may_read_or_guess_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    assert main(["web", "--token-file", str(file)]) == 2
    assert "chmod o-r" in capsys.readouterr().err
    file.chmod(0o600)
    file.write_text("short")
    assert main(["web", "--token-file", str(file)]) == 2
    assert "16 characters" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said_in_a_sentence(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["web", "--socket", path, "--listen", f"127.0.0.1:{port}"]) == 1
    assert "choose another port with --listen" in capsys.readouterr().err
