"""The socket server: one thread serves every client of protocol 1.

``publish`` is called from the pipeline's thread, encodes the message once and never waits. The
server's thread hands the bytes to every client that wants them. What a client has not read waits
in a bounded queue (of references to the same bytes); a client whose queue is full, or that takes
nothing for ``stall_s``, is cut off. A client's requests are read only while it takes its answers,
and no more of them are served in a second, nor more connections taken, than leave the pipeline,
which runs in the same process, its time: the rest waits its turn.

``hrd.service.door`` lets clients in, ``hrd.service.connection`` is one of them,
``hrd.service.ration`` says how much may be done for them.
"""

from __future__ import annotations

import dataclasses
import logging
import selectors
import socket
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, FrozenSet, List, Mapping, Optional, Set

from hrd import protocol
from hrd.protocol import DEFAULT_SOCKET, MAX_REQUEST_BYTES, STREAMS, ProtocolError
from hrd.service.connection import Connection, Gone
from hrd.service.door import Door
from hrd.service.inbox import Inbox
from hrd.service.lines import Line
from hrd.service.listen import Listener, ServerError, adopt, listen
from hrd.service.ration import Ration
from hrd.status import ClientCounts, Status

__all__ = ["ServerError", "SocketServer"]

logger = logging.getLogger(__name__)

MAX_CLIENTS = 1024
BUFFER_LIMIT_BYTES = 64 * 1024
STALL_S = 10.0

_SWEEP_S = 1.0


class SocketServer:
    """Offers readings on a UNIX socket.

    The constructor listens (raises ``ServerError``), ``start`` starts the thread, ``close`` ends
    it, closes every connection and removes the socket file if it is still this server's; the
    server is a context manager that does both. ``status`` is called in the server's thread for
    every STATUS request: it must be quick and thread-safe; the server fills in ``clients``.
    ``group``: given to the socket if the group exists. ``listen_socket``: an already listening
    socket to use in place of ``path``. ``on_failure``: called, in the server's thread, with the
    exception that ended it, if one did.
    """

    def __init__(
        self,
        path: str = DEFAULT_SOCKET,
        release: str = "unknown",
        status: Callable[[], Status] = Status,
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
        listener: Listener = (
            adopt(listen_socket) if listen_socket is not None else listen(path, mode, group)
        )
        self.path = listener.path
        """Where it listens."""
        self._version_line = protocol.encode(protocol.version_message(release))
        self._status = status
        self._buffer_limit_bytes = buffer_limit_bytes
        self._stall_s = stall_s
        self._on_failure = on_failure

        # All below: the server's thread only (stats reads the counts).
        self._clients: Dict[int, Connection] = {}
        self._newest_hr: Optional[bytes] = None
        self._wanted: FrozenSet[str] = frozenset()
        self._ration = Ration()
        self._backlog: Deque[Connection] = deque()  # have complete requests waiting
        self._watched: Set[Connection] = set()  # stalled or half-closed: looked at now and then
        self._next_sweep_s = 0.0
        self._status_failing = False
        self._counts = dict.fromkeys(("accepted", "cut_off", "requests", "bad_requests", "sent"), 0)

        self._thread: Optional[threading.Thread] = None
        try:
            self._selector = selectors.DefaultSelector()
            self._inbox = Inbox()
        except OSError as error:
            listener.close()
            raise ServerError(
                f"Cannot serve {self.path} ({error.strerror}):"
                " raise the limit of open files (ulimit -n)."
            ) from None
        self._selector.register(self._inbox.fd, selectors.EVENT_READ, self._inbox)
        self._door = Door(listener, max_clients, self._ration, self._selector)

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
        self._inbox.close()
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
        """Send an HR, PPG or SETUP to every client that wants it. From any thread; never waits.

        Raises ``ValueError`` for other classes and for what cannot be encoded. After ``close`` it
        does nothing. Should the server's thread be overwhelmed, the oldest message waiting is
        dropped and counted.
        """
        kind = message.get("class")
        if kind != "HR" and kind not in STREAMS.values():
            raise ValueError(f"only HR, {', '.join(STREAMS.values())} are published, not {kind!r}")
        self._inbox.put(str(kind), protocol.encode(message))

    def wanted(self, kind: str) -> bool:
        """Whether any client has asked for messages of this class, which need not be made else.
        From any thread."""
        return kind in self._wanted

    def undelivered_s(self) -> float:
        """How long the server's thread has let a message lie; 0 if there is none."""
        return self._inbox.waiting_s()

    def stats(self) -> ClientCounts:
        """How many clients there are, and what has become of those there were."""
        return ClientCounts(
            connected=len(self._clients),
            refused=self._door.refused,
            dropped=self._inbox.dropped,
            **self._counts,
        )

    # The server's thread.

    def _run(self) -> None:
        try:
            while not self._inbox.closing:
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
            if key.data is self._inbox:
                self._inbox.drain()
            elif key.data is self._door:
                for sock in self._door.come_in(lambda: len(self._clients)):
                    self._welcome(sock)
            elif not key.data.closed:
                self._serve(key.data, events)
            self._deliver()  # between clients: no client's requests delay a reading
        self._answer_backlog()
        now_s = time.monotonic()
        self._door.open_if_due(now_s)
        if self._watched and now_s >= self._next_sweep_s:
            self._sweep(now_s)
            self._next_sweep_s = now_s + min(_SWEEP_S, self._stall_s / 4.0)

    def _timeout_s(self) -> Optional[float]:
        due_s: List[float] = []
        if self._backlog:
            due_s.append(self._ration.again_s)
        if self._door.again_s is not None:
            due_s.append(self._door.again_s)
        if self._watched:
            due_s.append(self._next_sweep_s)
        return max(0.0, min(due_s) - time.monotonic()) if due_s else None

    def _release(self) -> None:
        if not self._inbox.release():
            return
        self._door.close()
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.close()

    # Connections.

    def _welcome(self, sock: socket.socket) -> None:
        client = Connection(sock)
        logger.debug("client connected: %s", client.name)
        self._counts["accepted"] += 1
        self._clients[sock.fileno()] = client
        self._update(client)
        self._send(client, self._version_line)
        if self._newest_hr is not None:
            self._send(client, self._newest_hr)

    def _drop(self, client: Connection) -> None:
        if client.closed:
            return
        if client.interest:
            self._selector.unregister(client.sock)
        self._clients.pop(client.sock.fileno(), None)
        self._watched.discard(client)
        client.close()
        self._note_wanted()
        logger.debug("client gone: %s", client.name)

    def _note_wanted(self) -> None:
        watching = (client.streams for client in self._clients.values() if client.watching)
        self._wanted = frozenset().union(*watching)

    def _cut_off(self, client: Connection, why: str) -> None:
        self._counts["cut_off"] += 1
        logger.warning("client cut off (%s): %s", client.name, why)
        self._drop(client)

    def _sweep(self, now_s: float) -> None:
        """Find clients that make no event: stalled ones, and half-closed ones that have gone."""
        for client in list(self._watched):
            if client.pending and now_s - client.moved_s >= self._stall_s:
                self._cut_off(client, f"took nothing for {self._stall_s:g} s")
            elif client.ended and client.hung_up():
                self._drop(client)

    # Traffic.

    def _update(self, client: Connection) -> None:
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

    def _serve(self, client: Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                client.flush()
            elif events & selectors.EVENT_READ:
                client.receive()
        except Gone:
            self._drop(client)
        else:
            self._settle(client)

    def _settle(self, client: Connection) -> None:
        """After anything that has changed a client's state: what is to happen to it next."""
        if client.closed:
            return
        if client.lines.ready and not client.pending:
            if not client.queued:
                client.queued = True
                self._backlog.append(client)
        elif client.finished:
            self._drop(client)
            return
        self._update(client)

    def _answer_backlog(self) -> None:
        """Answer waiting requests, one of each client in turn, as far as the work allowed goes."""
        while self._backlog:
            client = self._backlog[0]
            if not client.closed and not client.pending:
                if not self._ration.take():
                    return
                line = client.lines.take()
                if line is not None:
                    self._respond(client, line)
            self._backlog.popleft()
            client.queued = False
            self._settle(client)  # to the end of the queue, if it has more
            self._deliver()

    def _respond(self, client: Connection, line: Line) -> None:
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
            client.streams = request.streams
            self._note_wanted()
        elif request.kind == "STATUS":
            self._send(client, self._status_line())
        elif self._newest_hr is not None:
            self._send(client, self._newest_hr)
        else:
            client.owed_poll = True

    def _status_line(self) -> bytes:
        try:
            status = dataclasses.replace(self._status(), clients=self.stats())
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
        for kind, line in self._inbox.take():
            if kind == "HR":
                self._newest_hr = line
            for client in list(self._clients.values()):
                if kind == "HR":
                    wanted = client.watching or client.owed_poll
                    client.owed_poll = False
                else:
                    wanted = client.watching and kind in client.streams
                if wanted:
                    self._send(client, line)
                    if client.ended:
                        self._settle(client)  # this may have been the last thing it waited for

    def _send(self, client: Connection, line: bytes) -> None:
        if client.closed:
            return
        self._counts["sent"] += 1
        try:
            client.send(line)
        except Gone:
            self._drop(client)
            return
        if client.pending_bytes > self._buffer_limit_bytes:
            self._cut_off(client, f"{client.pending_bytes} bytes unread")
        elif client.pending:
            self._update(client)
