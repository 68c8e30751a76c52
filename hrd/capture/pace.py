"""Whether a stream's stamps keep the world's pace, and if not, whose fault that is.

Pure: told the time, never asks for it.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Deque, List, Optional, Tuple

import numpy as np

BUCKET_S = 0.5
"""The earliest frame of so many seconds tells how far stamps and arrival are apart."""

_WINDOWS = ((3.0, 0.15), (6.0, 0.2), (12.0, 0.25), (24.0, 0.3), (60.0, 0.3))
"""Seconds looked back on, and by how many seconds the stamps must have fallen behind the world (or
run ahead of it) in that time: 5 % within 3 s, 0.5 % within a minute."""
_LEAST_BUCKETS = 4
_STRAIGHT = 0.25  # of that, how far off a straight line a bucket may be: congestion comes in waves
_SILENCE_S = 3.0  # what was before it says nothing of the pace after it
_FLOOR_RISE = 0.001  # seconds per second: the two crystals drift apart by less


class Lags:
    """The least ``arrival - stamp`` of every half second of the last minute."""

    def __init__(self) -> None:
        most = int(_WINDOWS[-1][0] / BUCKET_S) + 2
        self._times: Deque[float] = deque(maxlen=most)
        self._least: Deque[float] = deque(maxlen=most)
        self._floors: Deque[float] = deque(maxlen=most)
        self._bucket: Optional[Tuple[float, float]] = None  # when it ends, its least so far
        self._last_now_s = 0.0

    @property
    def newest_s(self) -> float:
        """The lag of the newest whole bucket."""
        return self._least[-1]

    def push(self, stamp_s: float, now_s: float) -> bool:
        """Take one frame; True when a bucket is complete."""
        lag_s = now_s - stamp_s
        silence_s, self._last_now_s = now_s - self._last_now_s, now_s
        if self._bucket is None or now_s < self._bucket[0]:
            end_s, least_s = self._bucket or (now_s + BUCKET_S, lag_s)
            self._bucket = end_s, min(least_s, lag_s)
            return False
        end_s, least_s = self._bucket
        floor_s = least_s
        if self._floors:
            risen_s = _FLOOR_RISE * (end_s - self._times[-1])
            floor_s = min(self._floors[-1] + risen_s, least_s)
        if silence_s > _SILENCE_S:
            self._times.clear()
            self._least.clear()
            self._floors.clear()
        self._times.append(end_s)
        self._least.append(least_s)
        self._floors.append(floor_s)
        begin_s = end_s if now_s < end_s + BUCKET_S else now_s  # bursts are not torn apart
        self._bucket = begin_s + BUCKET_S, lag_s
        return True

    def other_pace(self) -> Optional[float]:
        """Seconds of the world in a second of the stamps, None where that is one."""
        for span_s, growth_s in _WINDOWS:
            first = self._first_of(span_s)
            if first is None:
                break
            if len(self._times) - first < _LEAST_BUCKETS:
                continue
            times, values = self._from(first)
            slope, off = _line(times, values)
            change = slope * (times[-1] - times[0])
            if abs(change) < growth_s or off > _STRAIGHT * abs(change):
                continue
            middle = values[len(values) // 2]
            running_on = min(abs(values[-1] - middle), abs(middle - values[0]))
            if running_on < abs(change) / 4.0:
                continue
            # frames that were held up and catch up come less and less late, but never early
            early_s = self._floors[first] - values[-1]
            if change < 0.0 and early_s < growth_s:
                continue
            return 1.0 / max(1.0 - slope, 0.05)
        return None

    def slope(self, span_s: float) -> Optional[Tuple[float, float]]:
        """Growth of the lag in the last seconds, per second, and the farthest that a bucket is off
        that; None while there are too few."""
        first = self._first_of(span_s)
        if first is None or len(self._times) - first < _LEAST_BUCKETS:
            return None
        return _line(*self._from(first))

    def late_s(self, span_s: float) -> float:
        """How much later than ever the earliest frame of the last seconds came."""
        first = self._first_of(span_s)
        if first is None:
            return 0.0
        return min(self._from(first)[1]) - self._floors[-1]

    def _first_of(self, span_s: float) -> Optional[int]:
        """Index of the newest bucket that is so old, None where all are younger."""
        begin_s = self._times[-1] - span_s + 0.01 if self._times else 0.0
        older = [index for index, time_s in enumerate(self._times) if time_s <= begin_s]
        return older[-1] if older else None

    def _from(self, first: int) -> Tuple[List[float], List[float]]:
        return list(self._times)[first:], list(self._least)[first:]


def _line(times_s: List[float], values: List[float]) -> Tuple[float, float]:
    """Slope of the straight line through the values, and the farthest that one is off it."""
    x = np.array(times_s) - times_s[0]
    slope, start = np.polyfit(x, values, 1)
    return float(slope), float(np.abs(values - (slope * x + start)).max())


class Sender(enum.Enum):
    """What sets the pace of a stream."""

    CAMERA = "the camera"
    LINE = "a line that is too slow for it"
    UNKNOWN = "not known yet"


class Sizes:
    """Tells a camera's pace from that of a line which is too slow, by the sizes of the frames.

    Through a line that has fallen behind, all frames are pressed back to back: each takes its
    bytes' time. From a camera a large frame comes later than a small one too, but the next one
    waits for nobody, so over a few frames the bytes make no difference. Linear regression of the
    steps between arrivals on the sizes of this frame and the two before, (N, 3): the sum of the
    coefficients, times the mean size over the mean step, is 1 for the line and 0 for the camera.
    """

    _MOST = 400
    _FEWEST = 60
    _LAGS = 3
    _BETWEEN = 0.5
    _SURE = 2.0  # standard errors
    _SILENCE_S = 1.0

    def __init__(self) -> None:
        self._seen: Deque[Tuple[float, int]] = deque(maxlen=self._MOST)
        self._last_now_s: Optional[float] = None

    def push(self, now_s: float, size_bytes: int) -> None:
        """Take one frame; 0 bytes where the size is not known."""
        if self._last_now_s is not None:
            self._seen.append((now_s - self._last_now_s, size_bytes))
        self._last_now_s = now_s

    def sender(self) -> Sender:
        """What the frames seen so far tell."""
        if len(self._seen) < self._FEWEST:
            return Sender.UNKNOWN
        steps_s, sizes = np.array(self._seen, float).T
        mean = sizes.mean()
        if sizes.min() <= 0.0 or sizes.std() < 1e-3 * mean:
            return Sender.UNKNOWN
        count = len(sizes) - self._LAGS + 1
        table = np.ones((count, self._LAGS + 1))
        for lag in range(self._LAGS):
            table[:, lag] = sizes[self._LAGS - 1 - lag : len(sizes) - lag] / mean - 1.0
        y = steps_s[self._LAGS - 1 :]
        kept = y < self._SILENCE_S
        table, y = table[kept], y[kept]
        if len(y) < self._FEWEST - self._LAGS or y.mean() < 1e-3:
            return Sender.UNKNOWN
        inverse = np.linalg.pinv(table.T @ table)
        found = inverse @ table.T @ y
        off = y - table @ found
        # a line whose speed wanders puts many frames in a row off alike: they count for fewer
        alike = min(0.98, max(0.0, float(off[1:] @ off[:-1]) / (float(off @ off) or 1.0)))
        variance = float(off @ off) / (len(y) - table.shape[1]) * (1.0 + alike) / (1.0 - alike)
        total = np.append(np.ones(self._LAGS), 0.0)
        share = float(total @ found / y.mean())
        error = self._SURE * float(np.sqrt(variance * (total @ inverse @ total))) / y.mean()
        if share - error > self._BETWEEN:
            return Sender.LINE
        if share + error < self._BETWEEN:
            return Sender.CAMERA
        return Sender.UNKNOWN
