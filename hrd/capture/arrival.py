"""Streams without times: frames are placed by their arrival, as long as it is even.

Pure: told the time, never asks for it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Deque, List, Optional

logger = logging.getLogger(__name__)

_JUDGED_S = 0.5
_WINDOW_S = 3.0
_BASE_S = 12.0
_BASE_LEAST_S = 4.0
_OTHER = 0.15  # the rate of the newest frames is another than before
_BACK = 0.05  # the rate is what it was
_SLOWER_S = 4.0  # a camera that has become slower: in the dark
_FASTER_S = 12.0  # a camera that has become faster; what was held up has come by then


class ArrivalClock:
    """Notices arrivals that do not tell when pictures were taken.

    After a stall come the pictures that it held up, one right after the other. ``place`` gives the
    time of arrival; while frames come at another rate than before, and until that is either over
    or the camera's new rate, the stream begins anew every half second (``take_cut``), so that
    nothing is read of it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._arrivals: Deque[float] = deque()
        self._base_fps: Optional[float] = None
        self._doubt_since_s: Optional[float] = None
        self._judged_s: Optional[float] = None
        self._back = 0
        self._cut = False

    @property
    def in_doubt(self) -> bool:
        """Whether frames come at another rate than before."""
        return self._doubt_since_s is not None

    def take_cut(self) -> bool:
        """Whether the stream begins anew at the newest frame; False when asked again."""
        cut, self._cut = self._cut, False
        return cut

    def place(self, now_s: float) -> float:
        """Time of a frame that arrived at ``now_s``."""
        arrivals = self._arrivals
        stalled = bool(arrivals) and now_s - arrivals[-1] > _WINDOW_S / 2.0
        arrivals.append(now_s)
        while arrivals[0] < now_s - _WINDOW_S - _BASE_S:
            arrivals.popleft()
        if self._judged_s is None:
            self._judged_s = now_s
        if stalled or now_s - self._judged_s >= _JUDGED_S:
            self._judged_s = now_s
            self._judge(now_s, stalled)
        return now_s

    def _judge(self, now_s: float, stalled: bool) -> None:
        arrivals = self._arrivals
        fps = _rate([time_s for time_s in arrivals if time_s > now_s - _WINDOW_S])
        if self._doubt_since_s is None:
            older = [time_s for time_s in arrivals if time_s <= now_s - _WINDOW_S]
            if older and older[-1] - older[0] >= _BASE_LEAST_S:
                self._base_fps = _rate(older)
            if self._base_fps is None:
                return
            if stalled or fps is None or abs(fps / self._base_fps - 1.0) > _OTHER:
                self._doubt_since_s, self._back = now_s, 0
                self._cut = True
            return
        self._cut = True
        if fps is None or self._base_fps is None:
            return
        ratio = fps / self._base_fps
        self._back = self._back + 1 if abs(ratio - 1.0) < _BACK else 0
        patience_s = _WINDOW_S + (_SLOWER_S if ratio < 1.0 else _FASTER_S)
        if self._back >= 2:
            self._doubt_since_s = None
        elif now_s - self._doubt_since_s > patience_s:
            self._doubt_since_s = None
            self._base_fps = fps
        if self._doubt_since_s is None:  # what came while in doubt is no measure
            while arrivals[0] < now_s - _WINDOW_S:
                arrivals.popleft()


def _rate(arrivals_s: List[float]) -> Optional[float]:
    """Frames a second; None of fewer than three."""
    if len(arrivals_s) < 3:
        return None
    return (len(arrivals_s) - 1) / max(arrivals_s[-1] - arrivals_s[0], 1e-3)
