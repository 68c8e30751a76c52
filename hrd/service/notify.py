"""What systemd wants to be told (sd_notify(3)) and hands over (sd_listen_fds(3)).

Standard library only. Outside systemd all of it does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import Callable, Mapping, MutableMapping, Optional

from hrd.errors import HrdError

logger = logging.getLogger(__name__)

_FIRST_FD = 3  # SD_LISTEN_FDS_START
_SHARE = 4  # of the watchdog's patience that may pass between two signs of life


class Notifier:
    """Sends the service manager what changes; silent where there is none.

    ``alive`` is the watchdog's food: call it where the work itself has moved on, and only there.
    It sends at most a few times in the patience that systemd has announced.
    """

    def __init__(
        self,
        environ: Optional[Mapping[str, str]] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._now = clock
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # an abstract socket
            self._address = "\0" + self._address[1:]
        self.watchdog_s = _watchdog_s(environ)
        self._fed_s: Optional[float] = None
        self._status = ""
        self._failing = False

    @property
    def active(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        """The socket answers and the pipeline is about to run."""
        self._fed_s = self._now()
        self._send("READY=1\n" + self._status_line(status) + "WATCHDOG=1\n")

    def reloading(self) -> None:
        """The configuration is being read again; ``ready`` ends this."""
        usec = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6)
        self._send(f"RELOADING=1\nMONOTONIC_USEC={usec}\n")

    def stopping(self, status: str = "") -> None:
        """The end has begun."""
        self._send("STOPPING=1\n" + self._status_line(status))

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent when it changes."""
        if text != self._status:
            self._send(self._status_line(text))

    def alive(self) -> None:
        """The work has moved on."""
        if self.watchdog_s is None:
            return
        now_s = self._now()
        if self._fed_s is None or now_s - self._fed_s >= self.watchdog_s / _SHARE:
            self._fed_s = now_s
            self._send("WATCHDOG=1\n")

    def _status_line(self, text: str) -> str:
        self._status = text
        return f"STATUS={' '.join(text.split())}\n" if text else ""

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode("utf-8", "replace"), self._address)
        except OSError as error:  # what we are here for goes on without it
            if not self._failing:
                logger.warning(
                    "systemd cannot be told how hrd does (%s): its watchdog may end it",
                    error.strerror,
                )
            self._failing = True
        else:
            self._failing = False


def _watchdog_s(environ: Mapping[str, str]) -> Optional[float]:
    """The watchdog's patience, None where none watches this process (sd_watchdog_enabled(3))."""
    try:
        usec = int(environ.get("WATCHDOG_USEC", ""))
        pid = int(environ.get("WATCHDOG_PID", str(os.getpid())))
    except ValueError:
        return None
    return usec / 1e6 if usec > 0 and pid == os.getpid() else None


def take_listen_socket(
    environ: Optional[MutableMapping[str, str]] = None, first_fd: int = _FIRST_FD
) -> Optional[socket.socket]:
    """The listening socket that systemd has opened for us (hrd.socket), None where there is none.

    The variables are removed, so that no child takes the socket for its own. Raises ``HrdError``
    if there are several sockets, or something that is no socket.
    """
    environ = os.environ if environ is None else environ
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit() or int(count) == 0:
        return None
    if int(count) > 1:
        raise HrdError(
            f"systemd has handed over {count} sockets and hrd serves one: "
            "leave one ListenStream= in hrd.socket."
        )
    try:
        os.set_inheritable(first_fd, False)
        return socket.socket(fileno=first_fd)
    except OSError as error:
        raise HrdError(
            f"what systemd has handed over is no socket ({error.strerror}): check hrd.socket."
        ) from None
