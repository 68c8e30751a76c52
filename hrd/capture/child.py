"""A source in a process of its own, so that its driver or decoder can hang or crash alone.

A thread that hangs inside the kernel can't be ended, and its process can't either: neither a
watchdog nor SIGKILL would bring the camera back. A child process can be killed, or, in the worst
case, left behind while the daemon goes on. The frames come through shared memory, which the child
decodes into and the daemon looks at: no picture is copied. The messages about them, and what the
daemon needs of the next ones, go through a socket pair. An address (with its password) goes
through it too and is on no command line.

This module is longer than 400 lines because both ends of one wire format are kept side by side.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import json
import logging
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from hrd.capture.open import open_source
from hrd.capture.options import CaptureOptions
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.childprocess import StoppedError, await_answer, end, how_it_ended
from hrd.errors import HrdError
from hrd.memory import settle
from hrd.picture import layout_of
from hrd.types import Demand, Frame, Layout, Packing

logger = logging.getLogger(__name__)

SLOTS = 12
"""Frames that fit into the shared memory: those that wait in the daemon's queue, the one that is
looked at and the one that is written. One that finds no room is dropped and counted. Memory that
was never needed is never touched, and so costs nothing."""

_FRAME = struct.Struct("<cBBIQdQBHHBBBBBBBB")
"""Tag, generation of the memory, slot, bytes, index, time, dropped so far; the layout (packing,
width, height, reduced, chroma across and down, full range, BT.709); whether the stream begins anew
there and whether its time is unreliable; the number of earlier times."""
_TIME = struct.Struct("<d")
_PACKINGS = tuple(Packing)
_MOST_EARLIER = 255
_SPARE_SLOTS = 3
"""Whoever keeps frames is given copies before no more than so many slots are left."""
_TAG = b"F"
_MESSAGE_BYTES = 16 * 1024
_ANCILLARY_BYTES = socket.CMSG_SPACE(array.array("i").itemsize)
_MARGIN_S = 1.5  # the child is to notice by itself first
_GRACE_S = 0.7  # to set the camera's exposure free again
_KILL_S = 0.5


_Leases = Dict[bytes, "weakref.ref[np.ndarray]"]
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
            self.info = SourceInfo(**opened["info"])
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process."""
        return self._process.pid

    def read(self) -> Frame:
        patience_s = self._options.read_timeout_s + _MARGIN_S
        if not self._map:  # the first frame comes after the exposure has settled
            patience_s += self._options.settle_s
        message = self._next(f"{self.info.spec} hangs in its driver", patience_s)
        if "frame" not in message:
            raise SourceError(f"{self.info.spec} ended: check the camera.")
        frame: Frame = message["frame"]
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

    def _next(self, hung: str, patience_s: float) -> Dict[str, Any]:
        """The next message; frames are copied out. Raises ``SourceError``."""
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
            if data[:1] == _TAG:
                return {"frame": self._frame(data)}
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

    def _frame(self, data: bytes) -> Frame:
        """The frame of a message. Its slot is given back when nobody holds the picture any more."""
        fields = _FRAME.unpack_from(data)
        _, generation, slot, count, index, time_s, self.dropped = fields[:7]
        packing, width, height, reduced, across, down, full_range, bt709 = fields[7:15]
        cut, unreliable_time, earlier = fields[15:]
        assert self._map is not None
        root = np.frombuffer(self._map, np.uint8, count, slot * self._slot_bytes)
        give_back = bytes([generation, slot])
        if len(self._leases) >= SLOTS - _SPARE_SLOTS:
            root = root.copy()
            _give_back(self._socket, {}, give_back)
        else:
            leases, sock = self._leases, self._socket
            leases[give_back] = weakref.ref(root, lambda _: _give_back(sock, leases, give_back))
        layout = Layout(
            _PACKINGS[packing],
            width,
            height,
            reduced,
            (across, down),
            bool(full_range),
            bool(bt709),
        )
        times = struct.unpack_from(f"<{earlier}d", data, _FRAME.size)
        return Frame(
            _shaped(root, layout), time_s, index, layout, times, bool(cut), bool(unreliable_time)
        )

    def _why_dead(self) -> str:
        how = how_it_ended(self._process, _KILL_S) or "has closed its socket"
        name = self.info.spec if hasattr(self, "info") else "the camera"
        return f"the capture process of {name} {how}: it is started again."


def _give_back(sock: socket.socket, leases: _Leases, message: bytes) -> None:
    leases.pop(message, None)
    with contextlib.suppress(OSError):  # if the child has died meanwhile, the next read tells
        sock.send(message)


def _shaped(flat: np.ndarray, layout: Layout) -> np.ndarray:
    """The picture's bytes in the shape of its layout."""
    if layout.packing is Packing.PLANAR:
        return flat
    if layout.packing is Packing.YUYV:
        return flat.reshape(layout.height_px, layout.width_px, 2)
    rows, columns = (-(-side // layout.reduced) for side in (layout.height_px, layout.width_px))
    return flat.reshape(rows, columns, 3)


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
        _MESSAGE_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
    )
    if not ancillary:
        return data, []
    descriptors = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
    return data, list(descriptors)


# The child's side.


class _Gone(Exception):
    """Nobody listens any more, or we were told to end."""


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
            raise _Gone


class _Outlet:
    """Puts frames into shared memory that grows with them, and tells the parent where.

    ``room`` lends memory to decode into; ``put`` sends what was written there without a copy.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._map: Optional[mmap.mmap] = None
        self._slot_bytes = 0
        self._generation = 0
        self._free: List[int] = []
        self._lent: Optional[Tuple[int, np.ndarray]] = None
        self._dropped = 0
        self.demand = Demand()
        self._cut = False  # of a frame that was dropped, for the next one to say

    def tell(self, message: Dict[str, Any]) -> None:
        self._send(json.dumps(message).encode("ascii"))

    def room(self, count: int) -> np.ndarray:
        """Memory for a picture of ``count`` bytes, (count,) uint8."""
        if self._lent is not None:  # what was decoded into it last was not sent
            self._free.append(self._lent[0])
            self._lent = None
        if count > self._slot_bytes:
            self._grow(count)
        if not self._free:
            self.listen()
        if not self._free:
            return np.empty(count, np.uint8)
        slot = self._free.pop()  # the last given back: its memory is in use already
        assert self._map is not None
        room = np.frombuffer(self._map, np.uint8, count, slot * self._slot_bytes)
        self._lent = (slot, room)
        return room

    def put(self, frame: Frame) -> None:
        self.listen()
        self._cut = self._cut or frame.cut
        earlier = frame.earlier_s
        image = frame.image
        if self._lent is None or not _is_at(image, self._lent[1]):
            room = self.room(image.nbytes)
            if self._lent is not None:
                room[:] = np.ascontiguousarray(image).reshape(-1)
        if self._lent is None:
            self._dropped += 1
            return
        layout = layout_of(frame)
        slot, self._lent = self._lent[0], None
        message = _FRAME.pack(
            _TAG,
            self._generation,
            slot,
            image.nbytes,
            frame.index,
            frame.time_s,
            self._dropped,
            _PACKINGS.index(layout.packing),
            layout.width_px,
            layout.height_px,
            layout.reduced,
            *layout.chroma,
            layout.full_range,
            layout.bt709,
            self._cut,
            frame.unreliable_time,
            min(len(earlier), _MOST_EARLIER),
        )
        times = b"".join(map(_TIME.pack, earlier[-_MOST_EARLIER:]))
        self._send(message + times)
        self._cut = False

    def listen(self) -> None:
        """Take what the parent has said: slots that are free again, and what it needs."""
        while True:
            try:
                data = self._socket.recv(_MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                raise _Gone from None
            if not data:
                raise _Gone
            if len(data) != 2:
                self.demand = Demand(**json.loads(data))
            elif data[0] == self._generation:  # else of a memory that is no more
                self._free.append(data[1])

    def _grow(self, slot_bytes: int) -> None:
        page = mmap.PAGESIZE
        self._slot_bytes = -(-slot_bytes // page) * page
        fd = os.memfd_create("hrd-frames", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, SLOTS * self._slot_bytes)
            self._map = mmap.mmap(fd, SLOTS * self._slot_bytes)
            data = json.dumps({"slot_bytes": self._slot_bytes}).encode("ascii")
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
            try:
                self._socket.sendmsg([data], [rights])
            except OSError:
                raise _Gone from None
        finally:
            os.close(fd)
        self._generation = (self._generation + 1) % 256
        self._free = list(range(SLOTS))
        self._lent = None

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError:
            raise _Gone from None


def _is_at(image: np.ndarray, room: np.ndarray) -> bool:
    """Whether a picture fills the room that was lent for it."""
    return (
        image.nbytes == room.nbytes
        and image.__array_interface__["data"] == room.__array_interface__["data"]
        and image.flags.c_contiguous
    )


def _play(sock: socket.socket, ending: _Ending) -> None:
    """Open what the parent asks for and send its frames until told to end."""
    asked = sock.recv(_MESSAGE_BYTES)
    if not asked:  # the parent gave up while this process was still starting
        return
    request = json.loads(asked)
    _set_up_logging(int(request["level"]))
    outlet = _Outlet(sock)
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
    except _Gone:
        pass
    except Exception:
        if not ending.told:  # else what it broke off, such as an import, has made its own of it
            raise


if __name__ == "__main__":
    main()
