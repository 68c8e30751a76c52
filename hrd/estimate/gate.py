"""What is published: readings that are sure enough, that begin well, and that do not leap."""

from __future__ import annotations

from typing import List, Optional

MAX_JUMP_BPM = 25.0
"""Successive published readings never differ by more than this."""

_MEMORY_S = 10.0  # after a longer silence there is nothing to leap from
_LEAP_READINGS = 3
_START_READINGS = 2
_AGREE_BPM = 5.0
_SURE = 0.3


class PublishGate:
    """Asked about every reading in turn.

    Once readings flow, they go on while their confidence is at least ``min_confidence``. To begin,
    one must be surer than that (at the default of 0.8: 0.94), or two in a row must have it: what
    looks like a pulse for a second is often none. After a cut (``begin_anew``) twice as many are
    needed: where pictures are damaged there are more to come. One that leaps from the last
    published rate is held back until three in a row agree: then it was the last published one that
    was wrong, or the heart did what hearts hardly do. A ``min_confidence`` of 0 lets all through.
    """

    def __init__(self, min_confidence: float) -> None:
        self._least = min_confidence
        self._sure = 1.0 - _SURE * (1.0 - min_confidence)
        self._cut = False
        self.reset()

    @property
    def why(self) -> str:
        """Why the last reading that was asked about may not be published; empty if it may."""
        return self._why

    def reset(self) -> None:
        """Another face, or another stream."""
        self._why = ""
        self._open = False
        self._good = self._surely = 0
        self._bpm: Optional[float] = None
        self._said_s = 0.0
        self._held: List[float] = []

    def begin_anew(self) -> None:
        """The stream was cut in its middle."""
        self._cut = True

    def refuse(self) -> None:
        """There was nothing to publish: what comes next has to begin again."""
        self._open = False
        self._good = self._surely = 0

    def allows(self, bpm: float, confidence: float, time_s: float) -> bool:
        """May this reading be published now?"""
        self._why = ""
        if self._least <= 0.0:
            return True
        if confidence < self._least:
            self._why = f"confidence under {self._least:g}"
            self.refuse()
            return False
        if not self._open and not self._may_begin(confidence):
            return False
        self._open, self._cut = True, False
        return self._is_no_leap(bpm, time_s)

    def _may_begin(self, confidence: float) -> bool:
        self._good += 1
        self._surely = self._surely + 1 if confidence >= self._sure else 0
        sure = 2 if self._cut else 1
        good = sure * _START_READINGS
        if self._surely >= sure or self._good >= good:
            return True
        asked, verb = (f"{sure} in a row", "are") if sure > 1 else ("one confidence", "is")
        self._why = (
            f"to begin{' after a cut' * self._cut}, {asked} of {self._sure:.2f} {verb} needed, or "
            f"{good} in a row of {self._least:.2f}"
        )
        return False

    def _is_no_leap(self, bpm: float, time_s: float) -> bool:
        recent = self._bpm is not None and time_s - self._said_s <= _MEMORY_S
        if recent and self._bpm is not None and abs(bpm - self._bpm) > MAX_JUMP_BPM:
            agreeing = [one for one in self._held if abs(one - bpm) <= _AGREE_BPM]
            self._held = [*agreeing, bpm] if len(agreeing) == len(self._held) else [bpm]
            if len(self._held) < _LEAP_READINGS:
                self._why = (
                    f"more than {MAX_JUMP_BPM:g} bpm from the last: {_LEAP_READINGS} in a row must"
                    " agree"
                )
                return False
        self._bpm, self._said_s, self._held = bpm, time_s, []
        return True
