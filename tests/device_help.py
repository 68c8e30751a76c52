"""A heart of known rate, hrd's readings of it, and devices that measure it by another clock."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Callable, Iterable, List, Tuple

import numpy as np

from hrd.compare.said import Said
from hrd.devices.strap import SERVICE

EPOCH_S = 1_790_000_000.0
FINE_HZ = 240.0


@dataclass(frozen=True)
class KnownHeart:
    """A rate that wanders like a person's; ``beats`` counts them, in parts, up to a time."""

    seconds: float
    seed: int = 0

    @functools.lru_cache(maxsize=None)  # noqa: B019 - hearts are few
    def _grid(self) -> Tuple[np.ndarray, np.ndarray]:
        time_s = np.arange(-20.0, self.seconds + 20.0, 1.0 / FINE_HZ)
        phase = np.random.default_rng(self.seed).uniform(0.0, 6.0, 3)
        bpm = (
            74.0
            + 0.02 * time_s  # drift
            + 6.0 * np.sin(2 * np.pi * time_s / 61.0 + phase[0])
            + 3.0 * np.sin(2 * np.pi * time_s / 11.0 + phase[1])
            + 3.0 * np.sin(2 * np.pi * time_s / 3.7 + phase[2])
        )
        return time_s, np.cumsum(bpm / 60.0 / FINE_HZ)

    def beats(self, time_s: np.ndarray) -> np.ndarray:
        return np.interp(time_s, *self._grid())

    def mean_bpm(self, time_s: np.ndarray, over_s: float = 8.0) -> np.ndarray:
        return 60.0 / over_s * (self.beats(time_s) - self.beats(time_s - over_s))

    def wave(self, time_s: np.ndarray) -> np.ndarray:
        angle = 2.0 * np.pi * self.beats(time_s)
        return np.cos(angle) + 0.3 * np.cos(2.0 * angle - 0.8)

    def beat_times(self) -> np.ndarray:
        time_s, count = self._grid()
        return np.interp(np.arange(np.ceil(count[0]), count[-1]), count, time_s)


def said_of(heart: KnownHeart, error_bpm: np.ndarray, wave: bool = False) -> Said:
    """hrd's readings once a second, off by ``error_bpm`` (N,); NaN there: it said nothing."""
    time_s = 9.0 + np.arange(len(error_bpm))
    bpm = heart.mean_bpm(time_s) + error_bpm
    chunks: Tuple[Any, ...] = ()
    if wave:
        samples = heart.wave(time_s[:, None] + np.arange(30) / 30.0)
        chunks = tuple((EPOCH_S + at, 30.0, one) for at, one in zip(time_s, samples))
    return Said(EPOCH_S + time_s, bpm, np.where(np.isfinite(bpm), 0.9, np.nan), chunks)


def device_time(true_s: np.ndarray, lag_s: float, drift: float) -> np.ndarray:
    """What a device's late clock, which runs ``drift`` too fast, shows at a time."""
    return EPOCH_S + lag_s + true_s + drift * (true_s - true_s.mean())


def five_bytes(wave: int, bpm: int, finger: bool = True) -> bytes:
    """A sample of the older CMS50 protocol."""
    third = (0x40 if bpm & 0x80 else 0) | (0 if finger else 0x10)
    return bytes([0x80 | 5, wave, third, bpm & 0x7F, 98])


def nine_bytes(wave: int, bpm: int, finger: bool = True) -> bytes:
    """A sample of the newer one."""
    payload = [0x04 if finger else 0x80, wave, 7, bpm, 98, 0xFF, 0xFF]
    tops = sum((value >> 7) << k for k, value in enumerate(payload))
    return bytes([0x01, 0x80 | tops, *(0x80 | value for value in payload)])


def measurement(bpm: int, ibi_s: Iterable[float]) -> bytes:
    """A Heart Rate Measurement with contact and intervals."""
    ticks = [int(round(1024 * one)) for one in ibi_s]
    return bytes([0x16, bpm]) + b"".join(tick.to_bytes(2, "little") for tick in ticks)


class FakeBleak:
    """Stands in for the module bleak: one strap, which sends ``notifications`` (time, bytes), and
    loses the connection at every None. An exception there is raised by the next connection, an
    empty tuple is a search that finds nothing."""

    class BleakError(Exception):
        pass

    def __init__(self, notifications: List[Any], name: str = "H10"):
        self.now_s = 0.0
        self.connections = 0
        self.over = False
        self.sought: List[float] = []
        """How long each search was to last."""
        self._left = notifications
        self._device = SimpleNamespace(address="AA:BB:CC:DD:EE:FF", name=name)
        fake = self

        class BleakScanner:
            @staticmethod
            async def find_device_by_filter(fits: Callable[..., bool], timeout: float) -> Any:
                fake.sought.append(timeout)
                if fake._left and fake._left[0] == ():
                    fake._left.pop(0)
                    return None
                advertised = SimpleNamespace(service_uuids=[SERVICE])
                return fake._device if fits(fake._device, advertised) else None

        class BleakClient:
            def __init__(self, device: Any, disconnected_callback: Callable[..., None]) -> None:
                self._lost = disconnected_callback

            async def __aenter__(self) -> Any:
                if fake._left and isinstance(fake._left[0], Exception):
                    raise fake._left.pop(0)
                fake.connections += 1
                return self

            async def __aexit__(self, *_: object) -> None:
                pass

            async def start_notify(self, uuid: str, take: Callable[..., None]) -> None:
                assert uuid.startswith("00002a37")
                while fake._left:
                    one = fake._left.pop(0)
                    if one is None:
                        self._lost(self)
                        return
                    fake.now_s, data = one
                    take(None, bytearray(data))
                    await asyncio.sleep(0)
                fake.over = True

        self.BleakScanner, self.BleakClient = BleakScanner, BleakClient
