"""Who is let in: connections taken from the listening socket, or turned away with a word."""

from __future__ import annotations

import errno
import logging
import os
import selectors
import socket
import time
from typing import Callable, Iterator, Optional

from hrd import protocol
from hrd.service.listen import Listener, peer_of
from hrd.service.ration import TO_ACCEPT, Ration

logger = logging.getLogger(__name__)

_PAUSE_S = 0.5
_WARN_EVERY_S = 60.0
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """Takes connections as far as the ration goes, and ``max_clients``.

    Out of descriptors, it gives up one that it has kept for that, to take the connection and say
    so; if even that cannot be had, the queue is left alone for a while (``again_s``), so that the
    thread does not spin on a connection that it can't accept. ``pause_s``: how long.
    """

    def __init__(
        self,
        listener: Listener,
        max_clients: int,
        ration: Ration,
        selector: selectors.BaseSelector,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._listener = listener
        self._max_clients = max_clients
        self._ration = ration
        self._selector = selector
        self._pause_s = pause_s
        self._spare_fd: Optional[int] = None
        self._warned_s: Optional[float] = None  # when refusals were last logged
        self.again_s: Optional[float] = None
        """When the door opens again; None: it is open."""
        self.refused = 0
        self._keep_spare()
        selector.register(listener.sock, selectors.EVENT_READ, self)

    def come_in(self, connected: Callable[[], int]) -> Iterator[socket.socket]:
        """Connections to be served. ``connected``: how many are, asked for each."""
        while True:
            if not self._ration.take(TO_ACCEPT):
                self._shut(self._ration.again_s)
                return
            try:
                sock, _address = self._listener.sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _NO_DESCRIPTORS:
                    raise
                if not self._refuse_without_descriptor(error):
                    return
                continue
            self._keep_spare()
            if connected() >= self._max_clients:
                self._refuse(sock, f"too many clients: {self._max_clients} are connected")
            else:
                yield sock

    def open_if_due(self, now_s: float) -> None:
        """Look at the queue again once the pause is over."""
        if self.again_s is not None and now_s >= self.again_s:
            self.again_s = None
            self._selector.register(self._listener.sock, selectors.EVENT_READ, self)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()
        self._drop_spare()

    def _refuse(self, sock: socket.socket, why: str) -> None:
        self.refused += 1
        now_s = time.monotonic()
        if self._warned_s is None or now_s - self._warned_s >= _WARN_EVERY_S:
            self._warned_s = now_s
            logger.warning("client refused (%s): %s", peer_of(sock), why)
        with sock:
            sock.setblocking(False)
            try:
                sock.send(protocol.encode(protocol.error_message(why)))
            except OSError:
                pass  # gone already

    def _refuse_without_descriptor(self, error: OSError) -> bool:
        """Turn away one client with the spare descriptor. Whether there may be more to accept."""
        self._drop_spare()
        try:
            sock, _address = self._listener.sock.accept()
        except BlockingIOError:  # accept() wants a descriptor before it looks at the queue
            self._keep_spare()
            return False
        except OSError:
            pass
        else:
            self._refuse(sock, f"the daemon cannot open more connections: {error.strerror}")
        self._keep_spare()
        if self._spare_fd is not None:
            return True
        self._shut(time.monotonic() + self._pause_s)
        return False

    def _shut(self, until_s: float) -> None:
        self._selector.unregister(self._listener.sock)
        self.again_s = until_s

    def _drop_spare(self) -> None:
        if self._spare_fd is not None:
            os.close(self._spare_fd)
            self._spare_fd = None

    def _keep_spare(self) -> None:
        if self._spare_fd is None:
            try:
                self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                pass
