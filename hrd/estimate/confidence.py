"""Confidence: the calibrated probability that a reading is within 5 bpm of the truth.

A logistic model over a few features of the estimate. Its coefficients are fitted by
``python -m hrd.train.calibrate`` on simulated video and stored, with that recipe, in
``confidence.json`` beside this file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple

import numpy as np

from hrd.errors import HrdError

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
    "log_chroma",
)
"""Names of the features, in the order of the coefficients."""


@dataclass(frozen=True)
class Calibration:
    """``coefficients`` for FEATURES and an ``intercept``, per kind of engine."""

    coefficients: Tuple[float, ...]
    intercept: float

    def confidence(self, features: Tuple[float, ...]) -> float:
        """Probability 0..1 from features in the order of FEATURES."""
        if len(features) != len(self.coefficients):
            raise ValueError(f"{len(features)} features for {len(self.coefficients)} coefficients")
        z = self.intercept + float(np.dot(self.coefficients, features))
        return float(1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0))))


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a reading.

    The signal itself: ``mass``, the ridge filter's own probability; ``snr_db``, peak-referenced;
    ``window_s`` of signal it was read from; ``size``, its deviation (a network is trained to fall
    silent where it sees no pulse); ``chirp_share`` of its variance that one chirp explains;
    ``unsteady_bpm``, mean distance to the readings before.

    Witnesses: ``pos_share``, share of the POS signal's variance that the same rate explains, and
    ``pos_gap_bpm``, how far off POS's own peak is (POS shares no weights with the network, so it
    errs otherwise); ``motion_share`` of the head's movement that the rate explains, and
    ``motion_px``, how much it moves, crop pixels a frame (a rate that the head moves at is no
    evidence of a pulse); ``surround_share`` of the light beside the face; ``chroma``, 0 where the
    face's colours all change alike, as under a lamp.
    """

    mass: float
    snr_db: float
    window_s: float
    size: float
    chirp_share: float
    unsteady_bpm: float
    pos_share: float
    pos_gap_bpm: float
    motion_share: float
    motion_px: float
    surround_share: float
    chroma: float

    def features(self) -> Tuple[float, ...]:
        """In the order of FEATURES."""
        pos = float(np.log(self.pos_share + 0.02))
        return (
            _logit(self.mass, 0.01, 0.999),
            self.snr_db,
            float(np.log(self.window_s)),
            float(np.log(self.size + 0.02)),
            _logit(self.chirp_share, 0.01, 0.99),
            float(np.log(self.unsteady_bpm + 0.5)),
            pos,
            float(np.exp(-self.pos_gap_bpm / 5.0)),
            self.motion_share,
            float(np.log(self.motion_px + 0.003)),
            # a head that keeps still hides nothing from POS: what only the network sees is doubtful
            pos * float(np.exp(-self.motion_px / 0.03)),
            self.surround_share,
            float(np.log(self.chroma + 0.02)),
        )


def _logit(share: float, low: float, high: float) -> float:
    clipped = float(np.clip(share, low, high))
    return float(np.log(clipped / (1.0 - clipped)))


_FITTED = Path(__file__).with_name("confidence.json")


def load_calibration(engine: str, path: Path = _FITTED) -> Calibration:
    """The fitted calibration for an engine's name (``pos``; every network shares ``network``)."""
    try:
        fits: Dict[str, Dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))["fits"]
        fit = fits["pos" if engine == "pos" else "network"]
        coefficients = fit["coefficients"]
        assert isinstance(coefficients, dict)
        return Calibration(
            tuple(float(coefficients[name]) for name in FEATURES),
            float(fit["intercept"]),  # type: ignore[arg-type]
        )
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise HrdError(
            f"the confidence calibration {path} cannot be read ({error}); reinstall hrd"
        ) from error
