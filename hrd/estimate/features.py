"""The features of a reading: what its confidence is computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Tuple

from hrd.estimate.sqi import QualityIndices

FEATURE_NAMES = (
    "posterior_logit",
    "snr_db",
    "log_window",
    "share_logit",
    "log_jitter",
    "log_phase_gap",
    "log_unsteady",
    "pos_coherence",
    "green_coherence",
    "moves_along",
    "pos_agrees",
    "green_agrees",
    "red_ratio",
    "blue_ratio",
    "opposition",
    "lit_hair",
    "log_motion",
    "agreeing",
    "log_level",
)
"""Names of the features, in the order in which ``Features.vector`` gives them."""

_AGREE_BPM = 5.0
_STILL_PX = 0.03
_HALF = 0.5


@dataclass(frozen=True)
class Features:
    """The signal itself, and the quality indices of the reference signals at its rate.

    ``posterior``, the heart-rate filter's own probability; ``snr_db``, peak-referenced;
    ``window_s`` of signal it was read from; ``share`` of its variance that lies at the rate;
    ``phase_jitter`` of the beats, radians; ``phase_gap_bpm``, how far the beats counted by their
    phase are off the filter's rate; ``unsteady_bpm``, mean distance to the readings before;
    ``agreeing``, the share of the last 15 that were near it (those that were not made yet do not
    agree). ``level``, standard deviation of the signal: a network that was trained to give a wave
    of deviation 1 with the least squared error gives a smaller one the less it sees of it.
    """

    posterior: float
    snr_db: float
    window_s: float
    share: float
    phase_jitter: float
    phase_gap_bpm: float
    unsteady_bpm: float
    agreeing: float
    level: float
    quality: QualityIndices = field(default_factory=QualityIndices)

    def vector(self) -> Tuple[float, ...]:
        """In the order of FEATURE_NAMES."""
        quality = self.quality
        return (
            _logit(self.posterior, 0.01, 0.999),
            self.snr_db,
            math.log(self.window_s),
            _logit(self.share, 0.01, 0.99),
            math.log(self.phase_jitter + 0.05),
            math.log(self.phase_gap_bpm + 0.5),
            math.log(self.unsteady_bpm + 0.5),
            quality.pos_coherence,
            quality.green_coherence,
            # a head that hardly moves does not make a pulse, however well it goes along
            quality.motion_coherence * quality.motion_px / (quality.motion_px + _STILL_PX),
            math.exp(-quality.pos_gap_bpm / _AGREE_BPM),
            math.exp(-quality.green_gap_bpm / _AGREE_BPM),
            quality.red_ratio,
            quality.blue_ratio,
            quality.opposition,
            # a lamp shines on hair too, and in all colours alike: one alone is often so by chance,
            # for the hair's place shows some forehead and a codec takes the colours away
            min(max(min(quality.hair_ratio, quality.red_ratio), _HALF), 1.1),
            math.log(quality.motion_px + 0.003),
            self.agreeing,
            math.log(self.level + 0.05),
        )


def _logit(share: float, low: float, high: float) -> float:
    clipped = min(max(share, low), high)
    return math.log(clipped / (1.0 - clipped))
