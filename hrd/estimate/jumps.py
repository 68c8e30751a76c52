"""No jumping numbers: a heart does not leap, so a reading that does must first prove itself."""

from __future__ import annotations

from typing import List, Optional

MAX_JUMP_BPM = 25.0
"""Successive published readings never differ by more than this."""

_MEMORY_S = 10.0  # after a longer silence there is nothing to jump from
_PROOF_READINGS = 3
_AGREE_BPM = 5.0


class JumpGuard:
    """Asked about every reading that is otherwise fit to be published.

    One that leaps from the last published rate is held back until three in a row agree: then it
    was the last published one that was wrong, or the heart did what hearts hardly do.
    """

    def __init__(self, max_jump_bpm: float = MAX_JUMP_BPM) -> None:
        self._max_jump_bpm = max_jump_bpm
        self.reset()

    def reset(self) -> None:
        self._bpm: Optional[float] = None
        self._said_s = 0.0
        self._held: List[float] = []

    def allows(self, bpm: float, time_s: float) -> bool:
        """May this rate be published now?"""
        if self._bpm is None or time_s - self._said_s > _MEMORY_S:
            near = True
        else:
            near = abs(bpm - self._bpm) <= self._max_jump_bpm
        if not near:
            agreeing = [one for one in self._held if abs(one - bpm) <= _AGREE_BPM]
            self._held = [*agreeing, bpm] if len(agreeing) == len(self._held) else [bpm]
            if len(self._held) < _PROOF_READINGS:
                return False
        self._bpm, self._said_s, self._held = bpm, time_s, []
        return True
