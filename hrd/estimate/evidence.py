"""What speaks for and against a reading, as the confidence hears it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Tuple

from hrd.estimate.testimony import Account

FEATURES = (
    "mass_logit",
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
"""Names of the features, in the order in which ``Evidence.features`` gives them."""


@dataclass(frozen=True)
class Evidence:
    """The signal itself, and what the witnesses say (``account``).

    ``mass``, the ridge filter's own probability; ``snr_db``, peak-referenced; ``window_s`` of
    signal it was read from; ``size``, its deviation (a network is trained to fall silent where it
    sees no pulse); ``chirp_share`` of its variance that one chirp explains; ``unsteady_bpm``, mean
    distance to the readings before.
    """

    mass: float
    snr_db: float
    window_s: float
    size: float
    chirp_share: float
    unsteady_bpm: float
    account: Account = field(default_factory=Account)

    def features(self) -> Tuple[float, ...]:
        """In the order of FEATURES."""
        told = self.account
        pos = math.log(told.pos_share + 0.02)
        return (
            _logit(self.mass, 0.01, 0.999),
            self.snr_db,
            math.log(self.window_s),
            math.log(self.size + 0.02),
            _logit(self.chirp_share, 0.01, 0.99),
            math.log(self.unsteady_bpm + 0.5),
            pos,
            math.exp(-told.pos_gap_bpm / 5.0),
            told.motion_share,
            math.log(told.motion_px + 0.003),
            # a head that keeps still hides nothing from POS: what only the network sees is doubtful
            pos * math.exp(-told.motion_px / 0.03),
            told.surround_share,
            told.green_share,
            told.red_ratio,
            math.log(told.chroma + 0.02),
            told.hair,
            told.beside,
        )


def _logit(share: float, low: float, high: float) -> float:
    clipped = min(max(share, low), high)
    return math.log(clipped / (1.0 - clipped))
