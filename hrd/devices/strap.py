"""Bluetooth heart-rate straps (Heart Rate Profile 1.0, service 0x180D), by bleak."""

from __future__ import annotations

import asyncio
import time
from queue import Empty, Queue
from threading import Thread
from typing import Any, Callable, Iterator, Optional

from hrd.devices.sample import Device, DeviceError, Sample

SERVICE = "0000180d-0000-1000-8000-00805f9b34fb"
MEASUREMENT = "00002a37-0000-1000-8000-00805f9b34fb"

_FIND_S = 20.0
_FIND_AGAIN_S = 5.0
_RETRY_S = 2.0
_FIRST_TRIES = 3
_LISTEN_S = 0.2


def decode(data: bytes, time_s: float) -> Sample:
    """A Heart Rate Measurement (0x2A37) as a sample: rate of one or two bytes, energy if flagged,
    intervals in 1/1024 s. A strap that says it has no skin contact gives an empty sample.

    Raises ``ValueError`` if it is cut short.
    """
    if len(data) < 2:
        raise ValueError(f"a heart rate measurement of {len(data)} bytes")
    flags = data[0]
    wide = flags & 0x01
    place = 3 if wide else 2
    bpm = int.from_bytes(data[1:place], "little")
    if flags & 0x08:
        place += 2  # energy expended
    if len(data) < place:
        raise ValueError(f"a heart rate measurement of {len(data)} bytes, not {place}")
    if flags & 0x06 == 0x04:  # contact is told, and there is none
        return Sample(time_s)
    ibi = data[place:] if flags & 0x10 else b""
    intervals = tuple(
        int.from_bytes(ibi[k : k + 2], "little") / 1.024 for k in range(0, len(ibi) - 1, 2)
    )
    return Sample(time_s, float(bpm) if bpm else None, ibi_ms=intervals)


class Strap(Device):
    """The strap of an address or name, or whichever is found first. A connection that is lost is
    made again, for ever, to the same one. ``backend``: the module bleak, or what stands in for it.
    """

    def __init__(
        self, which: str = "", backend: Any = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.name = f"the heart-rate strap {which}".rstrip()
        self._which = which
        self._backend = backend
        self._clock = clock

    def samples(self, is_over: Callable[[], bool]) -> Iterator[Sample]:
        if self._backend is None:
            import bleak

            self._backend = bleak
        said: Queue = Queue()
        thread = Thread(target=self._listen, args=(said, is_over), name="strap", daemon=True)
        thread.start()
        while True:
            try:
                one = said.get(timeout=_LISTEN_S)
            except Empty:
                if is_over() and not thread.is_alive():
                    return
                continue
            if one is None:
                return
            if isinstance(one, DeviceError):
                raise one
            if isinstance(one, Exception):
                raise DeviceError(
                    f"{self.name} cannot be read ({_told(one)}); is Bluetooth switched on? "
                    "(on Linux also: systemctl start bluetooth)"
                ) from None
            yield one

    def _listen(self, said: Queue, is_over: Callable[[], bool]) -> None:
        try:
            asyncio.run(self._stay(said, is_over))
            said.put(None)
        except Exception as error:  # bleak raises what its backends raise; the reader is told
            said.put(error)

    async def _stay(self, said: Queue, is_over: Callable[[], bool]) -> None:
        which = self._which.lower()
        found = await self._find(which, _FIND_S)
        if found is None:
            raise DeviceError(
                f"{self.name} was not found within {_FIND_S:.0f} s; put it on, wet its contacts, "
                "and end other programs that are connected to it"
            )
        which = which or found.address.lower()
        failed = 0
        was_connected = asyncio.Event()
        while not is_over():
            try:
                if found is None:  # BlueZ forgets a device that it has not seen for half a minute
                    found = await self._find(which, _FIND_AGAIN_S)
                if found is not None:
                    await self._hear(found, said, is_over, was_connected)
                    continue
            except (self._backend.BleakError, asyncio.TimeoutError, OSError, EOFError) as error:
                failed += 1
                found = None
                if failed >= _FIRST_TRIES and not was_connected.is_set():
                    raise DeviceError(
                        f"{self.name} is there and does not let itself be connected to "
                        f"({_told(error)}); end other programs that are connected to it"
                    ) from None
            await asyncio.sleep(_RETRY_S)

    async def _hear(
        self, found: Any, said: Queue, is_over: Callable[[], bool], was_connected: asyncio.Event
    ) -> None:
        """Put what a strap sends into ``said`` until the connection is lost or ``is_over()``."""
        lost = asyncio.Event()
        async with self._backend.BleakClient(
            found, disconnected_callback=lambda _: lost.set()
        ) as client:

            def take(_: Any, data: bytearray) -> None:
                try:
                    said.put(decode(bytes(data), self._clock()))
                except ValueError:
                    pass  # a measurement that was cut short; the next one comes in a second

            await client.start_notify(MEASUREMENT, take)
            was_connected.set()
            while not is_over() and not lost.is_set():
                try:
                    await asyncio.wait_for(lost.wait(), _LISTEN_S)
                except asyncio.TimeoutError:
                    pass

    async def _find(self, which: str, within_s: float) -> Optional[Any]:
        """The strap of a name or address in lower case, or any; None if there is none."""

        def fits(device: Any, advertised: Any) -> bool:
            if which:
                return which in (device.address.lower(), (device.name or "").lower())
            return SERVICE in advertised.service_uuids

        return await self._backend.BleakScanner.find_device_by_filter(fits, timeout=within_s)


def _told(error: Exception) -> str:
    """Some errors have no text of their own, and some of bleak's have a code beside it."""
    text = str(error) or type(error).__name__
    return str(error.args[0]) if text.startswith("(") and error.args else text
