"""What systemd is told, at the other end of its socket; and what it hands over."""

from __future__ import annotations

import os
import socket
from typing import Iterator, List

import pytest

from hrd.errors import HrdError
from hrd.service.notify import Notifier, take_listen_socket
from tests.socket_help import short_directory


class Systemd:
    """Its end of the notification socket."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path if not path.startswith("@") else "\0" + path[1:])
        self.socket.setblocking(False)

    def heard(self) -> List[str]:
        lines: List[str] = []
        while True:
            try:
                lines += self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return lines


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    with short_directory() as directory:
        end = Systemd(os.path.join(directory, "notify"))
        yield end
        end.socket.close()


def _environ(systemd: Systemd, **more: str) -> dict:
    return {"NOTIFY_SOCKET": systemd.path, **more}


def test_start_reload_and_end(systemd: Systemd) -> None:
    notifier = Notifier(_environ(systemd))
    assert notifier.active
    notifier.ready("waiting for\nthe first frame")
    assert systemd.heard() == ["READY=1", "STATUS=waiting for the first frame", "WATCHDOG=1"]
    notifier.reloading()
    reloading, usec = systemd.heard()
    assert reloading == "RELOADING=1"
    assert usec.startswith("MONOTONIC_USEC=")
    notifier.stopping()
    assert systemd.heard() == ["STOPPING=1"]


def test_a_status_is_sent_when_it_changes(systemd: Systemd) -> None:
    notifier = Notifier(_environ(systemd))
    for text in ("tracking", "tracking", "no_face: NO_FACE"):
        notifier.status(text)
    assert systemd.heard() == ["STATUS=tracking", "STATUS=no_face: NO_FACE"]


def test_the_watchdog_is_fed_as_often_as_it_needs_and_not_more(systemd: Systemd) -> None:
    now = [100.0]
    notifier = Notifier(_environ(systemd, WATCHDOG_USEC="20000000"), clock=lambda: now[0])
    assert notifier.watchdog_s == 20.0
    for _ in range(300):  # 10 s at 30 fps
        notifier.alive()
        now[0] += 1 / 30
    assert systemd.heard() == ["WATCHDOG=1"] * 2
    now[0] += 60.0  # nothing moved for a minute: nothing was sent, and nothing sends by itself
    assert systemd.heard() == []


def test_a_watchdog_that_watches_somebody_else(systemd: Systemd) -> None:
    other = str(os.getpid() + 1)
    environ = _environ(systemd, WATCHDOG_USEC="1000000", WATCHDOG_PID=other)
    notifier = Notifier(environ)
    notifier.alive()
    assert notifier.watchdog_s is None
    assert systemd.heard() == []
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_s is None


def test_an_abstract_socket() -> None:
    end = Systemd(f"@hrd-test-{os.getpid()}")
    Notifier({"NOTIFY_SOCKET": end.path}).ready()
    assert end.heard() == ["READY=1", "WATCHDOG=1"]
    end.socket.close()


def test_without_systemd_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({})
    assert not notifier.active
    notifier.ready("x")
    notifier.alive()
    assert not caplog.records
    gone = Notifier({"NOTIFY_SOCKET": "/nowhere/notify"})
    gone.ready()
    gone.stopping()
    assert len(caplog.records) == 1  # said once


def test_a_socket_handed_over() -> None:
    with short_directory() as directory, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.join(directory, "s"))
        listening.listen()
        fd = os.dup(listening.fileno())
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "hrd"}
        taken = take_listen_socket(environ, first_fd=fd)
        assert environ == {}
        assert taken is not None
        with taken:
            assert taken.getsockname() == listening.getsockname()
            assert not os.get_inheritable(taken.fileno())


def test_no_socket_handed_over() -> None:
    assert take_listen_socket({}) is None
    assert take_listen_socket({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) is None  # not for us
    mine = {"LISTEN_PID": str(os.getpid())}
    assert take_listen_socket({**mine, "LISTEN_FDS": "0"}) is None
    with pytest.raises(HrdError, match="2 sockets"):
        take_listen_socket({**mine, "LISTEN_FDS": "2"})
    read, write = os.pipe()
    with pytest.raises(HrdError, match=r"no socket .* check hrd\.socket"):
        take_listen_socket({**mine, "LISTEN_FDS": "1"}, first_fd=read)
    os.close(read)
    os.close(write)
