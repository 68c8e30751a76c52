"""The times of a file's pictures, as its stamps tell them once they are repaired.

Pure: stamps in, times out, no file and no clock.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from dataclasses import dataclass
from typing import Deque, List, Optional

logger = logging.getLogger(__name__)

LOOKAHEAD = 8
"""Frames that are looked at before one is placed: what a stamp means, the next ones tell."""

_CLOCK_SET_S = 60.0  # a longer step ahead is no silence of the camera but a clock that was set
_JOIN_S = 1.0  # a larger step back is a new beginning of the clock, not disorder
_STRAY_STEPS = 4.0  # periods, and 0.2 s, by which a stray stamp lies beside the others
_STRAY_S = 0.2
_EVIDENCE = 3  # frames that must follow before a step back is believed to be a new beginning


class NoTimes(Exception):
    """The stamps say nothing about when the pictures were taken."""


@dataclass(frozen=True)
class Placed:
    """Where a frame belongs: seconds from the first frame, None to leave it out. ``cut``: the
    stream begins anew at it."""

    time_s: Optional[float]
    cut: bool = False


@dataclass(frozen=True)
class _Stamp:
    pts_s: Optional[float]
    dts_s: Optional[float]


class FileTimes:
    """Places frames by their stamps, ``LOOKAHEAD`` frames late.

    ``push`` takes the stamps of the next frame in the order of display and gives what has become
    certain, in order; ``flush`` gives the rest. Repaired are: stamps in coding order, stray stamps,
    missing stamps among others, a clock that starts again (joined files) or was set. Left out are
    frames that repeat a time. Raises ``NoTimes`` where all stamps are missing or the same.
    ``name``: what warnings call the file. ``scale``: seconds of the world in one of the file.
    """

    def __init__(self, name: str, scale: float = 1.0) -> None:
        self._name = name
        self._scale = scale
        self._waiting: Deque[_Stamp] = deque()
        self._steps: Deque[float] = deque(maxlen=31)
        self._last_raw_s: Optional[float] = None
        self._offset_s = 0.0
        self._faulty_pts = self._faulty_dts = 0
        self._seen: Optional[_Stamp] = None
        self._decided = False
        self._by_dts = False
        self._said: List[str] = []
        self.first_raw_s: Optional[float] = None
        self.last_s: Optional[float] = None
        self.repaired = 0
        self.left_out = 0
        self.jumps = 0

    def push(self, pts_s: Optional[float], dts_s: Optional[float]) -> List[Placed]:
        """The stamps of one more frame, in seconds on the file's own axis."""
        stamp = _Stamp(pts_s, dts_s)
        self._count_faults(stamp)
        self._waiting.append(stamp)
        return [self._place()] if len(self._waiting) > LOOKAHEAD else []

    def flush(self) -> List[Placed]:
        """The frames that wait for others; no more will come."""
        return [self._place() for _ in range(len(self._waiting))]

    def _count_faults(self, stamp: _Stamp) -> None:
        """As FFmpeg guesses: whichever of the two runs backwards less often is in display order."""
        seen, self._seen = self._seen, stamp
        if seen is None:
            return
        if stamp.pts_s is None or seen.pts_s is None or stamp.pts_s <= seen.pts_s:
            self._faulty_pts += 1
        if stamp.dts_s is None or seen.dts_s is None or stamp.dts_s <= seen.dts_s:
            self._faulty_dts += 1

    def _decide(self) -> None:
        """By the first frames: is the PTS the time of display, or the order of decoding?"""
        self._decided = True
        self._by_dts = self._faulty_pts > self._faulty_dts
        values = [self._raw(stamp) for stamp in self._waiting]
        known = [value for value in values if value is not None]
        if len(self._waiting) > 1 and len(set(known)) < 2:
            raise NoTimes
        steps = [b - a for a, b in zip(values, values[1:]) if a is not None and b is not None]
        self._steps.extend(step for step in steps if step > 0.0)
        if len(self._waiting) > 1 and not self._steps:
            raise NoTimes
        if self._by_dts:
            self._say("gives the times of its pictures in the order of coding: put in order")

    def _raw(self, stamp: _Stamp) -> Optional[float]:
        first, second = stamp.pts_s, stamp.dts_s
        if self._by_dts:
            first, second = second, first
        value = first if first is not None else second
        return None if value is None else value * self._scale

    def _step_s(self) -> float:
        return statistics.median(self._steps) if self._steps else 0.0

    def _place(self) -> Placed:
        if not self._decided:
            self._decide()
        raw_s = self._raw(self._waiting.popleft())
        ahead = [value for value in map(self._raw, self._waiting) if value is not None]
        if self._last_raw_s is None:
            return self._place_first(raw_s, ahead)
        step_s = self._step_s()
        last_s = self._last_raw_s
        if raw_s is None or self._is_stray(raw_s, last_s, step_s, ahead):
            if not step_s:
                raise NoTimes
            if raw_s is None:
                self._say("gives no time for some of its pictures: put between the others")
            else:
                self._say("has stray stamps: put between the others")
            self.repaired += 1
            # as many periods after the last as fit before the next that is right
            right = [value for value in ahead[:1] if last_s < value <= last_s + 3.0 * step_s]
            return self._advance((last_s + right[0]) / 2.0 if right else last_s + step_s)
        step = raw_s - last_s
        if step <= 0.0:
            if step < 0.0 and len(ahead) < _EVIDENCE:
                # the end: decoders that are emptied name odd times
                self.repaired += 1
                return self._advance(last_s + step_s)
            if step > -_JOIN_S and (step == 0.0 or any(value > last_s for value in ahead)):
                self._say("has pictures whose time does not advance: left out")
                self.left_out += 1
                return Placed(None)
            return self._begin_anew(raw_s, step, step_s)
        if step > _CLOCK_SET_S:
            return self._begin_anew(raw_s, step, step_s)
        self._steps.append(step)
        return self._advance(raw_s)

    def _place_first(self, raw_s: Optional[float], ahead: List[float]) -> Placed:
        step_s = self._step_s()
        if raw_s is None or (ahead and abs(ahead[0] - raw_s) > _CLOCK_SET_S):
            # missing, or a stray one: the next ones tell where the file begins
            if ahead:
                raw_s = ahead[0] - step_s
                self.repaired += 1
            elif raw_s is None:
                raw_s = 0.0
        self._offset_s = raw_s
        self._last_raw_s = self.first_raw_s = raw_s
        self.last_s = 0.0
        return Placed(0.0)

    def _is_stray(self, raw_s: float, last_s: float, step_s: float, ahead: List[float]) -> bool:
        """Whether one of the next few goes on from the last as if this one did not exist."""
        room_s = _STRAY_STEPS * step_s + _STRAY_S
        if -room_s <= raw_s - last_s <= room_s:
            return False
        if not ahead:
            return True  # the very last one: nothing goes on from it
        for count, value in enumerate(ahead, start=2):
            goes_on = last_s < value <= last_s + count * step_s + room_s
            goes_on_from_this_s = raw_s + (count - 1) * step_s
            if goes_on and abs(value - goes_on_from_this_s) > room_s:
                return True
        return False

    def _begin_anew(self, raw_s: float, step: float, step_s: float) -> Placed:
        assert self.last_s is not None
        if self.jumps == 0:
            logger.warning(
                "the clock of %s jumps by %+.1f s at %.3f s: beginning anew there",
                self._name,
                step,
                self.last_s,
            )
        self.jumps += 1
        self._offset_s = raw_s - (self.last_s + step_s)
        return Placed(self._advance(raw_s).time_s, cut=True)

    def _advance(self, raw_s: float) -> Placed:
        self._last_raw_s = raw_s
        self.last_s = raw_s - self._offset_s
        return Placed(self.last_s)

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.append(what)
            logger.warning("%s %s (at %.3f s)", self._name, what, self.last_s or 0.0)


class SteadyTimes:
    """``FileTimes`` for frames without times of their own: frame ``i`` at ``i / fps``."""

    repaired = left_out = jumps = 0

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._count = 0
        self.first_raw_s: Optional[float] = 0.0
        self.last_s: Optional[float] = None

    def push(self, pts_s: Optional[float], dts_s: Optional[float]) -> List[Placed]:
        """One more frame; its stamps are not looked at."""
        self.last_s = self._count / self._fps
        self._count += 1
        return [Placed(self.last_s)]

    def flush(self) -> List[Placed]:
        """Nothing waits."""
        return []
