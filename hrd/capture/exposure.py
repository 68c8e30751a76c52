"""When to hold a camera's exposure, and when to let it go again.

Automatic exposure and white balance move the colour of the skin far more than a pulse does, so
they are locked once they have settled. A lock can go wrong (many cameras jump back to an old
manual value) and can grow stale (the lamp is switched on), so the brightness of the picture is
watched. Pure: frames' brightness and times in, actions out.
"""

from __future__ import annotations

import enum
from typing import Optional

_BASE_8BIT = 8.0  # keeps ratios meaningful for a black picture


class Action(enum.Enum):
    """What the camera is to be told after a frame."""

    NONE = "none"
    LOCK = "lock"
    UNLOCK = "unlock"


class _Phase(enum.Enum):
    SETTLING = "settling"
    CHECKING = "checking"
    LOCKED = "locked"
    AUTOMATIC = "automatic"  # for good


class ExposureGovernor:
    """Says after each frame what to do; ``usable`` tells whether the frame may be read.

    Settles for ``settle_s``, asks for LOCK, checks for half a second that the brightness stayed
    within a quarter; if it did not, asks for UNLOCK, lets the camera settle and leaves it on
    automatic from then on. A picture that for 5 s is darker than 0.6 or brighter than 1.6 times
    what was locked is metered anew: UNLOCK, settle, LOCK; at most once a minute.
    """

    CHECK_S = 0.5
    MAX_STEP = 0.25
    DRIFT_LOW = 0.6
    DRIFT_HIGH = 1.6
    DRIFT_S = 5.0
    MIN_LOCKED_S = 60.0

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._phase = _Phase.SETTLING
        self._since_s: Optional[float] = None
        self._mean = 0.0
        self._locked_mean = 0.0
        self._drifting_since_s: Optional[float] = None
        self._trust_lock = True
        self.usable = False

    @property
    def locked(self) -> bool:
        return self._phase is _Phase.LOCKED

    def give_up(self) -> None:
        """The driver refuses to lock: stay automatic."""
        self._phase = _Phase.AUTOMATIC
        self.usable = True

    def push(self, brightness: float, time_s: float) -> Action:
        """``brightness``: mean of the picture, 0..255."""
        level = brightness + _BASE_8BIT
        if self._since_s is None:
            self._since_s, self._mean = time_s, level
        self._mean += 0.2 * (level - self._mean)
        elapsed_s = time_s - self._since_s
        if self._phase is _Phase.SETTLING:
            return self._settling(elapsed_s, time_s)
        if self._phase is _Phase.CHECKING:
            return self._checking(elapsed_s, time_s)
        if self._phase is _Phase.LOCKED:
            return self._watching(elapsed_s, time_s)
        return Action.NONE

    def _enter(self, phase: _Phase, time_s: float, usable: bool) -> None:
        self._phase, self._since_s, self.usable = phase, time_s, usable
        self._drifting_since_s = None

    def _settling(self, elapsed_s: float, time_s: float) -> Action:
        if elapsed_s < self._settle_s:
            return Action.NONE
        if not self._trust_lock:
            self._enter(_Phase.AUTOMATIC, time_s, usable=True)
            return Action.NONE
        self._locked_mean = self._mean
        self._enter(_Phase.CHECKING, time_s, usable=False)
        return Action.LOCK

    def _checking(self, elapsed_s: float, time_s: float) -> Action:
        if elapsed_s < self.CHECK_S:
            return Action.NONE
        step = self._mean / self._locked_mean - 1.0
        if abs(step) > self.MAX_STEP:
            self._trust_lock = False
            self._enter(_Phase.SETTLING, time_s, usable=False)
            return Action.UNLOCK
        self._locked_mean = self._mean
        self._enter(_Phase.LOCKED, time_s, usable=True)
        return Action.NONE

    def _watching(self, elapsed_s: float, time_s: float) -> Action:
        ratio = self._mean / self._locked_mean
        if self.DRIFT_LOW <= ratio <= self.DRIFT_HIGH:
            self._drifting_since_s = None
        elif self._drifting_since_s is None:
            self._drifting_since_s = time_s
        elif time_s - self._drifting_since_s >= self.DRIFT_S and elapsed_s >= self.MIN_LOCKED_S:
            self._enter(_Phase.SETTLING, time_s, usable=False)
            return Action.UNLOCK
        return Action.NONE
