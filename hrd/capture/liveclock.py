"""The clock of a network camera: its stamps as long as they keep the world's pace, else arrival.

Cameras stamp frames at the rate that they were told to take them at, whatever they really do: 21
frames a second stamped as 25 show 84 beats a minute as 100. Arrival jitters, but it does not lie
for long. Pure: told the time, never asks for it.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from typing import Deque, List, Optional, Tuple

import numpy as np

from hrd.capture.clock import StreamClock

logger = logging.getLogger(__name__)

_BUCKET_S = 0.5
_WINDOWS = ((6, 0.15), (12, 0.2), (24, 0.25), (48, 0.3), (120, 0.3))
"""Buckets looked back on, and by how many seconds the stamps must have fallen behind the world (or
run ahead of it) in that time: 5 % within 3 s, 0.5 % within a minute."""
_STRAIGHT = 0.25  # of that, how far off a straight line a bucket may be: congestion comes in waves
_HONEST_BUCKETS = 20
_HONEST = 0.003  # stamps that kept the world's pace as closely, for 10 s, are taken again
_BEHIND_S = 0.5  # frames that come as late as this for 20 s will not catch up any more
_BEHIND_BUCKETS = 40
_STUCK = 8  # frames with one and the same stamp: it is none
_JUMP_S = 0.2  # and four periods: a longer step is a stray stamp, or a clock that was set


class FallsBehind(Exception):
    """Frames come later and later, and not as a camera with a wrong clock sends them."""


class NetworkClock:
    """Places the frames of a network stream on the monotonic axis.

    ``place`` returns None for a frame to be left out, as ``StreamClock`` does, and for one whose
    stamp strays. ``take_cut`` tells whether the stream begins anew at the frame just placed: its
    clock was set, or its times are taken another way from there on. Raises ``FallsBehind``.
    """

    def __init__(self, name: str, warm_up_s: float = 0.5) -> None:
        self._name = name
        self._warm_up_s = warm_up_s
        self._stamps = StreamClock(name, warm_up_s)
        self._lags = _Lags()
        self._arrival: Optional[_Arrival] = None
        self._last_pts_s: Optional[float] = None
        self._last_now_s = 0.0
        self._held_pts_s: Optional[float] = None
        self._held_now_s = 0.0
        self._periods: Deque[float] = deque(maxlen=15)
        self._same = 0
        self._low_lag_s = self._high_lag_s = 0.0
        self._cut = False
        self.last_s: Optional[float] = None
        self.strays = 0

    @property
    def by_arrival(self) -> bool:
        """Whether times are those of arrival, because the stamps do not keep pace."""
        return self._arrival is not None

    def take_cut(self) -> bool:
        """Whether the stream begins anew at the newest frame; False when asked again."""
        cut, self._cut = self._cut, False
        return cut

    def place(self, pts_s: Optional[float], now_s: float, size_bytes: int = 0) -> Optional[float]:
        """Monotonic time of a frame that arrived at ``now_s``; None to leave it out.
        ``size_bytes``: of the frame as it was sent, 0 where that is not known."""
        if pts_s is None:
            return self._advance(self._stamps.place(None, now_s))
        if self._same >= _STUCK:
            return self._advance(now_s)
        if self._strays(pts_s, now_s):
            return None
        step_s = 0.0 if self._last_pts_s is None else pts_s - self._last_pts_s
        self._last_pts_s, self._last_now_s = pts_s, now_s
        if step_s == 0.0:
            self._count_same()
        else:
            self._same = 0
            self._periods.append(step_s)
        if self._lags.push(pts_s, now_s):
            self._judge(now_s)
        if self._arrival is not None:
            return self._advance(self._arrival.place(pts_s, now_s, size_bytes))
        return self._advance(self._stamps.place(pts_s, now_s))

    def _advance(self, time_s: Optional[float]) -> Optional[float]:
        if time_s is None or (self.last_s is not None and time_s <= self.last_s):
            return None
        self.last_s = time_s
        return time_s

    def _count_same(self) -> None:
        self._same += 1
        if self._same == _STUCK:
            logger.warning(
                "%s gives one and the same time to all pictures: using the time of arrival",
                self._name,
            )
            self._cut = True

    def _strays(self, pts_s: float, now_s: float) -> bool:
        """Whether to leave a frame out because its stamp does not follow from the ones before; the
        next one tells whether it was astray or the clock was set."""
        if self._last_pts_s is None or not self._periods:
            return False
        room_s = 4.0 * statistics.median(self._periods) + _JUMP_S
        step_s = pts_s - self._last_pts_s
        if 0.0 <= step_s <= now_s - self._last_now_s + room_s:
            if self._held_pts_s is not None:
                if self.strays == 0:
                    logger.warning("%s has stray time stamps: leaving those frames out", self._name)
                self.strays += 1
                self._held_pts_s = None
            return False
        held, self._held_pts_s = self._held_pts_s, pts_s
        waited_s, self._held_now_s = now_s - self._held_now_s, now_s
        if held is None or not 0.0 < pts_s - held <= waited_s + room_s:
            return True
        logger.warning("the clock of %s jumped by %+.1f s: beginning anew", self._name, step_s)
        self._held_pts_s = None
        self._begin_anew(now_s)
        return False

    def _begin_anew(self, now_s: float) -> None:
        self._stamps = StreamClock(self._name, warm_up_s=0.0)
        self._lags = _Lags()
        self._arrival = None
        self._last_pts_s = None
        self._periods.clear()
        self._cut = True

    def _judge(self, now_s: float) -> None:
        """Half a second has passed: do the stamps still keep the world's pace?"""
        lags = self._lags
        if self._arrival is None:
            pace = lags.other_pace()
            if pace is not None:
                logger.warning(
                    "the clock of %s runs at %.3f of the true pace: using the time of arrival",
                    self._name,
                    1.0 / pace,
                )
                self._arrival = _Arrival(pace)
                self._low_lag_s, self._high_lag_s = lags.before_s, lags.newest_s
                self._cut = True
            elif lags.late_s(_BEHIND_BUCKETS) > _BEHIND_S:
                raise FallsBehind
            return
        self._high_lag_s = max(self._high_lag_s, lags.newest_s)
        caught_up = lags.newest_s < (self._low_lag_s + self._high_lag_s) / 2.0
        grew = self._high_lag_s - self._low_lag_s > _WINDOWS[0][1]
        if (grew and caught_up) or lags.keeps_pace():
            logger.info("the clock of %s keeps the true pace: using its stamps", self._name)
            self._begin_anew(now_s)
        elif self._arrival.uneven:
            raise FallsBehind


class _Lags:
    """The least ``arrival - stamp`` of every half second of the last minute."""

    def __init__(self) -> None:
        self._least: Deque[float] = deque(maxlen=_WINDOWS[-1][0] + 1)
        self._bucket: Optional[Tuple[float, float]] = None  # when it ends, its least so far
        self._floor_s: Optional[float] = None
        self.before_s = 0.0

    @property
    def newest_s(self) -> float:
        """The lag of the newest whole bucket."""
        return self._least[-1]

    def push(self, pts_s: float, now_s: float) -> bool:
        """Take one frame; True when a bucket is complete."""
        lag_s = now_s - pts_s
        if self._bucket is None:
            self._bucket = now_s + _BUCKET_S, lag_s
            return False
        end_s, least_s = self._bucket
        if now_s < end_s:
            self._bucket = end_s, min(least_s, lag_s)
            return False
        self._least.append(least_s)
        self._floor_s = least_s if self._floor_s is None else min(self._floor_s, least_s)
        if now_s >= end_s + 2.0 * _BUCKET_S:  # silence: what was before says nothing of the pace
            self._least.clear()
            self._least.append(least_s)
        self._bucket = max(end_s, now_s - _BUCKET_S) + _BUCKET_S, lag_s
        return True

    def other_pace(self) -> Optional[float]:
        """Seconds of the world in a second of the stamps, None where that is one."""
        for count, growth_s in _WINDOWS:
            if len(self._least) < count + 1:
                break
            values = self._last(count)
            slope, off = _line(values)
            change = slope * count
            middle = values[count // 2]
            running_on = min(abs(values[-1] - middle), abs(middle - values[0]))
            if abs(change) < growth_s or off > _STRAIGHT * abs(change):
                continue
            if running_on < abs(change) / 4.0 or (change < 0.0 and count < _WINDOWS[1][0]):
                continue
            self.before_s = float(values[0])
            return 1.0 / max(1.0 - slope / _BUCKET_S, 0.05)
        return None

    def keeps_pace(self) -> bool:
        """Whether the stamps have kept the world's pace for the last ten seconds."""
        if len(self._least) < _HONEST_BUCKETS:
            return False
        slope, off = _line(self._last(_HONEST_BUCKETS))
        return abs(slope) / _BUCKET_S < _HONEST and off < 0.1

    def late_s(self, count: int) -> float:
        """How much later than ever the earliest frame of the last ``count`` buckets came."""
        if len(self._least) < count or self._floor_s is None:
            return 0.0
        return min(self._last(count)) - self._floor_s

    def _last(self, count: int) -> List[float]:
        return list(self._least)[-count:]


def _line(values: List[float]) -> Tuple[float, float]:
    """Slope per value of the straight line through them, and the farthest that one is off it."""
    x = np.arange(len(values))
    slope, start = np.polyfit(x, values, 1)
    return float(slope), float(np.abs(values - (slope * x + start)).max())


class _Arrival:
    """Times of arrival, smoothed: frames are evenly apart by their stamps times ``pace``, which
    follows the arrivals (a phase-locked loop of second order, time constant one second)."""

    _LOCK_S = 1.0
    _LOST_S = 0.5
    _UNEVEN_S = 0.05  # frames held up as much on average are not sent evenly
    _UNEVEN_MEMORY_S = 5.0
    _SIZES = 90
    _BY_SIZE = 0.15

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._time_s: Optional[float] = None
        self._pts_s = 0.0
        self._seen_s = self._now_s = 0.0
        self._sizes: Deque[Tuple[float, int]] = deque(maxlen=self._SIZES)
        self._mean_off_s = self._off_s = 0.0

    @property
    def uneven(self) -> bool:
        """Whether arrivals are too uneven to be a camera's pace."""
        if self._seen_s < self._UNEVEN_MEMORY_S:
            return False
        return self._off_s > self._UNEVEN_S or self._by_size()

    def _by_size(self) -> bool:
        """Whether large frames take longer than small ones, as on a line that is too slow."""
        steps_s, sizes = np.array(self._sizes, float).T
        if len(sizes) < self._SIZES or sizes.min() <= 0.0 or sizes.std() < 0.1 * sizes.mean():
            return False
        explained_s = abs(np.cov(steps_s, sizes)[0, 1]) / sizes.std()
        return bool(
            explained_s > self._BY_SIZE * steps_s.mean() and explained_s > steps_s.std() / 2
        )

    def place(self, pts_s: float, now_s: float, size_bytes: int) -> float:
        """Time of a frame that arrived at ``now_s``."""
        if self._time_s is not None:
            self._sizes.append((now_s - self._now_s, size_bytes))
        self._now_s = now_s
        step_s = pts_s - self._pts_s
        self._pts_s = pts_s
        if self._time_s is None:
            self._time_s = now_s
            return now_s
        expected_s = self._time_s + self._pace * step_s
        off_s = now_s - expected_s
        if abs(off_s) > self._LOST_S or step_s <= 0.0:
            self._time_s = now_s
            return now_s
        gain = min(0.5, self._pace * step_s / self._LOCK_S)
        self._time_s = expected_s + gain * off_s
        self._pace = min(20.0, max(0.05, self._pace + 0.5 * gain * gain * off_s / step_s))
        self._seen_s += self._pace * step_s
        # a pace that changes puts all frames off alike, a line that is too slow now and then some
        self._mean_off_s += gain * (off_s - self._mean_off_s)
        weight = min(1.0, self._pace * step_s / self._UNEVEN_MEMORY_S)
        self._off_s += weight * (abs(off_s - self._mean_off_s) - self._off_s)
        return self._time_s
