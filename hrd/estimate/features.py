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
    "log_size",
    "chirp_logit",
    "log_unsteady",
    "log_pos_share",
    "pos_agrees",
    "motion_share",
    "log_motion",
    "still_pos_share",
    "surround_share",
    "green_share",
    "red_ratio",
    "log_chroma",
    "hair",
    "beside",
)
"""Names of the features, in the order in which ``Features.vector`` gives them."""


@dataclass(frozen=True)
class Features:
    """The signal itself, and the quality indices of the reference signals at its rate.

    ``posterior``, the heart-rate filter's own probability; ``snr_db``, peak-referenced;
    ``window_s`` of signal it was read from; ``size``, its deviation (a network is trained to fall
    silent where it sees no pulse); ``chirp_share`` of its variance that one chirp explains;
    ``unsteady_bpm``, mean distance to the readings before.
    """

    posterior: float
    snr_db: float
    window_s: float
    size: float
    chirp_share: float
    unsteady_bpm: float
    quality: QualityIndices = field(default_factory=QualityIndices)

    def vector(self) -> Tuple[float, ...]:
        """In the order of FEATURE_NAMES."""
        quality = self.quality
        pos = math.log(quality.pos_share + 0.02)
        return (
            _logit(self.posterior, 0.01, 0.999),
            self.snr_db,
            math.log(self.window_s),
            math.log(self.size + 0.02),
            _logit(self.chirp_share, 0.01, 0.99),
            math.log(self.unsteady_bpm + 0.5),
            pos,
            math.exp(-quality.pos_gap_bpm / 5.0),
            quality.motion_share,
            math.log(quality.motion_px + 0.003),
            # a head that keeps still hides nothing from POS: what only the network sees is doubtful
            pos * math.exp(-quality.motion_px / 0.03),
            quality.surround_share,
            quality.green_share,
            quality.red_ratio,
            math.log(quality.chroma + 0.02),
            quality.hair,
            quality.beside,
        )


def _logit(share: float, low: float, high: float) -> float:
    clipped = min(max(share, low), high)
    return math.log(clipped / (1.0 - clipped))
