"""The waveform as a monitor draws it: the beam goes from left to right and wipes what was there.

A wave that scrolls changes every character of its picture each time; here only those under the
beam change, which is what a slow line needs.
"""

from __future__ import annotations

import math
from typing import List, Optional, Set, Tuple

from hrd.watch.dots import Dots
from hrd.watch.playout import Playout

DOTS_PER_S = 20.0
_WIPED = 8  # columns of dots that are empty ahead of the beam
_SCALE_S = 6.0  # what the scale is taken from
_TAIL = 0.02  # share of samples beyond the scale at either end: a jerk must not flatten the rest
_ROOM = 0.12


class Sweep:
    """Draws a Playout on ``columns`` x ``rows`` characters."""

    def __init__(self, columns: int, rows: int) -> None:
        self.dots = Dots(columns, rows)
        self._drawn: Optional[int] = None  # the newest column of dots, counted from the epoch
        self._last_y: Optional[int] = None
        self._scale: Optional[Tuple[float, float]] = None
        self._scaled = 0  # when that was looked at, in columns of dots

    @property
    def seconds(self) -> float:
        """How much of the wave there is room for."""
        return self.dots.width / DOTS_PER_S

    def advance(self, wave: Playout) -> Set[int]:
        """Draw up to the wave's position; returns the columns of characters that have changed."""
        if wave.position_s is None:
            return set()
        newest = math.floor(wave.position_s * DOTS_PER_S)
        if self._drawn is None or not 0 <= newest - self._drawn < self.dots.width:
            self._drawn = newest - self.dots.width
            self._last_y = None
        changed: Set[int] = set()
        if newest - self._scaled >= DOTS_PER_S or newest < self._scaled:
            self._scaled = newest
            if self._rescale(wave):
                self._drawn = newest - self.dots.width  # all of it anew
                self._last_y = None
        for k in range(self._drawn + 1, newest + 1):
            changed.add(self._draw(k, wave))
            ahead = (k + _WIPED) % self.dots.width
            self.dots.clear_column(ahead)
            changed.add(ahead >> 1)
        self._drawn = newest
        return changed

    def _draw(self, k: int, wave: Playout) -> int:
        x = k % self.dots.width
        self.dots.clear_column(x)
        value = wave.at(k / DOTS_PER_S)
        if value is None or self._scale is None:
            self._last_y = None
            return x >> 1
        low, high = self._scale
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        y = int(round((1.0 - share) * (self.dots.height - 1)))
        before = y if self._last_y is None else self._last_y
        step = (y > before) - (y < before)
        self.dots.bar(x, before + step, y)
        self._last_y = y
        return x >> 1

    def _rescale(self, wave: Playout) -> bool:
        """Whether the scale has changed: only when the wave has outgrown it or become small in it,
        since that draws everything anew."""
        assert wave.position_s is not None
        values: List[float] = sorted(wave.between(wave.position_s - _SCALE_S, wave.position_s))
        if len(values) < 10:
            values = sorted(wave.between(wave.position_s, wave.position_s + _SCALE_S))
        if len(values) < 10:
            return False
        tail = int(_TAIL * len(values))
        low, high = values[tail], values[-1 - tail]
        span = max(high - low, 1e-9)
        if self._scale is not None:
            old_low, old_high = self._scale
            old = old_high - old_low
            if low >= old_low and high <= old_high and span > 0.5 * old:
                return False
        self._scale = (low - _ROOM * span, high + _ROOM * span)
        return True
