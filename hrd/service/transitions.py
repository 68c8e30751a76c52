"""The state that the daemon is in, and the log line when it changes."""

from __future__ import annotations

import logging
from typing import Optional

from hrd.types import Reading, State

logger = logging.getLogger(__name__)


class Transitions:
    """``note`` every reading that is published; the journal gets a line, with fields, for each
    change of state or reason, wherever the reading came from."""

    def __init__(self) -> None:
        self.last: Optional[Reading] = None

    @property
    def state(self) -> Optional[State]:
        """The state of the newest reading; None before the first."""
        return None if self.last is None else self.last.state

    @property
    def text(self) -> str:
        """State and reason, for a person who is not to see the heart rate."""
        return "waiting for the first frame" if self.last is None else _text(self.last)

    def note(self, reading: Reading) -> bool:
        """Take the newest reading; whether state or reason have changed."""
        last, self.last = self.last, reading
        if last is not None and (last.state, last.reason) == (reading.state, reading.reason):
            return False
        why = reading.reason.value if reading.reason is not None else ""
        logger.info(
            "%s",
            _text(reading),
            extra={"fields": {"HRD_STATE": reading.state.value, "HRD_REASON": why}},
        )
        return True


def _text(reading: Reading) -> str:
    return reading.state.value + (f": {reading.reason.value}" if reading.reason else "")
