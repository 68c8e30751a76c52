"""The parts of `make test-vm` that need no emulator."""

from __future__ import annotations

import dataclasses
import socket
import struct
import threading
from pathlib import Path
from typing import Dict, List, Tuple

import pytest

from tests.long.recorder import said
from tests.vm.film import Film
from tests.vm.guest import Heard
from tests.vm.image import recipe
from tests.vm.initramfs import load_order
from tests.vm.machines import AMD64, ARM64
from tests.vm.results import Row, error_bpm, table
from tests.vm.usb_camera import UsbCamera
from tests.vm.usb_redir import BULK, CONTROL, HELLO, Setup
from tests.vm.uvc import AE_MODE, MANUAL, PAYLOAD_BYTES, Format, UvcDevice

CAPABILITIES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6


def get(device: UvcDevice, request: int, value: int, index: int, length: int = 64) -> bytes:
    answer = device.control(Setup(0xA1, request, value, index, length, b""))
    assert answer is not None
    return answer


def pieces(data: bytes) -> List[Tuple[int, int]]:
    """Type and subtype of each descriptor; fails unless the lengths add up."""
    found, at = [], 0
    while at < len(data):
        assert data[at] >= 2
        found.append((data[at + 1], data[at + 2]))
        at += data[at]
    assert at == len(data)
    return found


def test_descriptors_add_up() -> None:
    device = UvcDevice((Format("YUYV"), Format("MJPG", ((640, 480), (320, 240)), (30.0, 15.0))))
    whole = device.control(Setup(0x80, 6, 0x0200, 0, 4096, b""))
    assert whole is not None
    assert struct.unpack_from("<H", whole, 2)[0] == len(whole)
    kinds = [kind for kind, _ in pieces(whole)]
    assert kinds.count(4) == 2  # interfaces
    assert kinds.count(5) == 1  # the endpoint
    at = whole.index(bytes([13, 0x24, 1]))
    control = whole[at : at + struct.unpack_from("<H", whole, at + 5)[0]]
    assert [subtype for _, subtype in pieces(control)] == [1, 2, 5, 3]
    at = whole.index(bytes([15, 0x24, 1]))
    stream = whole[at : at + struct.unpack_from("<H", whole, at + 4)[0]]
    assert [subtype for _, subtype in pieces(stream)] == [1, 4, 5, 13, 6, 7, 7, 13]


def test_a_stream_is_negotiated() -> None:
    device = UvcDevice((Format("YUYV"), Format("MJPG", rates=(30.0, 15.0))))
    asked = struct.pack("<HBBI18x", 1, 2, 1, 700_000)
    for selector in (0x0100, 0x0200):
        assert device.control(Setup(0x21, 0x01, selector, 1, 26, asked)) == b""
    assert device.chosen == (1, 0, pytest.approx(15.0, abs=0.01))
    probe = get(device, 0x81, 0x0100, 1)
    assert len(probe) == 26
    assert struct.unpack_from("<II", probe, 18) == (640 * 480 * 2, PAYLOAD_BYTES)


def test_controls_are_remembered_and_unknown_ones_refused() -> None:
    device = UvcDevice((Format("YUYV"),))
    assert device.control(Setup(0x21, 0x01, 0x0200, 0x0100, 1, bytes([MANUAL]))) == b""
    assert device.was_set == [(AE_MODE, MANUAL)]
    assert get(device, 0x81, 0x0200, 0x0100) == bytes([MANUAL])
    assert device.control(Setup(0xA1, 0x81, 0x0900, 0x0100, 4, b"")) is None


class Machine:
    """The other end of the wire, as QEMU's is."""

    def __init__(self, path: str) -> None:
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(path)
        self._server.listen(1)

    def accept(self) -> None:
        self._socket = self._server.accept()[0]
        hello = struct.pack("<64sI", b"machine", CAPABILITIES)
        self._socket.sendall(struct.pack("<III", HELLO, len(hello), 0) + hello)
        assert self._take(12)[:4] == struct.pack("<I", HELLO)
        self._take(68)

    def close(self) -> None:
        self._socket.close()
        self._server.close()

    def send(self, kind: int, number: int, data: bytes) -> None:
        self._socket.sendall(struct.pack("<IIQ", kind, len(data), number) + data)

    def receive(self) -> Tuple[int, int, bytes]:
        kind, length, number = struct.unpack("<IIQ", self._take(16))
        return kind, number, self._take(length)

    def _take(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self._socket.recv(count - len(data))
        return data


def test_pictures_go_over_the_wire_in_payloads(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path / "usb"))
    accepting = threading.Thread(target=machine.accept)
    accepting.start()
    picture = bytes(range(256)) * 100  # two payloads
    camera = UsbCamera(str(tmp_path / "usb"), [Film("MJPG", 64, 48, 100.0, [picture])])
    accepting.join()
    assert [machine.receive()[0] for _ in range(3)] == [4, 5, 1]  # interfaces, endpoints, plugged
    commit = struct.pack("<BBBBHHH", 0, 1, 0x21, 0, 0x0200, 1, 26)
    machine.send(CONTROL, 1, commit + struct.pack("<HBBI18x", 1, 1, 1, 100_000))
    assert machine.receive()[:2] == (CONTROL, 1)
    for number in range(2, 6):
        machine.send(BULK, number, struct.pack("<BBHIH", 0x81, 0, PAYLOAD_BYTES, 0, 0))
    payloads = [machine.receive() for _ in range(4)]
    assert [number for _, number, _ in payloads] == [2, 3, 4, 5]
    heads = [data[10:12] for _, _, data in payloads]
    assert heads == [bytes([2, flags]) for flags in (0x81, 0x83, 0x80, 0x82)]
    assert payloads[0][2][12:] + payloads[1][2][12:] == picture
    camera.unplug()
    machine.close()
    assert camera.sent == 2


def test_modules_are_loaded_after_what_they_need(tmp_path: Path) -> None:
    text = "k/ext4.ko: k/jbd2.ko k/crc16.ko\nk/jbd2.ko:\nk/crc16.ko:\nk/virtio.ko:\n"
    (tmp_path / "modules.dep").write_text(text)
    order = load_order(tmp_path, ["virtio", "builtin", "ext4"])
    assert [file.name for file in order] == ["virtio.ko", "crc16.ko", "jbd2.ko", "ext4.ko"]


def heard(**message: object) -> Heard:
    return Heard(1.0, 2.0, {"class": "HR", **message})


def test_results() -> None:
    fields: Dict[str, object] = {"state": "unsure", "reason": "LOW_FRAME_RATE"}
    readings = [heard(state="tracking", bpm=70.5), heard(state="tracking", bpm=73.0)]
    messages = [one.message for one in (*readings, heard(**fields))]
    assert said(messages) == "bpm, `unsure` LOW_FRAME_RATE"
    assert error_bpm(readings) == 1.5
    assert error_bpm([heard(**fields)]) is None
    last = table([Row("a", "b", "c", 1.5, 2.25)]).splitlines()[-1]
    assert last == "| a | b | c | 1.5 | 2.2 s |"


def test_an_image_is_made_anew_for_what_is_in_it_and_not_for_the_emulator() -> None:
    slower = dataclasses.replace(AMD64, board=("-M", "pc"), memory_mb=512)
    assert recipe(slower) == recipe(AMD64)
    assert recipe(dataclasses.replace(AMD64, kernel="linux-image-rt-amd64")) != recipe(AMD64)
    assert recipe(ARM64) != recipe(AMD64)
