"""Time stamps: from what files, streams and drivers say to one axis that never runs backwards.

Pure: every clock is told the time and reads none.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from typing import Deque, Optional

logger = logging.getLogger(__name__)


class StreamClock:
    """Places the frames of a live stream on the monotonic axis by their PTS.

    Arrival jitters by tens of milliseconds over a network, PTS do not; but PTS have an origin of
    their own and a crystal of their own. The offset between both axes is the smallest
    ``arrival - pts`` of the last 10 to 20 seconds: lowered at once when a frame comes earlier
    than any before, raised by at most 2 ms per second (drift of a crystal is 0.1 ms per second),
    so intervals stay true to 0.2 %. The constant part of the delay cannot be seen from here.

    ``place`` returns None for a frame to be left out: in the first ``warm_up_s``, in which
    servers send what they had kept and the offset is not known yet, and where time would not
    advance. A stream without any PTS gets its times of arrival.
    """

    _BUCKET_S = 10.0
    _SLEW = 0.002
    _JUMP_BACK_S = 1.0
    _JUMP_AHEAD_S = 5.0

    def __init__(self, name: str, warm_up_s: float = 0.5) -> None:
        self._name = name
        self._warm_up_s = warm_up_s
        self._first_now_s: Optional[float] = None
        self._offset_s: Optional[float] = None
        self._last_pts_s = 0.0
        self._last_now_s = 0.0
        self._bucket_end_s = 0.0
        self._bucket_min_s = 0.0
        self._previous_min_s = 0.0
        self.last_s: Optional[float] = None
        self.jumps = 0

    @property
    def offset_s(self) -> float:
        """Of the monotonic axis from that of the stamps; 0 before the first stamp."""
        return self._offset_s or 0.0

    def place(self, pts_s: Optional[float], now_s: float) -> Optional[float]:
        """Monotonic time of a frame that arrived at ``now_s``; None to leave it out."""
        if self._first_now_s is None:
            self._first_now_s = now_s
        warm = now_s - self._first_now_s >= self._warm_up_s
        if pts_s is None:
            # RTSP: before the first report of the sender's clock; else a stream without times
            return self._advance(now_s) if warm and self._offset_s is None else None
        self._follow(pts_s, now_s)
        assert self._offset_s is not None
        return self._advance(pts_s + self._offset_s) if warm else None

    def _advance(self, time_s: float) -> Optional[float]:
        if self.last_s is not None and time_s <= self.last_s:
            return None
        self.last_s = time_s
        return time_s

    def _follow(self, pts_s: float, now_s: float) -> None:
        lag_s = now_s - pts_s
        step_pts_s = pts_s - self._last_pts_s
        step_now_s = now_s - self._last_now_s
        self._last_pts_s, self._last_now_s = pts_s, now_s
        jumped = self._offset_s is not None and (
            step_pts_s < -self._JUMP_BACK_S or step_pts_s > step_now_s + self._JUMP_AHEAD_S
        )
        if jumped:
            self.jumps += 1
            logger.warning("the clock of %s jumped by %+.1f s", self._name, step_pts_s)
        if self._offset_s is None or jumped:
            self._offset_s = self._bucket_min_s = self._previous_min_s = lag_s
            self._bucket_end_s = now_s + self._BUCKET_S
            return
        if now_s >= self._bucket_end_s:
            self._previous_min_s, self._bucket_min_s = self._bucket_min_s, lag_s
            self._bucket_end_s = now_s + self._BUCKET_S
        self._bucket_min_s = min(self._bucket_min_s, lag_s)
        target_s = min(self._bucket_min_s, self._previous_min_s)
        rise_s = min(target_s - self._offset_s, self._SLEW * max(step_now_s, 0.0))
        self._offset_s += rise_s  # negative when a frame came earlier than ever: taken at once


class DriverClock:
    """Chooses between a driver's buffer time stamps and the moment of the grab.

    Drivers stamp buffers on the monotonic clock (``CLOCK_MONOTONIC``), which tells the capture
    time whatever the scheduler did since; but some give zero, wall-clock time or nonsense. A
    stamp is sane if it is at most ``MAX_AGE_S`` old, not more than one period ahead (some drivers
    name the end of the exposure that has just begun), and later than the one before. After three
    insane ones in a row the driver's are not looked at any more.
    """

    MAX_AGE_S = 1.0
    MAX_AHEAD_S = 0.2
    """The longest period that a stamp may be ahead by: five frames a second."""
    _SLACK_S = 0.005
    _MAX_INSANE = 3

    def __init__(self, name: str) -> None:
        self._name = name
        self._insane = 0
        self._last_driver_s = float("-inf")
        self._periods: Deque[float] = deque(maxlen=15)
        self.trusted = True
        self.last_s: Optional[float] = None

    def place(self, driver_s: float, now_s: float) -> Optional[float]:
        """Monotonic time of a frame grabbed at ``now_s``; None if time would not advance."""
        time_s = now_s
        if self.trusted:
            if self._is_sane(driver_s, now_s):
                self._insane = 0
                time_s = driver_s
            else:
                self._insane += 1
                if self._insane >= self._MAX_INSANE:
                    self.trusted = False
                    logger.warning(
                        "%s: the driver's time stamps are of no use (%.3f s at %.3f s): "
                        "using the time of arrival",
                        self._name,
                        driver_s,
                        now_s,
                    )
        if self.last_s is not None and time_s <= self.last_s:
            return None
        self.last_s = time_s
        return time_s

    def _is_sane(self, driver_s: float, now_s: float) -> bool:
        step_s, self._last_driver_s = driver_s - self._last_driver_s, driver_s
        if 0.0 < step_s <= self.MAX_AGE_S:
            self._periods.append(step_s)
        period_s = statistics.median(self._periods) if self._periods else self.MAX_AHEAD_S
        ahead_s = min(1.05 * period_s, self.MAX_AHEAD_S) + self._SLACK_S
        return -ahead_s <= now_s - driver_s <= self.MAX_AGE_S and step_s > 0.0
