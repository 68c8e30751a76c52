"""A USB device outside of the machine that it is plugged into: the usbredir protocol, version 0.7.

QEMU's ``usb-redir`` puts whatever speaks it on the emulated bus, where the machine's kernel meets
it as it would meet the thing itself. Only what a camera with one bulk endpoint needs is here.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import List, Optional, Tuple

HELLO, CONNECT, DISCONNECT, RESET, INTERFACES, ENDPOINTS = range(6)
SET_CONFIGURATION, GET_CONFIGURATION, CONFIGURATION_STATUS = 6, 7, 8
SET_ALTERNATE, GET_ALTERNATE, ALTERNATE_STATUS = 9, 10, 11
CANCEL = 21
CONTROL, BULK = 100, 101

SUCCESS, CANCELLED, STALL = 0, 1, 4
HIGH_SPEED = 2
_TYPE_BULK, _TYPE_CONTROL, _TYPE_NONE = 2, 0, 255

# of what both sides can do: a device's release, an endpoint's packet size, 64-bit numbers, lengths
_CAPABILITIES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6
_HEADER = struct.Struct("<IIQ")
_HEADER_OF_HELLO = struct.Struct("<III")  # sent before the other side has said what it can
_CONTROL = struct.Struct("<BBBBHHH")
_BULK = struct.Struct("<BBHIH")


@dataclass(frozen=True)
class Packet:
    """One message. ``number``: what its answer repeats."""

    kind: int
    number: int
    data: bytes


@dataclass(frozen=True)
class Setup:
    """A control transfer; ``data``: what the machine sends with it."""

    request_type: int
    request: int
    value: int
    index: int
    length: int
    data: bytes


class Wire:
    """One plugged-in device's connection."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(60.0)
        self._socket.connect(path)
        self._buffered = b""
        hello = struct.pack("<64sI", b"hrd camera", _CAPABILITIES)
        self._socket.sendall(_HEADER_OF_HELLO.pack(HELLO, len(hello), 0) + hello)
        kind, length, _ = _HEADER_OF_HELLO.unpack(self._take(_HEADER_OF_HELLO.size))
        capabilities = struct.unpack_from("<I", self._take(length), 64)[0]
        assert kind == HELLO
        assert capabilities & _CAPABILITIES == _CAPABILITIES, hex(capabilities)
        self._socket.settimeout(None)

    def close(self) -> None:
        """Pull the plug."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the machine is gone
        self._socket.close()

    def receive(self) -> Optional[Packet]:
        """The next packet; None once the plug has been pulled."""
        try:
            kind, length, number = _HEADER.unpack(self._take(_HEADER.size))
            return Packet(kind, number, self._take(length))
        except OSError:
            return None

    def send(self, kind: int, number: int, data: bytes) -> None:
        """Raises ``OSError`` once the plug has been pulled."""
        self._socket.sendall(_HEADER.pack(kind, len(data), number) + data)

    def plug_in(self, vendor: int, product: int, interfaces: List[Tuple[int, int]]) -> None:
        """Announce a high-speed device: the class and subclass of its interfaces, of which the
        last has the bulk endpoint 0x81 of 512 bytes."""
        rows = interfaces + [(0, 0)] * (32 - len(interfaces))
        table = bytes(range(32)) + bytes(a for a, _ in rows) + bytes(b for _, b in rows) + bytes(32)
        self.send(INTERFACES, 0, struct.pack("<I", len(interfaces)) + table)
        kinds, owners, sizes = [_TYPE_NONE] * 32, [0] * 32, [0] * 32
        for endpoint in (0, 16):
            kinds[endpoint], sizes[endpoint] = _TYPE_CONTROL, 64
        kinds[17], owners[17], sizes[17] = _TYPE_BULK, len(interfaces) - 1, 512
        ends = bytes(kinds) + bytes(32) + bytes(owners) + struct.pack("<32H", *sizes)
        self.send(ENDPOINTS, 0, ends)
        device = struct.pack("<BBBBHHH", HIGH_SPEED, 0xEF, 2, 1, vendor, product, 0x0100)
        self.send(CONNECT, 0, device)

    def answer_control(self, asked: Packet, answer: Optional[bytes]) -> None:
        """``answer``: the data; None to stall (the device does not know that request)."""
        endpoint, request, kind, _, value, index, length = _CONTROL.unpack_from(asked.data)
        status = STALL if answer is None else SUCCESS
        data = b"" if answer is None else answer[:length]
        if kind & 0x80:
            length = len(data)
        else:
            data = b""
        head = _CONTROL.pack(endpoint, request, kind, status, value, index, length)
        self.send(CONTROL, asked.number, head + data)

    def answer_bulk(self, number: int, data: bytes, status: int = SUCCESS) -> None:
        head = _BULK.pack(0x81, status, len(data) & 0xFFFF, 0, len(data) >> 16)
        self.send(BULK, number, head + data)

    def _take(self, count: int) -> bytes:
        while len(self._buffered) < count:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise OSError("unplugged")
            self._buffered += piece
        data, self._buffered = self._buffered[:count], self._buffered[count:]
        return data


def parse_control(packet: Packet) -> Setup:
    """What a ``CONTROL`` packet asks."""
    _, request, kind, _, value, index, length = _CONTROL.unpack_from(packet.data)
    return Setup(kind, request, value, index, length, packet.data[_CONTROL.size :])


def bulk_length(packet: Packet) -> int:
    """How many bytes a ``BULK`` packet asks for at most."""
    _, _, low, _, high = _BULK.unpack_from(packet.data)
    return int(low | high << 16)
