"""Chunks of waveform, which come once a second, as a flow that moves evenly.

As a jitter buffer does: what has come is played at the speed of time, a little late, and a little
faster or slower so that the next chunk arrives shortly before it is needed. Pure: the caller says
how much time has passed.
"""

from __future__ import annotations

import bisect
from typing import List, Optional, Sequence

MARGIN_S = 0.15
"""How much is to be left when the next chunk comes."""

_MEMORY_S = 40.0
_JUMP_S = 3.0  # further behind or ahead than this is not caught up with but skipped
_GAIN, _SLOWER, _FASTER = 0.1, -0.05, 0.25  # change of speed per second of error, and its limits
_GAP_SAMPLES = 2.5


class Playout:
    """``push`` chunks, ``advance`` by the time that has passed; ``position_s`` is the time of the
    sample that is due (None before the first chunk), ``at`` the wave's value at a time."""

    def __init__(self) -> None:
        self._times_s: List[float] = []
        self._values: List[float] = []
        self._step_s = 1.0 / 30.0
        self._speed = 1.0
        self.position_s: Optional[float] = None

    @property
    def end_s(self) -> Optional[float]:
        """Time of the newest sample."""
        return self._times_s[-1] if self._times_s else None

    def clear(self) -> None:
        """Another stream."""
        self._times_s.clear()
        self._values.clear()
        self.position_s = None

    def push(self, start_s: float, fs_hz: float, values: Sequence[float]) -> None:
        """A chunk whose first sample is of ``start_s`` (Unix time)."""
        if not values or fs_hz <= 0.0:
            return
        self._step_s = 1.0 / fs_hz
        end_s = self.end_s
        if end_s is not None and start_s < end_s - _JUMP_S:
            self.clear()  # the clock was set back: what comes is of another time
            end_s = None
        elif end_s is not None:
            self._drop_from(start_s - 0.5 * self._step_s)
        if self.position_s is None or end_s is None:
            self.position_s = start_s - MARGIN_S
        else:
            left_s = end_s - self.position_s
            if abs(start_s - self.position_s) > _JUMP_S:
                self.position_s = start_s - MARGIN_S
                left_s = MARGIN_S
            change = _GAIN * (left_s - MARGIN_S)
            self._speed = 1.0 + min(_FASTER, max(_SLOWER, change))
        self._times_s += [start_s + k * self._step_s for k in range(len(values))]
        self._values += [float(value) for value in values]
        self._forget()

    def advance(self, passed_s: float) -> None:
        """Let time pass; it stands still at the newest sample."""
        end_s = self.end_s
        if self.position_s is not None and end_s is not None:
            ahead_s = self.position_s + self._speed * passed_s
            self.position_s = max(self.position_s, min(end_s, ahead_s))

    def at(self, time_s: float) -> Optional[float]:
        """The wave's value, between samples by a straight line; None in a gap."""
        after = bisect.bisect_left(self._times_s, time_s)
        if after == len(self._times_s):
            return None
        if self._times_s[after] == time_s:
            return self._values[after]
        if after == 0:
            return None
        before_s, after_s = self._times_s[after - 1], self._times_s[after]
        if after_s - before_s > _GAP_SAMPLES * self._step_s:
            return None
        share = (time_s - before_s) / (after_s - before_s)
        return (1.0 - share) * self._values[after - 1] + share * self._values[after]

    def between(self, from_s: float, to_s: float) -> List[float]:
        """The samples from one time to another."""
        first = bisect.bisect_left(self._times_s, from_s)
        last = bisect.bisect_right(self._times_s, to_s)
        return self._values[first:last]

    def _drop_from(self, time_s: float) -> None:
        """A chunk that overlaps the one before replaces its end."""
        first = bisect.bisect_left(self._times_s, time_s)
        del self._times_s[first:], self._values[first:]

    def _forget(self) -> None:
        first = bisect.bisect_left(self._times_s, self._times_s[-1] - _MEMORY_S)
        if first > 100:
            del self._times_s[:first], self._values[:first]
