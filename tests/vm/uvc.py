"""What a USB camera says of itself: the descriptors and controls of a UVC 1.0 device.

Pure: requests in, answers out. The camera has a bulk endpoint, automatic exposure (aperture
priority) and automatic white balance, and remembers everything that was set.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from tests.vm.usb_redir import Setup

VENDOR, PRODUCT = 0x1209, 0x0001
NAME = "hrd test camera"
INTERFACES = [(0x0E, 1), (0x0E, 2)]
PAYLOAD_BYTES = 16384
_INTERVAL_HZ = 10_000_000

AE_MODE, EXPOSURE, WHITE, WHITE_AUTO = "ae_mode", "exposure", "white", "white_auto"
MANUAL, APERTURE_PRIORITY = 1, 8

_SET_CUR, _GET_CUR, _GET_MIN, _GET_MAX, _GET_RES, _GET_LEN, _GET_INFO, _GET_DEF = (
    0x01,
    *range(0x81, 0x88),
)


@dataclass(frozen=True)
class Format:
    """One that the camera offers: its four letters, and the sizes and rates that go with it."""

    letters: str
    sizes: Tuple[Tuple[int, int], ...] = ((640, 480),)
    rates: Tuple[float, ...] = (30.0,)

    @property
    def guid(self) -> bytes:
        code = {"YUYV": b"YUY2", "GREY": b"Y800"}.get(self.letters, self.letters.encode())
        return code + bytes.fromhex("00001000800000aa00389b71")


@dataclass(frozen=True)
class _Control:
    """``at``: unit and selector. Values: least, most, step (of AE_MODE: what it knows), default."""

    name: str
    at: Tuple[int, int]
    size: int
    least: int
    most: int
    step: int
    default: int


_CONTROLS = (
    _Control(AE_MODE, (1, 0x02), 1, 0, 0, MANUAL | APERTURE_PRIORITY, APERTURE_PRIORITY),
    _Control(EXPOSURE, (1, 0x04), 4, 3, 2047, 1, 166),
    _Control(WHITE, (2, 0x0A), 2, 2800, 6500, 10, 4600),
    _Control(WHITE_AUTO, (2, 0x0B), 1, 0, 1, 1, 1),
)


class UvcDevice:
    """Answers control transfers. ``chosen``: what was committed last, as indices of ``formats``,
    its ``sizes`` and the rate in Hz. ``was_set``: every control that was set, in order."""

    def __init__(self, formats: Tuple[Format, ...]) -> None:
        self.formats = formats
        self.chosen: Optional[Tuple[int, int, float]] = None
        self.was_set: List[Tuple[str, int]] = []
        self.values: Dict[str, int] = {control.name: control.default for control in _CONTROLS}
        self._probe = self._complete(1, 1, 0)

    def control(self, setup: Setup) -> Optional[bytes]:
        """The answer's data; None for a request that the device does not know."""
        if setup.request_type == 0x80 and setup.request == 6:
            return self._descriptor(setup.value)
        if setup.request_type == 0x80 and setup.request == 0:  # GET_STATUS
            return b"\0\0"
        if setup.request_type in (0x00, 0x01, 0x02):  # features, of the endpoint above all
            return b""
        if setup.request_type not in (0xA1, 0x21):
            return None
        unit, interface = setup.index >> 8, setup.index & 0xFF
        selector = setup.value >> 8
        if interface == 1 and selector in (1, 2):
            return self._negotiate(setup, selector == 2)
        for control in _CONTROLS:
            if interface == 0 and control.at == (unit, selector):
                return self._govern(setup, control)
        return None

    def _govern(self, setup: Setup, control: _Control) -> Optional[bytes]:
        size = control.size
        if setup.request == _SET_CUR:
            value = int.from_bytes(setup.data[:size], "little")
            self.values[control.name] = value
            self.was_set.append((control.name, value))
            return b""
        answers = {
            _GET_CUR: self.values[control.name],
            _GET_MIN: control.least,
            _GET_MAX: control.most,
            _GET_RES: control.step,
            _GET_DEF: control.default,
        }
        if setup.request == _GET_INFO:
            return b"\x03"
        if setup.request == _GET_LEN:
            return size.to_bytes(2, "little")
        if setup.request not in answers:
            return None
        return answers[setup.request].to_bytes(size, "little")

    def _negotiate(self, setup: Setup, commit: bool) -> Optional[bytes]:
        if setup.request == _SET_CUR:
            _, number, frame, interval = struct.unpack_from("<HBBI", setup.data)
            self._probe = self._complete(number, frame, interval)
            if commit:
                _, number, frame, interval = struct.unpack_from("<HBBI", self._probe)
                self.chosen = (number - 1, frame - 1, _INTERVAL_HZ / interval)
            return b""
        if setup.request == _GET_INFO:
            return b"\x03"
        if setup.request == _GET_LEN:
            return len(self._probe).to_bytes(2, "little")
        return self._probe

    def _complete(self, number: int, frame: int, interval: int) -> bytes:
        """The stream that comes nearest to what is asked."""
        number = min(max(number, 1), len(self.formats))
        chosen = self.formats[number - 1]
        frame = min(max(frame, 1), len(chosen.sizes))
        width, height = chosen.sizes[frame - 1]
        offered = [round(_INTERVAL_HZ / rate) for rate in chosen.rates]
        nearest = min(offered, key=lambda known: abs(known - interval)) if interval else offered[0]
        return struct.pack(
            "<HBBI5HII",
            1,
            number,
            frame,
            nearest,
            *(0, 0, 0, 0, 0),
            width * height * 2,
            PAYLOAD_BYTES,
        )

    def _descriptor(self, value: int) -> Optional[bytes]:
        kind, index = value >> 8, value & 0xFF
        if kind == 1:
            head = struct.pack("<BBHBBBBHHH", 18, 1, 0x0200, 0xEF, 2, 1, 64, VENDOR, PRODUCT, 0x100)
            return head + bytes([0, 1, 0, 1])
        if kind == 2:
            return self._configuration()
        if kind == 3:
            text = b"\x09\x04" if index == 0 else NAME.encode("utf-16-le")
            return bytes([len(text) + 2, 3]) + text
        return None

    def _configuration(self) -> bytes:
        camera = struct.pack("<BBBBHBBHHHB", 18, 0x24, 2, 1, 0x0201, 0, 0, 0, 0, 0, 3)
        units = camera + (0x0A).to_bytes(3, "little")  # exposure's mode and time
        units += struct.pack("<BBBBBHBHB", 11, 0x24, 5, 2, 1, 0, 2, 0x1040, 0)  # white balance
        units += struct.pack("<BBBBHBBB", 9, 0x24, 3, 3, 0x0101, 0, 2, 0)
        head = struct.pack("<BBBHHIBB", 13, 0x24, 1, 0x0100, 13 + len(units), 48_000_000, 1, 1)
        formats = b"".join(self._format(n, f) for n, f in enumerate(self.formats, start=1))
        count = len(self.formats)
        length = 13 + count + len(formats)
        stream = struct.pack("<BBBBH", 13 + count, 0x24, 1, count, length)
        stream += bytes([0x81, 0, 3, 0, 0, 0, 1]) + bytes(count)
        body = bytes([8, 11, 0, 2, 0x0E, 3, 0, 0])
        body += bytes([9, 4, 0, 0, 0, 0x0E, 1, 0, 0]) + head + units
        body += bytes([9, 4, 1, 0, 1, 0x0E, 2, 0, 0]) + stream + formats
        body += struct.pack("<BBBBHB", 7, 5, 0x81, 2, 512, 0)
        return struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), 2, 1, 0, 0x80, 250) + body

    def _format(self, number: int, offered: Format) -> bytes:
        sizes = len(offered.sizes)
        compressed = offered.letters == "MJPG"
        if compressed:
            head = bytes([11, 0x24, 6, number, sizes, 1, 1, 0, 0, 0, 0])
        else:
            bits = {"YUYV": 16, "NV12": 12, "GREY": 8}.get(offered.letters, 16)
            head = bytes([27, 0x24, 4, number, sizes]) + offered.guid
            head += bytes([bits, 1, 0, 0, 0, 0])
        intervals = [round(_INTERVAL_HZ / rate) for rate in offered.rates]
        frames = b""
        for index, (width, height) in enumerate(offered.sizes, start=1):
            whole = width * height * 2
            frames += struct.pack(
                "<BBBBBHHIIIIB",
                26 + 4 * len(intervals),
                *(0x24, 7 if compressed else 5, index, 0),
                *(width, height, whole * 8 * 5, whole * 8 * 30, whole, intervals[0]),
                len(intervals),
            ) + struct.pack(f"<{len(intervals)}I", *intervals)
        return head + frames + bytes([6, 0x24, 0x0D, 1, 1, 4])
