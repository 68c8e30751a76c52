"""A USB camera plugged into a virtual machine, which its kernel's ``uvcvideo`` drives."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Deque, List, Optional, Tuple

from tests.vm.film import Film
from tests.vm.usb_redir import (
    ALTERNATE_STATUS,
    BULK,
    CANCEL,
    CANCELLED,
    CONFIGURATION_STATUS,
    CONTROL,
    GET_ALTERNATE,
    GET_CONFIGURATION,
    SET_ALTERNATE,
    SET_CONFIGURATION,
    Packet,
    Wire,
    bulk_length,
    parse_control,
)
from tests.vm.uvc import INTERFACES, PAYLOAD_BYTES, PRODUCT, VENDOR, Format, UvcDevice

_HEADER_BYTES = 2
_END_OF_HEADER, _END_OF_FRAME = 0x80, 0x02


class UsbCamera:
    """Plugged in by the constructor, pulled out by ``unplug``.

    ``films``: one for each format that it offers. ``mode``: ``face``; ``silent`` (the stream stays
    open, nothing comes); ``frozen`` (the same picture again and again); ``damaged`` (half of each
    picture). A picture for which the machine has not asked in time is dropped and counted, as by a
    real camera.
    """

    def __init__(self, port: str, films: List[Film]) -> None:
        self.mode = "face"
        self.sent = 0
        self.dropped = 0
        self._films = films
        self.device = UvcDevice(
            tuple(Format(f.letters, ((f.width_px, f.height_px),), (f.fps,)) for f in films)
        )
        self._asked: Deque[Tuple[int, int]] = deque()
        self._lock = threading.Condition()
        self._gone = threading.Event()
        self._toggle = 0
        self._wire = Wire(port)
        self._wire.plug_in(VENDOR, PRODUCT, INTERFACES)
        self._threads = [threading.Thread(target=self._listen), threading.Thread(target=self._play)]
        for thread in self._threads:
            thread.start()

    @property
    def streaming(self) -> bool:
        """Whether the machine waits for pictures."""
        return bool(self._asked)

    def unplug(self) -> None:
        """Pull it out; may be repeated."""
        self._gone.set()
        self._wire.close()
        with self._lock:
            self._lock.notify_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> UsbCamera:
        return self

    def __exit__(self, *exc: object) -> None:
        self.unplug()

    def _listen(self) -> None:
        while True:
            packet = self._wire.receive()
            if packet is None:
                self._gone.set()
                return
            try:
                self._answer(packet)
            except OSError:
                pass  # unplugged meanwhile

    def _answer(self, packet: Packet) -> None:
        if packet.kind == CONTROL:
            self._wire.answer_control(packet, self.device.control(parse_control(packet)))
        elif packet.kind == BULK:
            with self._lock:
                self._asked.append((packet.number, bulk_length(packet)))
                self._lock.notify_all()
        elif packet.kind == CANCEL:
            with self._lock:
                waiting = [asked for asked in self._asked if asked[0] == packet.number]
                for asked in waiting:
                    self._asked.remove(asked)
            if waiting:
                self._wire.answer_bulk(packet.number, b"", CANCELLED)
        elif packet.kind in (SET_CONFIGURATION, GET_CONFIGURATION):
            self._wire.send(CONFIGURATION_STATUS, packet.number, bytes([0, 1]))
        elif packet.kind == SET_ALTERNATE:
            self._wire.send(ALTERNATE_STATUS, packet.number, bytes([0]) + packet.data[:2])
        elif packet.kind == GET_ALTERNATE:
            self._wire.send(ALTERNATE_STATUS, packet.number, bytes([0, packet.data[0], 0]))

    def _play(self) -> None:
        due_s = time.monotonic()
        index = 0
        while not self._gone.is_set():
            chosen = self.device.chosen
            film = self._films[chosen[0] if chosen else 0]
            due_s += 1.0 / film.fps
            if self._gone.wait(max(0.0, due_s - time.monotonic())):
                return
            if self.mode != "frozen":
                index += 1
            if self.mode == "silent" or chosen is None:
                continue
            try:
                self._send(film.frames[index % len(film.frames)], due_s + 1.0 / film.fps)
            except OSError:
                return
            if time.monotonic() > due_s + 1.0:  # it could not be sent for long: no catching up
                due_s = time.monotonic()

    def _send(self, picture: bytes, until_s: float) -> None:
        if not self._asked:
            self.dropped += 1
            return
        if self.mode == "damaged":
            picture = picture[: len(picture) // 2]
        self._toggle ^= 1
        room = PAYLOAD_BYTES - _HEADER_BYTES
        for start in range(0, len(picture), room):
            flags = _END_OF_HEADER | self._toggle
            if start + room >= len(picture):
                flags |= _END_OF_FRAME
            number = self._next_asked(until_s)
            if number is None:
                self.dropped += 1
                return
            payload = bytes([_HEADER_BYTES, flags]) + picture[start : start + room]
            self._wire.answer_bulk(number, payload)
        self.sent += 1

    def _next_asked(self, until_s: float) -> Optional[int]:
        """A request of the machine to be answered; None if none comes in time."""
        with self._lock:
            ready = self._lock.wait_for(
                lambda: bool(self._asked) or self._gone.is_set(),
                max(0.0, until_s - time.monotonic()),
            )
            if not ready or self._gone.is_set():
                return None
            return self._asked.popleft()[0]
