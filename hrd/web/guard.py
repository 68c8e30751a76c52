"""Who may look: host, origin, token, and how often one address may ask. Pure but for a clock."""

from __future__ import annotations

import hmac
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import Callable, Dict, FrozenSet, Optional, Tuple
from urllib.parse import urlsplit

from hrd.errors import UsageError

COOKIE = "hrd_token"
_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_ADDRESSES = 1024


@dataclass(frozen=True)
class Listen:
    """Where to listen."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        return self.host == "localhost" or _is_loopback(self.host)


def parse_listen(text: str) -> Listen:
    """``127.0.0.1:8088``, ``[::1]:8088``, ``0.0.0.0:8088``; raises ``UsageError``."""
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UsageError(f"--listen takes ADDRESS:PORT, such as 127.0.0.1:8088, not {text!r}")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise UsageError(
                f"--listen takes an address of this machine, such as 0.0.0.0:8088, not {text!r}"
            ) from None
    return Listen(host, int(port))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """The name or address in a Host header, in small letters, without its port; empty if it is
    none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


@dataclass(frozen=True)
class Guard:
    """``refusal`` says why a request is refused, as (status, sentence), or None.

    ``loopback``: only this machine's own names are its host. Else an address is right as well (a
    foreign site can only lead a browser here under a name, by DNS rebinding), and ``names``.
    ``token``: what who looks must know; None where nobody else can connect.
    """

    loopback: bool
    token: Optional[str] = None
    names: FrozenSet[str] = frozenset()

    def refusal(
        self,
        host: str,
        origin: Optional[str],
        fetch_site: Optional[str],
        navigates: bool,
    ) -> Optional[Tuple[int, str]]:
        """For a request's headers; ``fetch_site`` is Sec-Fetch-Site, ``navigates`` whether it is
        a person's own step to a page."""
        if not self._is_own(host_of(host)):
            return 421, "This is not the host that you asked for."
        if origin is not None:
            if origin == "null" or urlsplit(origin).netloc.lower() != host.lower():
                return 403, "Another site may not read this."
        elif fetch_site in ("cross-site", "same-site") and not navigates:
            return 403, "Another site may not read this."
        return None

    def admits(self, token: Optional[str]) -> bool:
        """Whether the token is right (any, where none is asked for)."""
        if self.token is None:
            return True
        return token is not None and hmac.compare_digest(
            token.encode("utf-8", "replace"), self.token.encode("utf-8")
        )

    def _is_own(self, host: str) -> bool:
        if host in _LOOPBACK:
            return True
        if self.loopback:
            return _is_loopback(host)
        if host in self.names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def own_names() -> FrozenSet[str]:
    """What this machine is called in its network."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset((name, short, f"{short}.local"))


class Rates:
    """So many requests of one address in a second on average, and ``burst`` at once."""

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._now = clock
        self._left: Dict[str, Tuple[float, float]] = {}  # the longest unused first

    def take(self, address: str) -> bool:
        """Whether one more may be answered now."""
        now_s = self._now()
        left, then_s = self._left.pop(address, (self._burst, now_s))
        left = min(self._burst, left + (now_s - then_s) * self._per_s)
        allowed = left >= 1.0
        self._left[address] = (left - 1.0 if allowed else left, now_s)
        if len(self._left) > _ADDRESSES:
            del self._left[next(iter(self._left))]
        return allowed
