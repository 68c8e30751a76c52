"""The clock of a network camera: its stamps, stretched to the world's pace where need be.

Cameras stamp frames at the rate that they were told to take them at, whatever they really do: 21
frames a second stamped as 25 show 84 beats a minute as 100. Arrival jitters, but over some seconds
it does not lie, unless the network is too slow: then frames come later and later, and a stretched
clock would lie. Pure: told the time, never asks for it.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from typing import Deque, Optional

from hrd.capture.arrival import ArrivalClock
from hrd.capture.clock import StreamClock
from hrd.capture.pace import Lags, Sender, Sizes

logger = logging.getLogger(__name__)

_SAME_PACE = 0.005  # closer to 1 than that, a pace is 1
_GROWTH_S = 1.0
"""Stamps and arrival must have come apart by so many seconds before another pace is believed in:
a camera's own buffers hold up as much at most. Less for a pace that is only a little off."""
_GROWTH_PER_PACE_S = 10.0
_UNEVEN = 0.3  # of that, how far off a straight line the frames may be
_LINE_GROWTH_S = 2.0  # what a line may hold up for a while
_HELD_UP_S = 0.15
_FLAT = 0.01  # growth per second of stamps that keep pace after all
_FLAT_OFF_S = 0.1
_FLAT_SPAN_S = 5.0
_UNDECIDED_S = 30.0
_EARLIER_S = 0.15
"""Frames that come earlier than ever, by so much, show that those before were held up: times until
then were too close together."""
_FOLLOW_SPAN_S = 20.0
_FOLLOW = 0.03  # a pace that was found is corrected by so much of its error every half second
_BEHIND_S = 0.5  # frames that come as late as this for 20 s will not catch up any more
_BEHIND_SPAN_S = 20.0
_STUCK = 8  # frames with one and the same stamp: it is none
_JUMP_S = 0.2  # and four periods: a longer step is a stray stamp, or a clock that was set


class FallsBehind(Exception):
    """Frames come later and later, and not as a camera with a wrong clock sends them."""


class Undecided(Exception):
    """Stamps and arrival do not fit, and nothing tells which of them is right."""


class NetworkClock:
    """Places the frames of a network stream on the monotonic axis.

    ``place`` returns None for a frame to be left out, as ``StreamClock`` does, and for one whose
    stamp strays. ``take_cut`` tells whether the stream begins anew at the frame just placed: its
    clock was set, or its pace is another from there on. While it is being found out whose pace is
    right, the stream begins anew every half second, so that no rate can be read of it. Raises
    ``FallsBehind`` and ``Undecided``.
    """

    def __init__(self, name: str, warm_up_s: float = 0.5) -> None:
        self._name = name
        self._warm_up_s = warm_up_s
        self._stamps = StreamClock(name, warm_up_s)
        self._arrival = ArrivalClock(name)
        self._lags = Lags()
        self._trial: Optional[_Trial] = None
        self._high_offset_s: Optional[float] = None
        self._stretched_s = 0.0
        self._last_pts_s: Optional[float] = None
        self._last_now_s = 0.0
        self._held_pts_s: Optional[float] = None
        self._held_now_s = 0.0
        self._periods: Deque[float] = deque(maxlen=15)
        self._same = 0
        self._cut = False
        self.pace = 1.0
        """Seconds of the world in a second of the stamps."""
        self.last_s: Optional[float] = None
        self.strays = 0

    @property
    def by_arrival(self) -> bool:
        """Whether the stamps do not keep pace, so that arrival tells the rate."""
        return self.pace != 1.0

    @property
    def in_doubt(self) -> bool:
        """Whether it is being found out whose pace is right."""
        return self._trial is not None or self._arrival.in_doubt

    def take_cut(self) -> bool:
        """Whether the stream begins anew at the newest frame; False when asked again."""
        cut, self._cut = self._cut, False
        return cut

    def place(self, pts_s: Optional[float], now_s: float, size_bytes: int = 0) -> Optional[float]:
        """Monotonic time of a frame that arrived at ``now_s``; None to leave it out.
        ``size_bytes``: of the frame as it was sent, 0 where that is not known."""
        if pts_s is None or self._same >= _STUCK:
            time_s = now_s if pts_s is not None else self._stamps.place(None, now_s)
            if time_s is not None:
                time_s = self._arrival.place(time_s)
                self._cut = self._arrival.take_cut() or self._cut
            return self._advance(time_s)
        if self._strays(pts_s, now_s):
            return None
        step_s = 0.0 if self._last_pts_s is None else pts_s - self._last_pts_s
        self._last_pts_s, self._last_now_s = pts_s, now_s
        if step_s == 0.0:
            self._count_same()
        else:
            self._same = 0
            self._periods.append(step_s)
        self._stretched_s += self.pace * step_s
        if self._trial is not None:
            self._trial.sizes.push(now_s, size_bytes)
        if self._lags.push(self._stretched_s, now_s):
            self._judge(now_s)
        time_s = self._stamps.place(self._stretched_s, now_s)
        offset_s = self._stamps.offset_s
        if self._high_offset_s is None or offset_s > self._high_offset_s:
            self._high_offset_s = offset_s
        elif offset_s < self._high_offset_s - _EARLIER_S:
            self._high_offset_s = offset_s
            self._cut = True
        return self._advance(time_s)

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
        self._begin_anew()
        self._last_pts_s = None
        self._stretched_s = pts_s
        self._periods.clear()
        return False

    def _begin_anew(self, pace: float = 1.0) -> None:
        self._stamps = StreamClock(self._name, warm_up_s=0.0)
        self._high_offset_s = None
        self._lags = Lags()
        self._trial = None
        self.pace = pace
        self._cut = True

    def _judge(self, now_s: float) -> None:
        """Half a second has passed: do the stamps still keep the world's pace?"""
        lags = self._lags
        if self._trial is not None:
            self._cut = True
            self._try_on(self._trial, now_s)
            return
        pace = lags.other_pace()
        if pace is not None:
            logger.warning(
                "the clock of %s runs at %.3f of the pace at which its frames arrive: "
                "no rate can be read until it is known which is right",
                self._name,
                1.0 / (self.pace * pace),
            )
            self._trial = _Trial(now_s, lags.newest_s, abs(1.0 - 1.0 / pace))
            self._cut = True
        elif lags.late_s(_BEHIND_SPAN_S) > _BEHIND_S:
            raise FallsBehind
        elif self.pace != 1.0:
            found = lags.slope(_FOLLOW_SPAN_S)
            if found is not None and abs(found[0]) < _FLAT and found[1] < _FLAT_OFF_S:
                self.pace *= 1.0 + _FOLLOW * found[0]

    def _try_on(self, trial: _Trial, now_s: float) -> None:
        """End the doubt, if what has come tells enough."""
        lags = self._lags
        flat = lags.slope(_FLAT_SPAN_S)
        gentle = min(_FLAT, trial.slope / 4.0)
        if flat is not None and abs(flat[0]) < gentle and flat[1] < _FLAT_OFF_S:
            logger.info("the clock of %s keeps pace: using it", self._name)
            self._begin_anew(self.pace)
            return
        growth_s = lags.newest_s - trial.lag_s
        trial.high_s = max(trial.high_s, growth_s)
        if trial.high_s > _HELD_UP_S and growth_s < trial.high_s / 2.0:
            logger.info("the frames of %s were held up and catch up: using its stamps", self._name)
            self._trial = None
            return
        sender = trial.sizes.sender()
        if sender is Sender.LINE and growth_s > _LINE_GROWTH_S:
            raise FallsBehind
        found = lags.slope(now_s - trial.began_s) if sender is Sender.CAMERA else None
        if found is not None and found[1] < _UNEVEN * abs(growth_s):
            ratio = 1.0 / max(1.0 - found[0], 0.05)
            if abs(growth_s) >= min(_GROWTH_S, _GROWTH_PER_PACE_S * abs(ratio - 1.0)):
                pace = self.pace * ratio
                if abs(pace - 1.0) < _SAME_PACE:
                    pace = 1.0
                logger.warning(
                    "%s sends evenly, at %.3f of the pace of its stamps: using the time of arrival",
                    self._name,
                    1.0 / pace,
                )
                self._begin_anew(pace)
                return
        if now_s - trial.began_s > _UNDECIDED_S:
            raise Undecided


class _Trial:
    """What is known since stamps and arrival began to come apart."""

    def __init__(self, began_s: float, lag_s: float, slope: float) -> None:
        self.began_s = began_s
        self.slope = slope  # growth of the lag per second
        self.lag_s = lag_s
        self.high_s = 0.0
        self.sizes = Sizes()
