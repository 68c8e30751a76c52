"""One client's connection: what it sends, and what it has not yet taken."""

from __future__ import annotations

import itertools
import select
import selectors
import socket
import time
from collections import deque
from typing import Deque, FrozenSet

from hrd.protocol import MAX_REQUEST_BYTES
from hrd.service.lines import LineBuffer
from hrd.service.listen import peer_of

_KERNEL_BUFFER_BYTES = 32 * 1024  # per client; the default would let a stopped one hold 200 KiB
_READ_BYTES = 16 * 1024
_SENDMSG_LINES = 64


class Gone(Exception):
    """The other end is closed altogether."""


class Connection:
    """A non-blocking socket with its two queues; touched by the server's thread only.

    Nothing here waits. What the kernel does not take is kept, as references to the same bytes,
    and is sent by ``flush`` when the selector says so; ``pending_bytes`` tells how much that is,
    ``moved_s`` since when.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
        self.sock = sock
        self.name = str(peer_of(sock))
        self.lines = LineBuffer(MAX_REQUEST_BYTES)
        self.pending_bytes = 0
        self.moved_s = 0.0  # when the kernel last took something of what is pending
        self.watching = True
        self.streams: FrozenSet[str] = frozenset()  # classes wanted beside HR
        self.owed_poll = False  # asked before there was a reading
        self.ended = False  # sends no more requests, but may still read
        self.closed = False
        self.interest = 0  # what the selector has been asked for
        self.queued = False  # for its requests to be answered
        self._pending: Deque[bytes] = deque()

    @property
    def pending(self) -> bool:
        """Whether it has not taken all that was sent."""
        return bool(self._pending)

    @property
    def finished(self) -> bool:
        """Nothing will ever go either way again."""
        return self.ended and not (self.pending or self.watching or self.owed_poll)

    def wanted_interest(self) -> int:
        """The selector's events that matter to it now."""
        if self.pending:  # no more requests before the answers are taken
            return selectors.EVENT_WRITE
        if self.ended or self.lines.ready:
            return 0
        return selectors.EVENT_READ

    def receive(self) -> None:
        """Take what it has sent. Raises ``Gone``."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            raise Gone from None
        if data:
            self.lines.feed(data)
        elif self.hung_up():
            raise Gone
        else:  # shut down for sending only, as `printf ... | socat - UNIX-CONNECT:...` does
            self.ended = True
            self.lines.finish()

    def send(self, line: bytes) -> None:
        """Send a line, or keep what of it the kernel does not take. Raises ``Gone``."""
        sent = 0
        if not self._pending:
            try:
                sent = self.sock.send(line)
            except BlockingIOError:
                pass
            except OSError:
                raise Gone from None
            if sent == len(line):
                return
            self.moved_s = time.monotonic()
        self._pending.append(line[sent:])  # the whole line, usually: then no copy is made
        self.pending_bytes += len(line) - sent

    def flush(self) -> None:
        """Send what is pending as far as the kernel takes it. Raises ``Gone``."""
        while self._pending:
            try:
                sent = self.sock.sendmsg(list(itertools.islice(self._pending, _SENDMSG_LINES)))
            except BlockingIOError:
                return
            except OSError:
                raise Gone from None
            self.moved_s = time.monotonic()
            self.pending_bytes -= sent
            while sent:
                head = self._pending.popleft()
                if sent < len(head):
                    self._pending.appendleft(head[sent:])
                    break
                sent -= len(head)

    def hung_up(self) -> bool:
        """Whether the other end is closed altogether, and not for sending only."""
        poll = select.poll()
        poll.register(self.sock, 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))

    def close(self) -> None:
        self.closed = True
        self._pending.clear()
        self.sock.close()
