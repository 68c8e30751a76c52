"""The socket server: one thread serves every client of protocol 1.

``publish`` is called from the pipeline's thread, encodes the message once and never waits. The
server's thread hands the bytes to every client that wants them. What a client has not read waits
in a bounded queue (of references to the same bytes); a client whose queue is full, or that takes
nothing for ``stall_s``, is cut off. A client's requests are read only while it takes its answers,
and no more of them are served in a second, nor more connections taken, than leave the pipeline,
which runs in the same process, its time: the rest waits its turn.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import select
import selectors
import socket
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Mapping, Optional, Set, Tuple

from hrd import protocol
from hrd.protocol import DEFAULT_SOCKET, MAX_REQUEST_BYTES, ProtocolError
from hrd.service.lines import Line, LineBuffer
from hrd.service.listen import Listener, ServerError, adopt, listen, peer_of

__all__ = ["ServerError", "SocketServer"]

logger = logging.getLogger(__name__)

MAX_CLIENTS = 1024
BUFFER_LIMIT_BYTES = 64 * 1024
STALL_S = 10.0

_KERNEL_BUFFER_BYTES = 32 * 1024  # per client; the default would let a stopped one hold 200 KiB
_READ_BYTES = 16 * 1024
_WORK_PERIOD_S = 0.02
_WORK_PER_PERIOD = 64  # requests: 3,200 a second
_WORK_TO_ACCEPT = 4  # connecting costs about as much as four requests: 800 a second
_INBOX_MESSAGES = 256
_SENDMSG_LINES = 64
_ACCEPT_PAUSE_S = 0.5
_SWEEP_S = 1.0
_WARN_EVERY_S = 60.0
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Client:
    """One connection; touched by the server's thread only."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.sock = sock
        self.name = name
        self.lines = LineBuffer(MAX_REQUEST_BYTES)
        self.pending: Deque[bytes] = deque()  # not yet taken by the kernel
        self.pending_bytes = 0
        self.moved_s = 0.0  # when the kernel last took something of pending
        self.watching = True
        self.ppg = False
        self.owed_poll = False  # asked before there was a reading
        self.ended = False  # sends no more requests, but may still read
        self.closed = False
        self.interest = 0
        self.queued = False  # for its requests to be answered

    def wanted_interest(self) -> int:
        if self.pending:  # no more requests before the answers are taken
            return selectors.EVENT_WRITE
        if self.ended or self.lines.ready:
            return 0
        return selectors.EVENT_READ


class SocketServer:
    """Offers readings on a UNIX socket.

    The constructor listens (raises ``ServerError``), ``start`` starts the thread, ``close`` ends
    it, closes every connection and removes the socket file if it is still this server's; the
    server is a context manager that does both. ``status`` is called in the server's thread for
    every STATUS request: it must be quick and thread-safe; ``clients`` is added to what it gives.
    ``group``: given to the socket if the group exists. ``listen_socket``: an already listening
    socket to use in place of ``path``. ``on_failure``: called, in the server's thread, with the
    exception that ended it, if one did.
    """

    def __init__(
        self,
        path: str = DEFAULT_SOCKET,
        release: str = "unknown",
        status: Callable[[], Mapping[str, object]] = dict,
        mode: int = 0o660,
        group: Optional[str] = "hrd",
        *,
        max_clients: int = MAX_CLIENTS,
        buffer_limit_bytes: int = BUFFER_LIMIT_BYTES,
        stall_s: float = STALL_S,
        listen_socket: Optional[socket.socket] = None,
        on_failure: Optional[Callable[[BaseException], None]] = None,
    ) -> None:
        if max_clients < 1 or buffer_limit_bytes < 1 or stall_s <= 0:
            raise ValueError(f"limits must be positive: {max_clients=} {buffer_limit_bytes=}")
        self._listener: Listener = (
            adopt(listen_socket) if listen_socket is not None else listen(path, mode, group)
        )
        self._version_line = protocol.encode(protocol.version_message(release))
        self._status = status
        self._max_clients = max_clients
        self._buffer_limit_bytes = buffer_limit_bytes
        self._stall_s = stall_s
        self._on_failure = on_failure

        self._lock = threading.Lock()  # guards _inbox, _dropped and _closing
        self._inbox: Deque[Tuple[str, bytes]] = deque()
        self._inbox_since_s = 0.0  # when the oldest message in it was published
        self._dropped = 0
        self._closing = False

        # All below: the server's thread only (stats reads the counts).
        self._clients: Dict[int, _Client] = {}
        self._newest_hr: Optional[bytes] = None
        self._backlog: Deque[_Client] = deque()  # have complete requests waiting
        self._work_left = _WORK_PER_PERIOD
        self._work_again_s = 0.0  # when the next period begins
        self._watched: Set[_Client] = set()  # stalled or half-closed: looked at now and then
        self._next_sweep_s = 0.0
        self._accept_again_s: Optional[float] = None
        self._warned_s: Optional[float] = None  # when refusals were last logged
        self._status_failing = False
        self._counts = dict.fromkeys(
            ("accepted", "refused", "cut_off", "requests", "bad_requests", "sent"), 0
        )

        self._thread: Optional[threading.Thread] = None
        self._released = False
        self._spare_fd: Optional[int] = None  # given up to refuse a client when there is no other
        self._reopen_spare()
        try:
            self._selector = selectors.DefaultSelector()
            self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._listener.close()
            raise ServerError(
                f"Cannot serve {self.path} ({error.strerror}):"
                " raise the limit of open files (ulimit -n)."
            ) from None
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._selector.register(self._listener.sock, selectors.EVENT_READ, self._listener)

    @property
    def path(self) -> str:
        """Where it listens."""
        return self._listener.path

    @property
    def running(self) -> bool:
        """Whether the server's thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Serve, in a thread of its own."""
        if self._thread is not None:
            raise RuntimeError("the socket server has been started before")
        self._thread = threading.Thread(target=self._run, name="hrd-socket", daemon=True)
        self._thread.start()
        logger.info("listening on %s", self.path)

    def close(self) -> None:
        """Deliver what has been published, then end; may be called twice."""
        with self._lock:
            self._closing = True
            if not self._released:
                self._wake()
        if self._thread is None:
            self._release()
        elif self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> SocketServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def publish(self, message: Mapping[str, object]) -> None:
        """Send an HR or PPG to every client that wants it. From any thread; never waits.

        Raises ``ValueError`` for other classes and for what cannot be encoded. After ``close`` it
        does nothing. Should the server's thread be overwhelmed, the oldest message waiting is
        dropped and counted.
        """
        kind = message.get("class")
        if kind not in ("HR", "PPG"):
            raise ValueError(f"only HR and PPG are published, not {kind!r}")
        line = protocol.encode(message)
        with self._lock:
            if self._closing:
                return
            if len(self._inbox) >= _INBOX_MESSAGES:
                self._inbox.popleft()
                self._dropped += 1
            self._inbox.append((str(kind), line))
            if len(self._inbox) == 1:
                self._inbox_since_s = time.monotonic()
                self._wake()  # under the lock, so that the pipe cannot be closed meanwhile

    def undelivered_s(self) -> float:
        """How long the server's thread has let a message lie; 0 if there is none."""
        with self._lock:
            return time.monotonic() - self._inbox_since_s if self._inbox else 0.0

    def stats(self) -> Dict[str, int]:
        """``connected`` now, and counts since the start: ``accepted``, ``refused`` (too many
        clients or descriptors), ``cut_off``, ``requests``, ``bad_requests``, ``sent`` (lines),
        ``dropped`` (messages)."""
        return {"connected": len(self._clients), **self._counts, "dropped": self._dropped}

    # The server's thread.

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turn()
            self._deliver()
        except BaseException as error:
            logger.exception("the socket server failed")
            if self._on_failure is not None:
                self._on_failure(error)
        finally:
            self._release()

    def _turn(self) -> None:
        ready = self._selector.select(self._timeout_s())
        self._deliver()  # first, so that what a new client gets is the newest
        for key, events in ready:
            if key.data is None:
                self._drain_wake_pipe()
            elif isinstance(key.data, Listener):
                self._accept()
            elif not key.data.closed:
                self._serve(key.data, events)
            self._deliver()  # between clients: no client's requests delay a reading
        self._answer_backlog()
        now_s = time.monotonic()
        if self._accept_again_s is not None and now_s >= self._accept_again_s:
            self._accept_again_s = None
            self._selector.register(self._listener.sock, selectors.EVENT_READ, self._listener)
        if self._watched and now_s >= self._next_sweep_s:
            self._sweep(now_s)
            self._next_sweep_s = now_s + min(_SWEEP_S, self._stall_s / 4.0)

    def _timeout_s(self) -> Optional[float]:
        due_s: List[float] = []
        if self._backlog:
            due_s.append(self._work_again_s)
        if self._accept_again_s is not None:
            due_s.append(self._accept_again_s)
        if self._watched:
            due_s.append(self._next_sweep_s)
        return max(0.0, min(due_s) - time.monotonic()) if due_s else None

    def _may_work(self, cost: int) -> bool:
        """Whether so much work may be done in this period; takes it off if so."""
        now_s = time.monotonic()
        if now_s >= self._work_again_s:
            self._work_left = _WORK_PER_PERIOD
            self._work_again_s = now_s + _WORK_PERIOD_S
        if self._work_left < cost:
            return False
        self._work_left -= cost
        return True

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"w")
        except BlockingIOError:
            pass  # full of wake-ups already

    def _drain_wake_pipe(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            pass

    def _release(self) -> None:
        with self._lock:
            self._closing = True
            if self._released:
                return
            self._released = True
            os.close(self._wake_read)
            os.close(self._wake_write)
        self._listener.close()
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()
        self._close_spare()

    # Connections.

    def _accept(self) -> None:
        while True:
            if not self._may_work(_WORK_TO_ACCEPT):
                self._stop_accepting(self._work_again_s)
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
            self._reopen_spare()
            if len(self._clients) >= self._max_clients:
                self._refuse(sock, f"too many clients: {self._max_clients} are connected")
                continue
            self._welcome(sock)

    def _welcome(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
        client = _Client(sock, str(peer_of(sock)))
        logger.debug("client connected: %s", client.name)
        self._counts["accepted"] += 1
        self._clients[sock.fileno()] = client
        self._update(client)
        self._send(client, self._version_line)
        if self._newest_hr is not None:
            self._send(client, self._newest_hr)

    def _refuse(self, sock: socket.socket, why: str) -> None:
        self._counts["refused"] += 1
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
        """Turn away one client with the descriptor kept for that, or else leave the queue alone for
        a while: either way the thread does not spin on a connection it cannot accept. Returns
        whether there may be more to accept."""
        self._close_spare()
        try:
            sock, _address = self._listener.sock.accept()
        except BlockingIOError:  # accept() wants a descriptor before it looks at the queue
            self._reopen_spare()
            return False
        except OSError:
            pass
        else:
            self._refuse(sock, f"the daemon cannot open more connections: {error.strerror}")
        self._reopen_spare()
        if self._spare_fd is not None:
            return True
        self._stop_accepting(time.monotonic() + _ACCEPT_PAUSE_S)
        return False

    def _stop_accepting(self, until_s: float) -> None:
        self._selector.unregister(self._listener.sock)
        self._accept_again_s = until_s

    def _close_spare(self) -> None:
        if self._spare_fd is not None:
            os.close(self._spare_fd)
            self._spare_fd = None

    def _reopen_spare(self) -> None:
        if self._spare_fd is None:
            try:
                self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                pass

    def _drop(self, client: _Client) -> None:
        if client.closed:
            return
        client.closed = True
        if client.interest:
            self._selector.unregister(client.sock)
        self._clients.pop(client.sock.fileno(), None)
        self._watched.discard(client)
        client.pending.clear()
        client.sock.close()
        logger.debug("client gone: %s", client.name)

    def _cut_off(self, client: _Client, why: str) -> None:
        self._counts["cut_off"] += 1
        logger.warning("client cut off (%s): %s", client.name, why)
        self._drop(client)

    def _sweep(self, now_s: float) -> None:
        """Find clients that make no event: stalled ones, and half-closed ones that have gone."""
        for client in list(self._watched):
            if client.pending and now_s - client.moved_s >= self._stall_s:
                self._cut_off(client, f"took nothing for {self._stall_s:g} s")
            elif client.ended and _hung_up(client.sock):
                self._drop(client)

    # Traffic.

    def _update(self, client: _Client) -> None:
        """Ask the selector for the events that matter to the client now."""
        if client.closed:
            return
        wanted = client.wanted_interest()
        if wanted != client.interest:
            if not client.interest:
                self._selector.register(client.sock, wanted, client)
            elif not wanted:
                self._selector.unregister(client.sock)
            else:
                self._selector.modify(client.sock, wanted, client)
            client.interest = wanted
        if client.pending or client.ended:
            self._watched.add(client)
        else:
            self._watched.discard(client)

    def _serve(self, client: _Client, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._flush(client)
        elif events & selectors.EVENT_READ:
            self._read(client)

    def _read(self, client: _Client) -> None:
        try:
            data = client.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)
            return
        if data:
            client.lines.feed(data)
        elif _hung_up(client.sock):
            self._drop(client)
            return
        else:  # shut down for sending only, as `printf ... | socat - UNIX-CONNECT:...` does
            client.ended = True
            client.lines.finish()
        self._settle(client)

    def _settle(self, client: _Client) -> None:
        """After anything that has changed a client's state: what is to happen to it next."""
        if client.closed:
            return
        if client.lines.ready and not client.pending:
            if not client.queued:
                client.queued = True
                self._backlog.append(client)
        elif client.ended and not (client.pending or client.watching or client.owed_poll):
            self._drop(client)  # nothing will ever go either way again
            return
        self._update(client)

    def _answer_backlog(self) -> None:
        """Answer waiting requests, one of each client in turn, as far as the work allowed goes."""
        while self._backlog:
            client = self._backlog[0]
            if not client.closed and not client.pending:
                if not self._may_work(1):
                    return
                line = client.lines.take()
                if line is not None:
                    self._respond(client, line)
            self._backlog.popleft()
            client.queued = False
            self._settle(client)  # to the end of the queue, if it has more
            self._deliver()

    def _respond(self, client: _Client, line: Line) -> None:
        self._counts["requests"] += 1
        try:
            if line.too_long:
                raise ProtocolError(
                    f"request longer than {MAX_REQUEST_BYTES} bytes: {protocol.quote(line.data)}"
                )
            request = protocol.parse_request(line.data)
        except ProtocolError as error:
            self._counts["bad_requests"] += 1
            self._send(client, protocol.encode(protocol.error_message(str(error))))
            return
        if request.kind == "WATCH":
            client.watching = request.enable
            client.ppg = request.ppg
        elif request.kind == "STATUS":
            self._send(client, self._status_line())
        elif self._newest_hr is not None:
            self._send(client, self._newest_hr)
        else:
            client.owed_poll = True

    def _status_line(self) -> bytes:
        try:
            status = {"clients": self.stats(), **self._status()}
            line = protocol.encode(protocol.status_message(status, time.time()))
        except Exception as error:  # a fault there must not take the readings away
            if not self._status_failing:
                logger.exception("STATUS failed")
            self._status_failing = True
            return protocol.encode(
                protocol.error_message(f"STATUS failed: {type(error).__name__}: {error}")
            )
        self._status_failing = False
        return line

    def _deliver(self) -> None:
        """Hand every message that was published to the clients that want it."""
        if not self._inbox:
            return
        with self._lock:
            messages = list(self._inbox)
            self._inbox.clear()
        for kind, line in messages:
            if kind == "HR":
                self._newest_hr = line
            for client in list(self._clients.values()):
                if kind == "HR":
                    wanted = client.watching or client.owed_poll
                    client.owed_poll = False
                else:
                    wanted = client.watching and client.ppg
                if wanted:
                    self._send(client, line)
                    if client.ended:
                        self._settle(client)  # this may have been the last thing it waited for

    def _send(self, client: _Client, line: bytes) -> None:
        if client.closed:
            return
        self._counts["sent"] += 1
        sent = 0
        if not client.pending:
            try:
                sent = client.sock.send(line)
            except BlockingIOError:
                pass
            except OSError:
                self._drop(client)
                return
            if sent == len(line):
                return
            client.moved_s = time.monotonic()
        client.pending.append(line[sent:])  # the whole line, usually: then no copy is made
        client.pending_bytes += len(line) - sent
        if client.pending_bytes > self._buffer_limit_bytes:
            self._cut_off(client, f"{client.pending_bytes} bytes unread")
        else:
            self._update(client)

    def _flush(self, client: _Client) -> None:
        while client.pending:
            try:
                sent = client.sock.sendmsg(list(itertools.islice(client.pending, _SENDMSG_LINES)))
            except BlockingIOError:
                return
            except OSError:
                self._drop(client)
                return
            client.moved_s = time.monotonic()
            client.pending_bytes -= sent
            while sent:
                head = client.pending.popleft()
                if sent < len(head):
                    client.pending.appendleft(head[sent:])
                    break
                sent -= len(head)
        self._settle(client)


def _hung_up(sock: socket.socket) -> bool:
    """Whether the other end is closed altogether, and not for sending only."""
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))
