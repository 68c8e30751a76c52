"""Whether this machine is too slow for its camera. Pure: counts and times in, a sentence out."""

from __future__ import annotations

import logging
from typing import Optional

logger = logging.getLogger(__name__)

PERIOD_S = 10.0
TOO_MANY = 0.1
"""Share of a period's frames that are dropped when the pipeline does not keep up."""


class Overload:
    """``note`` every turn of the main loop. ``text``: what there is to say now, empty where the
    machine keeps up. The log gets a line when that begins and when it ends."""

    def __init__(self) -> None:
        self.text = ""
        self._since_s: Optional[float] = None
        self._taken = 0
        self._dropped_before = 0

    def note(self, now_s: float, took_one: bool, dropped: int) -> None:
        """``took_one``: whether a frame was worked on; ``dropped``: frames dropped since the
        start."""
        if self._since_s is None:
            self._since_s, self._dropped_before = now_s, dropped
        self._taken += took_one
        if now_s - self._since_s < PERIOD_S:
            return
        lost = max(0, dropped - self._dropped_before)
        every = lost + self._taken
        self._judge(lost, every)
        self._since_s, self._dropped_before, self._taken = now_s, dropped, 0

    def _judge(self, lost: int, every: int) -> None:
        if lost > TOO_MANY * every:
            if not self.text:
                logger.warning(
                    "this machine is too slow for its camera: %d of %d frames were dropped in the "
                    "last %.0f s; end other programs, or ask for less (source.capture.fps, "
                    "width_px, height_px)",
                    lost,
                    every,
                    PERIOD_S,
                    extra={"fields": {"HRD_OVERLOAD": "yes"}},
                )
            self.text = f"this machine is too slow: {lost} of {every} frames dropped"
        elif self.text:
            self.text = ""
            logger.info(
                "this machine keeps up with its camera again",
                extra={"fields": {"HRD_OVERLOAD": "no"}},
            )
