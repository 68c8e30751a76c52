"""How fast frames really come, from their own times."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Deque, Optional, Sequence, Union

import numpy as np

from hrd.types import GAP_S


@dataclass(frozen=True)
class FrameRate:
    """``fps``: frames per second over the window, gaps included. ``jitter_ms``: 95th percentile
    of the intervals' deviation from their median. ``gaps``: silences over 0.25 s so far."""

    fps: Optional[float]
    jitter_ms: Optional[float]
    gaps: int


class FrameRateMeter:
    """Measures rate and jitter over the last ``window_s`` seconds. Safe between threads.

    Times come from the frames, never from the moment of the call. A step back in time starts
    the measurement again.
    """

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._times: Deque[float] = deque()
        self._gaps = 0
        self._lock = threading.Lock()

    def push(self, time_s: float) -> None:
        """Take the time of the next frame."""
        with self._lock:
            times = self._times
            if times and time_s < times[-1]:
                times.clear()
            if times and time_s - times[-1] > GAP_S:
                self._gaps += 1
            times.append(time_s)
            # at least one interval stays: a stream slower than the window still has a rate
            while len(times) > 2 and times[1] < time_s - self._window_s:
                times.popleft()

    def fps(self) -> Optional[float]:
        """The rate alone, as ``measure`` gives it."""
        with self._lock:
            return _rate(self._times)

    def silent_share(self) -> float:
        """Of the window, the share (0..1) that lies in silences over GAP_S."""
        with self._lock:
            times_s = np.array(self._times)
        intervals_s = np.diff(times_s)
        span_s = float(intervals_s.sum())
        return float(intervals_s[intervals_s > GAP_S].sum()) / span_s if span_s > 0.0 else 0.0

    def measure(self, now_s: Optional[float] = None) -> FrameRate:
        """What was measured; with ``now_s``, no rate once the window has passed in silence."""
        with self._lock:
            times = np.array(self._times)
            gaps = self._gaps
        fps = _rate(times)
        if fps is None or (now_s is not None and now_s - times[-1] > self._window_s):
            return FrameRate(None, None, gaps)
        intervals_s = np.diff(times)
        deviation_s = np.abs(intervals_s - np.median(intervals_s))
        return FrameRate(
            fps=fps,
            jitter_ms=1e3 * float(np.percentile(deviation_s, 95)),
            gaps=gaps,
        )


def _rate(times_s: Union[Sequence[float], np.ndarray]) -> Optional[float]:
    """Frames a second over these times; None for too few, or none that differ."""
    span_s = float(times_s[-1] - times_s[0]) if len(times_s) else 0.0
    return (len(times_s) - 1) / span_s if span_s > 0.0 else None
