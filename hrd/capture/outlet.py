"""The capture process's end of the line to the daemon: pictures into shared memory, and word of it.

``hrd.capture.child`` has the daemon's end, ``hrd.capture.framewire`` the format.
"""

from __future__ import annotations

import array
import dataclasses
import json
import mmap
import os
import socket
import time
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from hrd.capture.framewire import SLOTS, Slot, pack
from hrd.types import Demand, Frame

MESSAGE_BYTES = 16 * 1024
"""No message is longer, in either direction."""

MOST_TOGETHER = 5
"""Frames in a message: more would crowd the daemon's queue."""


class Gone(Exception):
    """Nobody listens any more, or we were told to end."""


class Outlet:
    """Puts frames into shared memory that grows with them, and tells the parent where.

    ``room`` lends memory to decode into; ``put`` sends what was written there without a copy.
    Where the parent's ``demand`` allows it, word of some frames goes together: it wakes up less
    often, and works on them in a row.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._map: Optional[mmap.mmap] = None
        self._slot_bytes = 0
        self._generation = 0
        self._free: List[int] = []
        self._lent: Optional[Tuple[int, np.ndarray]] = None
        self._dropped = 0
        self._held: List[bytes] = []
        self._held_since_s = 0.0
        self._last_s = float("-inf")
        self._cut = False  # of a frame that was dropped, for the next one to say
        self.demand = Demand()

    def tell(self, message: Dict[str, Any]) -> None:
        """Send a message that is no frame, after the frames before it."""
        self.flush()
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
        self._lent = slot, room
        return room

    def put(self, frame: Frame) -> None:
        """Send a frame, at once or soon; one for which there is no room is dropped and counted."""
        if not self._held:
            self.listen()
        if self._cut and not frame.cut:
            frame = dataclasses.replace(frame, cut=True)
        image = frame.image
        if self._lent is None or not _fills(image, self._lent[1]):
            room = self.room(image.nbytes)
            if self._lent is not None:
                room[:] = np.ascontiguousarray(image).reshape(-1)
        if self._lent is None:
            self._cut = frame.cut
            self._dropped += 1
            return
        slot, self._lent = Slot(self._generation, self._lent[0]), None
        self._cut = False
        now_s = time.monotonic()
        step_s, self._last_s = now_s - self._last_s, now_s
        if not self._held:
            self._held_since_s = now_s
        self._held.append(pack(frame, slot, self._dropped))
        next_s = now_s + step_s - self._held_since_s  # how late the first would be with the next
        if len(self._held) >= MOST_TOGETHER or next_s > self.demand.together_s:
            self.flush()

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            message, self._held = b"".join(self._held), []
            self._send(message)

    def listen(self) -> None:
        """Take what the parent has said: slots that are free again, and what it needs."""
        while True:
            try:
                data = self._socket.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                raise Gone from None
            if not data:
                raise Gone
            if len(data) != 2:
                self.demand = Demand(**json.loads(data))
            elif data[0] == self._generation:  # else of a memory that is no more
                self._free.append(data[1])

    def _grow(self, slot_bytes: int) -> None:
        self.flush()  # what it tells of lies in the old memory
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
                raise Gone from None
        finally:
            os.close(fd)
        self._generation = (self._generation + 1) % 256
        self._free = list(range(SLOTS))
        self._lent = None

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError:
            raise Gone from None


def _fills(image: np.ndarray, room: np.ndarray) -> bool:
    """Whether a picture fills the room that was lent for it."""
    return (
        image.nbytes == room.nbytes
        and image.flags.c_contiguous
        and np.may_share_memory(image, room)
    )
