"""Whether this machine is too slow for its camera. Pure: counts and times in, a sentence out, and
what to ask of the camera then."""

from __future__ import annotations

import dataclasses
import logging
from typing import Optional

from hrd.types import Demand

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
        self._behind_until_s: Optional[float] = None
        self._behind = False
        self._dropped = 0
        self._taken = 0
        self._dropped_before = 0

    def note(self, now_s: float, took_one: bool, dropped: int) -> None:
        """``took_one``: whether a frame was worked on; ``dropped``: frames dropped since the
        start."""
        if self._since_s is None:
            self._since_s, self._dropped_before = now_s, dropped
            self._dropped = dropped
        if dropped != self._dropped:
            self._dropped = dropped
            self._behind_until_s = now_s + PERIOD_S
        self._behind = self._behind_until_s is not None and now_s < self._behind_until_s
        self._taken += took_one
        if now_s - self._since_s < PERIOD_S:
            return
        lost = max(0, dropped - self._dropped_before)
        every = lost + self._taken
        self._judge(lost, every)
        self._since_s, self._dropped_before, self._taken = now_s, dropped, 0

    def ease(self, demand: Demand) -> Demand:
        """What to ask of the camera instead. Until ``PERIOD_S`` after a drop frames come one by
        one: several together would fill the queue at once, so that some in a row were dropped."""
        return dataclasses.replace(demand, together_s=0.0) if self._behind else demand

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
