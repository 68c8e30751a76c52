"""Confidence: the calibrated probability that a reading is within 5 bpm of the truth.

A logistic model over a few features of the estimate and their products: what one witness says
counts differently by what another says. Its coefficients are fitted by
``python -m hrd.train.calibrate`` on simulated video and stored, with that recipe, in
``confidence.json`` beside this file.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

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
    "green_share",
    "red_ratio",
    "log_chroma",
)
"""Names of the features, in the order of the coefficients."""

_CLIP = 3.0  # beyond three spreads a feature says nothing more, and its square must not


def expand(features: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(N, F) features -> (N, F + F (F + 1) / 2): standardised, clipped to +-3, and all products of
    two (each with itself as well), in the order of ``pairs``."""
    z = np.clip((features - mean) / spread, -_CLIP, _CLIP)
    first, second = _pair_indices(z.shape[1])
    return np.hstack([z, z[:, first] * z[:, second]])


@functools.lru_cache(maxsize=4)
def _pair_indices(count: int) -> Tuple[np.ndarray, np.ndarray]:
    first, second = np.triu_indices(count)
    return first, second


def pairs() -> List[Tuple[str, str]]:
    """Names of the products that ``expand`` appends."""
    first, second = _pair_indices(len(FEATURES))
    return [(FEATURES[i], FEATURES[j]) for i, j in zip(first, second)]


@dataclass(frozen=True)
class Calibration:
    """``mean``, ``spread`` (F,) of FEATURES, ``coefficients`` of ``expand`` and ``intercept``."""

    mean: np.ndarray
    spread: np.ndarray
    coefficients: np.ndarray
    intercept: float

    def confidence(self, features: Tuple[float, ...]) -> float:
        """Probability 0..1 from features in the order of FEATURES."""
        if len(features) != len(self.mean):
            raise ValueError(f"{len(features)} features for a calibration of {len(self.mean)}")
        terms = expand(np.array([features]), self.mean, self.spread)
        return float(self.confidences(terms)[0])

    def confidences(self, terms: np.ndarray) -> np.ndarray:
        """(N, K) of ``expand`` -> (N,) probabilities."""
        logit = terms @ self.coefficients + self.intercept
        return 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))


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
    evidence of a pulse); ``surround_share`` of the light beside the face; ``green_share``,
    ``red_ratio`` and ``chroma``: what the face's own colour does at the rate (``Colour``), which is
    one thing for blood and another for a lamp.
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
    green_share: float
    red_ratio: float
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
            self.green_share,
            self.red_ratio,
            float(np.log(self.chroma + 0.02)),
        )


def _logit(share: float, low: float, high: float) -> float:
    clipped = float(np.clip(share, low, high))
    return float(np.log(clipped / (1.0 - clipped)))


_FITTED = Path(__file__).with_name("confidence.json")


def to_json(calibration: Calibration) -> Dict[str, Any]:
    """As ``confidence.json`` holds a fit: every number under the name of what it belongs to."""
    count = len(FEATURES)
    return {
        "intercept": round(calibration.intercept, 5),
        "features": {
            name: {
                "mean": round(float(calibration.mean[k]), 5),
                "spread": round(float(calibration.spread[k]), 5),
                "coefficient": round(float(calibration.coefficients[k]), 5),
            }
            for k, name in enumerate(FEATURES)
        },
        "products": {
            f"{one} * {other}": round(float(value), 5)
            for (one, other), value in zip(pairs(), calibration.coefficients[count:])
        },
    }


def from_json(fit: Dict[str, Any]) -> Calibration:
    """The reverse of ``to_json``; ``KeyError`` or ``TypeError`` if anything is missing."""
    features = [fit["features"][name] for name in FEATURES]
    products = [fit["products"][f"{one} * {other}"] for one, other in pairs()]
    return Calibration(
        mean=np.array([float(one["mean"]) for one in features]),
        spread=np.array([float(one["spread"]) for one in features]),
        coefficients=np.array([float(one["coefficient"]) for one in features] + products, float),
        intercept=float(fit["intercept"]),
    )


def load_calibration(engine: str, path: Path = _FITTED) -> Calibration:
    """The fitted calibration for an engine's name (``pos``; every network shares ``network``)."""
    try:
        fits = json.loads(path.read_text(encoding="utf-8"))["fits"]
        return from_json(fits["pos" if engine == "pos" else "network"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HrdError(
            f"the confidence calibration {path} cannot be read ({error}); reinstall hrd"
        ) from error
