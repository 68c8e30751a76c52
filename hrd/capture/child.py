"""A source in a process of its own, so that its driver or decoder can hang or crash alone.

A thread that hangs inside the kernel can't be ended, and its process can't either: neither a
watchdog nor SIGKILL would bring the camera back. A child process can be killed, or, in the worst
case, left behind while the daemon goes on. The frames come through shared memory, which the child
decodes into and the daemon looks at: no picture is copied. The messages about them, and what the
daemon needs of the next ones, go through a socket pair. An address (with its password) goes
through it too and is on no command line.
"""

from __future__ import annotations

import array
import collections
import contextlib
import dataclasses
import json
import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Any, Deque, Dict, List, Optional, Tuple

import numpy as np

from hrd.capture.framewire import SLOTS, Record, Slot, is_frames, unpack
from hrd.capture.open import open_source
from hrd.capture.options import CaptureOptions
from hrd.capture.outlet import MESSAGE_BYTES, Gone, Outlet
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.childprocess import StoppedError, await_answer, end, how_it_ended
from hrd.errors import HrdError
from hrd.memory import settle
from hrd.types import Demand, Frame

logger = logging.getLogger(__name__)

_SPARE_SLOTS = 3
"""Whoever keeps frames is given copies before no more than so many slots are left."""
_ANCILLARY_BYTES = socket.CMSG_SPACE(array.array("i").itemsize)
_MARGIN_S = 1.5  # the child is to notice by itself first
_GRACE_S = 0.7  # to set the camera's exposure free again
_KILL_S = 0.5


_Leases = Dict[Slot, "weakref.ref[np.ndarray]"]
"""Slots whose pictures somebody holds, and who."""


class ChildSource(FrameSource):
    """Reads ``spec`` in a child process. Live, whatever the source is.

    The constructor opens it and raises ``SourceError`` as the source itself would. ``stop``: set
    by another thread to end whatever this one waits for (``SourceError``). A child that says
    nothing for ``options.read_timeout_s`` and a little is taken for hung. ``close`` gives the
    child a moment, then kills it; one that even SIGKILL does not end is left behind.
    """

    live = True

    def __init__(
        self, spec: str, options: CaptureOptions, stop: Optional[threading.Event] = None
    ) -> None:
        self._options = options
        self._stop = stop if stop is not None else threading.Event()
        self._map: Optional[mmap.mmap] = None
        self._slot_bytes = 0
        self._closed = False
        self.dropped = 0
        self._leases: _Leases = {}
        self._arrived: Deque[Record] = collections.deque()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "hrd.capture.child", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us, and we end it in order
                    env=_environment(),
                )
        except OSError as error:
            ours.close()
            raise SourceError(
                f"no process can be started for the camera ({error.strerror}): "
                "end other programs, or set source.own_process to never."
            ) from None
        ours.setblocking(False)
        try:
            self._tell(
                {
                    "spec": spec,
                    "options": dataclasses.asdict(options),
                    "level": logging.getLogger().getEffectiveLevel(),
                }
            )
            patience_s = options.open_timeout_s + options.settle_s + options.read_timeout_s
            opened = self._next(f"{_shown(spec)} could not be opened in time", patience_s + 5.0)
            assert opened is not None
            self.info = SourceInfo(**opened["info"])
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process."""
        return self._process.pid

    def read(self) -> Frame:
        if not self._arrived:
            patience_s = self._options.read_timeout_s + _MARGIN_S
            if not self._map:  # the first frame comes after the exposure has settled
                patience_s += self._options.settle_s
            if self._next(f"{self.info.spec} hangs in its driver", patience_s) is not None:
                raise SourceError(f"{self.info.spec} ended: check the camera.")
        frame, self.dropped = self._arrived.popleft()
        return frame

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not end(self._process, (signal.SIGTERM, _GRACE_S), (signal.SIGKILL, _KILL_S)):
            logger.error(
                "the capture process %d hangs in the kernel and is left behind: "
                "unplug the camera, or restart the machine",
                self._process.pid,
            )
        self._socket.close()
        self._map = None  # unmapped with the last frame that lies in it

    def ask(self, demand: Demand) -> None:
        self.demand = demand
        with contextlib.suppress(SourceError):  # if it has died, the next read tells
            self._tell(dataclasses.asdict(demand))

    def _tell(self, message: Dict[str, Any]) -> None:
        try:
            self._socket.send(json.dumps(message).encode("ascii"))
        except OSError as error:
            raise SourceError(
                f"the capture process cannot be reached ({error.strerror})."
            ) from None

    def _next(self, hung: str, patience_s: float) -> Optional[Dict[str, Any]]:
        """The next message; None where it was frames, which are in ``_arrived`` then. Raises
        ``SourceError``."""
        deadline_s = time.monotonic() + patience_s
        while True:
            try:
                await_answer(self._socket, deadline_s, self._stop)
            except StoppedError:
                raise SourceError("The camera is being closed.") from None
            except TimeoutError:
                raise SourceError(f"{hung}: its process is killed and started again.") from None
            try:
                data, descriptors = _receive(self._socket)
            except ConnectionResetError:
                continue  # it ended before it had read all; what it said last comes next
            except OSError:
                data, descriptors = b"", []
            for fd in descriptors:
                self._adopt(fd)
            if is_frames(data):
                self._arrived.extend(unpack(data, self._picture))
                return None
            if not data:
                raise SourceError(self._why_dead())
            message: Dict[str, Any] = json.loads(data)
            if "slot_bytes" in message:
                self._slot_bytes = int(message["slot_bytes"])
                continue
            if "error" in message:
                raise SourceError(str(message["error"]))
            return message

    def _adopt(self, fd: int) -> None:
        """Map the memory that the child has made; a larger one replaces a smaller."""
        try:
            self._map = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        finally:
            os.close(fd)

    def _picture(self, slot: Slot, count: int) -> np.ndarray:
        """The bytes in a slot, which is given back when nobody holds them any more."""
        assert self._map is not None
        root = np.frombuffer(self._map, np.uint8, count, slot.number * self._slot_bytes)
        if len(self._leases) >= SLOTS - _SPARE_SLOTS:
            root = root.copy()
            _give_back(self._socket, {}, slot)
        else:
            leases, sock = self._leases, self._socket
            leases[slot] = weakref.ref(root, lambda _: _give_back(sock, leases, slot))
        return root

    def _why_dead(self) -> str:
        how = how_it_ended(self._process, _KILL_S) or "has closed its socket"
        name = self.info.spec if hasattr(self, "info") else "the camera"
        return f"the capture process of {name} {how}: it is started again."


def _give_back(sock: socket.socket, leases: _Leases, slot: Slot) -> None:
    leases.pop(slot, None)
    with contextlib.suppress(OSError):  # if the child has died meanwhile, the next read tells
        sock.send(bytes(slot))


def _environment() -> Dict[str, str]:
    # one copy of each frame needs no pool of threads, and a pool costs memory
    settings = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    settings["OPENCV_LOG_LEVEL"] = "SILENT"  # hrd says in its own words what is wrong
    # glibc hands a picture's memory back to the system when it is freed, and fetches it page by
    # page for the next: a tenth of this process's time (mallopt(3))
    settings["MALLOC_MMAP_THRESHOLD_"] = settings["MALLOC_TRIM_THRESHOLD_"] = str(2**25)
    settings["MALLOC_TOP_PAD_"] = str(2**24)
    return {**os.environ, **settings}


def _shown(spec: str) -> str:
    from hrd.capture.address import shown_address

    return shown_address(spec)


def _receive(sock: socket.socket) -> Tuple[bytes, List[int]]:
    """One message and the descriptors with it (``socket.recv_fds`` is Python 3.9's)."""
    data, ancillary, _flags, _address = sock.recvmsg(
        MESSAGE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
    )
    if not ancillary:
        return data, []
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return data, list(descriptors)


# The child's side.


class _Ending:
    """SIGTERM ends the loop between two frames, so that the camera is left as it was found.

    Once the end has ``begun``, for whatever reason, another SIGTERM changes nothing: neither the
    closing of the camera nor the interpreter's own end is broken off.
    """

    def __init__(self) -> None:
        self._begun = False
        self.told = False
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def begin(self) -> None:
        self._begun = True

    def _leave(self, number: int, frame: Optional[FrameType]) -> None:
        if not self._begun:
            self._begun = self.told = True
            raise Gone


def _play(sock: socket.socket, ending: _Ending) -> None:
    """Open what the parent asks for and send its frames until told to end."""
    asked = sock.recv(MESSAGE_BYTES)
    if not asked:  # the parent gave up while this process was still starting
        return
    request = json.loads(asked)
    _set_up_logging(int(request["level"]))
    outlet = Outlet(sock)
    try:
        source = open_source(request["spec"], CaptureOptions(**request["options"]))
    except HrdError as error:
        outlet.tell({"error": str(error)})
        return
    with contextlib.ExitStack() as stack:
        stack.callback(source.close)
        stack.callback(ending.begin)  # before the camera is closed
        if not source.live:
            from hrd.capture.paced import PacedSource

            source = PacedSource(source, threading.Event())
        source.allocate = outlet.room
        outlet.tell({"info": dataclasses.asdict(source.info)})
        settle()
        try:
            while True:
                frame = source.read()
                if frame is None:
                    outlet.tell({"end": True})
                    return
                outlet.put(frame)
                source.demand = outlet.demand
        except HrdError as error:
            outlet.tell({"error": str(error)})


def _set_up_logging(level: int) -> None:
    from hrd.journal import RateLimit, make_handler

    handler = make_handler()
    handler.addFilter(RateLimit())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def main() -> None:
    """The child."""
    ending = _Ending()
    try:
        with socket.socket(fileno=int(sys.argv[1])) as sock:
            os.set_inheritable(sock.fileno(), False)
            _play(sock, ending)
        ending.begin()
    except Gone:
        pass
    except Exception:
        if not ending.told:  # else what it broke off, such as an import, has made its own of it
            raise


if __name__ == "__main__":
    main()
