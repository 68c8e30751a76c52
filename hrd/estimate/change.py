"""Has the heart rate become another one? The newest seconds against what the window says.

A long window reads a steady rate best, and after a sudden change it says the old rate until most
of it is new. So the newest seconds are asked apart: where they plainly speak for another rate,
twice in a row, what came before them is of no more use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from hrd.estimate.ratefilter import GRID_BPM, log_likelihood
from hrd.estimate.spectrum import Spectrum, rate_score
from hrd.types import NEAR_BPM


@dataclass(frozen=True)
class ChangeConfig:
    """``newest_s``: how much is asked apart. ``least_bpm``: closer rates can't be told apart in so
    little signal. ``least_nats``: by how much the log likelihood of the new rate must exceed the
    old one's."""

    newest_s: float = 5.0
    least_bpm: float = 10.0
    least_nats: float = 5.0


class ChangeDetector:
    """Asked about every window in turn."""

    def __init__(self, config: Optional[ChangeConfig] = None) -> None:
        self.config = config or ChangeConfig()
        self.reset()

    def reset(self) -> None:
        """Nothing is suspected."""
        self._suspect_bpm: Optional[float] = None

    def changed(self, newest: Spectrum, bpm: float, independent_per_s: float = 3.0) -> bool:
        """Does the spectrum of the newest seconds, as that of the reading before, say that the
        rate is no longer ``bpm``? ``independent_per_s``: samples a second that count as such."""
        config = self.config
        score, _ = rate_score(newest, GRID_BPM)
        likelihood = log_likelihood(score, independent_per_s * newest.duration_s)
        best = int(np.argmax(likelihood))
        near = np.abs(GRID_BPM - bpm) <= 0.5 * config.least_bpm
        old = float(likelihood[near].max()) if near.any() else 0.0
        nats = float(likelihood[best]) - old
        new_bpm = float(GRID_BPM[best])
        before, self._suspect_bpm = self._suspect_bpm, None
        if nats < config.least_nats or abs(new_bpm - bpm) < config.least_bpm:
            return False
        if before is not None and abs(before - new_bpm) <= NEAR_BPM:
            return True
        self._suspect_bpm = new_bpm
        return False
