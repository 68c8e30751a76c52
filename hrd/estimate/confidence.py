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

FEATURES = ("mass_logit", "snr_db", "log_window")
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


def features(mass: float, snr_db: float, window_s: float) -> Tuple[float, ...]:
    """The features of an estimate, in the order of FEATURES."""
    mass = float(np.clip(mass, 0.01, 0.999))
    return (float(np.log(mass / (1.0 - mass))), snr_db, float(np.log(window_s)))


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
