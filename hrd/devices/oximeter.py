"""CONTEC CMS50 pulse oximeters on a serial line (or its USB adapter), by pyserial.

Two protocols are in use, both at 60 samples a second. CMS50D+ up to firmware 4.5, CMS50E and
CMS50F of that age: 19200 baud, odd parity, five bytes a sample, the first with its top bit set,
sent unasked. Later ones ("Communication protocol of pulse oximeter V7.0"): 115200 baud, sent on
request; a type byte without the top bit, then a byte of seven top bits, then seven bytes.
"""

from __future__ import annotations

import abc
import time
from typing import Any, Callable, Iterator, List, Optional

from hrd.devices.sample import Device, DeviceError, Sample

SAMPLES_HZ = 60.0

_START = bytes([0x7D, 0x81, 0xA1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80])
_ALIVE = bytes([0x7D, 0x81, 0xAF, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80])
_ALIVE_S = 5.0  # a newer device that hears nothing stops after a while

_SURE = 5
_PROBE_S = 2.0
_SILENT_S = 5.0
_READ_S = 0.2


class Protocol(abc.ABC):
    """Bytes in, samples out; bytes that are no sample are skipped, and those after them found."""

    baud: int
    parity: str
    size: int

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes, time_s: float) -> List[Sample]:
        """The samples that these bytes complete. They come in bursts: the newest was taken at
        ``time_s``, those before it one after another at ``SAMPLES_HZ``."""
        self._waiting += data
        packets = []
        while len(self._waiting) >= self.size:
            packet = bytes(self._waiting[: self.size])
            if self._is_whole(packet):
                packets.append(packet)
                del self._waiting[: self.size]
            else:
                del self._waiting[0]
        last = len(packets) - 1
        return [
            self._decode(packet, time_s - (last - k) / SAMPLES_HZ)
            for k, packet in enumerate(packets)
        ]

    @abc.abstractmethod
    def _is_whole(self, packet: bytes) -> bool: ...

    @abc.abstractmethod
    def _decode(self, packet: bytes, time_s: float) -> Sample: ...


class FiveBytes(Protocol):
    """The older protocol."""

    baud, parity, size = 19200, "O", 5

    def _is_whole(self, packet: bytes) -> bool:
        return packet[0] >= 0x80 and max(packet[1:]) < 0x80

    def _decode(self, packet: bytes, time_s: float) -> Sample:
        no_finger = bool(packet[2] & 0x10) or bool(packet[2] & 0x20)  # or searching for the pulse
        bpm = (packet[2] & 0x40) << 1 | packet[3]
        return _sample(time_s, packet[1], bpm, no_finger)


class NineBytes(Protocol):
    """The newer protocol."""

    baud, parity, size = 115200, "N", 9

    def _is_whole(self, packet: bytes) -> bool:
        return packet[0] == 0x01 and min(packet[1:]) >= 0x80

    def _decode(self, packet: bytes, time_s: float) -> Sample:
        flags, wave, _, bpm = (packet[k + 2] & 0x7F | (packet[1] >> k & 1) << 7 for k in range(4))
        no_finger = bool(flags & 0x80) or bool(wave & 0x80)  # or searching for the pulse
        return _sample(time_s, wave & 0x7F, bpm, no_finger)


def _sample(time_s: float, wave: int, bpm: int, no_finger: bool) -> Sample:
    if no_finger:
        return Sample(time_s)
    return Sample(time_s, float(bpm) if 0 < bpm < 255 else None, float(wave))


class Oximeter(Device):
    """A CMS50 at a serial port. ``clock`` gives Unix seconds."""

    def __init__(self, port: str, clock: Callable[[], float] = time.time) -> None:
        self.name = f"the CMS50 oximeter at {port}"
        self._port = port
        self._clock = clock

    def samples(self, is_over: Callable[[], bool]) -> Iterator[Sample]:
        for kind in (NineBytes, FiveBytes):
            line = self._open(kind)
            try:
                protocol = self._listen(line, kind, is_over)
                if protocol is not None:
                    yield from self._read(line, protocol, is_over)
                    return
            finally:
                line.close()
            if is_over():
                return
        raise DeviceError(
            f"no CMS50 oximeter answers at {self._port}: switch it on, put a finger in it, and "
            "(CMS50E, F) switch USB on in its menu"
        )

    def _open(self, kind: Any) -> Any:
        import serial

        try:
            return serial.Serial(self._port, kind.baud, parity=kind.parity, timeout=_READ_S)
        except (serial.SerialException, ValueError, OSError) as error:
            raise DeviceError(
                f"the serial port {self._port} cannot be opened ({error}); plug the oximeter in, "
                "and join the group dialout to be allowed to read it"
            ) from None

    def _listen(self, line: Any, kind: Any, is_over: Callable[[], bool]) -> Optional[Protocol]:
        """The protocol, if the device speaks it."""
        protocol: Protocol = kind()
        self._send(line, protocol, _START)
        found = 0
        until_s = time.monotonic() + _PROBE_S
        while time.monotonic() < until_s and not is_over():
            found += len(protocol.feed(self._receive(line), 0.0))
            if found >= _SURE:
                return protocol
        return None

    def _read(self, line: Any, protocol: Protocol, is_over: Callable[[], bool]) -> Iterator[Sample]:
        heard_s = sent_s = time.monotonic()
        while not is_over():
            got = protocol.feed(self._receive(line), self._clock())
            now_s = time.monotonic()
            if got:
                heard_s = now_s
            elif now_s - heard_s > _SILENT_S:
                raise DeviceError(f"{self.name} has fallen silent; is it still switched on?")
            if now_s - sent_s > _ALIVE_S:
                self._send(line, protocol, _ALIVE)
                sent_s = now_s
            yield from got

    def _send(self, line: Any, protocol: Protocol, command: bytes) -> None:
        if isinstance(protocol, NineBytes):
            try:
                line.write(command)
            except OSError as error:
                raise DeviceError(f"{self.name} is gone ({error}); plug it in again") from None

    def _receive(self, line: Any) -> bytes:
        try:
            return bytes(line.read(max(1, line.in_waiting)))
        except OSError as error:
            raise DeviceError(f"{self.name} is gone ({error}); plug it in again") from None
