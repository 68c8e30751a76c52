"""Confidence: the calibrated probability that a reading is within 5 bpm of the truth.

The mean of two log odds: of a logistic regression on the features and their products, which goes on
sensibly where no clip of the fit was, and of small decision trees (gradient boosting, Friedman
2001), for what one feature says counts differently by what the others say. Left out person by
person, real traces are read as often and as rightly by either; the mean is surer of lamps than the
first, and of cameras never seen than the second. Both are fitted by
``python -m hrd.train.calibrate`` and stored, with that recipe, in ``confidence.json`` beside this
file.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Tuple

import numpy as np

from hrd.errors import HrdError
from hrd.estimate.features import FEATURE_NAMES

OPPOSITION = FEATURE_NAMES.index("opposition")
_SOME_OPPOSITION, _LOG_ODDS_OPPOSED = 0.3, 20.0
# Red and blue that go against each other at the rate are a white balance that hunts, and no pulse.
# This is known beforehand: the clips of the fit show it too rarely. Of right readings of drawn
# faces 1.4 % have more than 0.3 of it, of real clips none.


def opposed_log_odds(opposition: np.ndarray) -> np.ndarray:
    """How much red against blue takes from the log odds."""
    over: np.ndarray = np.maximum(opposition - _SOME_OPPOSITION, 0.0)
    return _LOG_ODDS_OPPOSED * over


@dataclass(frozen=True)
class Logistic:
    """``mean``, ``scale`` (F,): what makes a feature a standard one; ``low``, ``high`` (F,): where
    it is clipped, the range of the clips of the fit; ``weight`` (F + F (F + 1) / 2,): of each and
    of each product of two (row by row of the upper triangle); ``intercept``."""

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    weight: np.ndarray
    intercept: float

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N,)."""
        return self.terms(features) @ self.weight + self.intercept

    def terms(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N, F + F (F + 1) / 2): standard ones, then their products."""
        z = np.clip((features - self.mean) / self.scale, self.low, self.high)
        first, second = pairs(z.shape[1])
        return np.hstack([z, z[:, first] * z[:, second]])


@dataclass(frozen=True)
class Trees:
    """Trees that add up to a log odds. All are complete and of one depth d, node k's children are
    2 k + 1 (where its feature is at most the threshold) and 2 k + 2.

    ``feature``, ``threshold`` (T, 2^d - 1): which of FEATURE_NAMES a node asks for, and its
    threshold; ``value`` (T, 2^d): the leaves' log odds; ``intercept``: before any tree.
    """

    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray
    intercept: float

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features -> (N,)."""
        trees, inner = self.feature.shape
        # every node is asked, which NumPy does sooner than it walks
        right = features.take(self.feature.ravel(), axis=1) > self.threshold.ravel()
        first = np.arange(len(features) * trees).reshape(len(features), trees) * inner
        node = np.zeros((len(features), trees), int)
        for _ in range(depth_of(inner)):
            node = 2 * node + 1 + right.take(first + node)
        leaves = self.value.take(np.arange(trees) * (inner + 1) + node - inner)
        total: np.ndarray = self.intercept + leaves.sum(axis=1)
        return total


@dataclass(frozen=True)
class Calibration:
    """What makes a probability of features."""

    logistic: Logistic
    trees: Trees

    def confidence(self, features: Tuple[float, ...]) -> float:
        """Probability 0..1 from features in the order of FEATURE_NAMES."""
        return float(self.confidences(np.array([features]))[0])

    def confidences(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features in the order of FEATURE_NAMES -> (N,) probabilities."""
        if features.shape[1] != len(FEATURE_NAMES):
            raise ValueError(
                f"{features.shape[1]} features for a calibration of {len(FEATURE_NAMES)}"
            )
        log_odds = 0.5 * (self.logistic.log_odds(features) + self.trees.log_odds(features))
        log_odds = log_odds - opposed_log_odds(features[:, OPPOSITION])
        return 1.0 / (1.0 + np.exp(-np.clip(log_odds, -30.0, 30.0)))


@functools.lru_cache(maxsize=2)
def pairs(count: int) -> Tuple[np.ndarray, np.ndarray]:
    """The two features of each product, in order: the upper triangle of a square of so many."""
    first, second = np.triu_indices(count)
    return first, second


def depth_of(inner: int) -> int:
    """Depth of a complete tree with so many nodes that ask."""
    return (inner + 1).bit_length() - 1


_FITTED = Path(__file__).with_name("confidence.json")


def to_json(calibration: Calibration) -> Dict[str, Any]:
    """As ``confidence.json`` holds a fit; all numbers rounded to 5 digits."""
    logistic, trees = calibration.logistic, calibration.trees
    return {
        "features": list(FEATURE_NAMES),
        "logistic": {
            "mean": _rounded(logistic.mean),
            "scale": _rounded(logistic.scale),
            "low": _rounded(logistic.low),
            "high": _rounded(logistic.high),
            "weight": _rounded(logistic.weight),
            "intercept": round(logistic.intercept, 5),
        },
        "intercept": round(trees.intercept, 5),
        "trees": [
            {
                "feature": [int(one) for one in feature],
                "threshold": _rounded(threshold),
                "value": _rounded(value),
            }
            for feature, threshold, value in zip(trees.feature, trees.threshold, trees.value)
        ],
    }


def _rounded(values: Iterable[float]) -> List[float]:
    return [round(float(value), 5) for value in values]


def from_json(fit: Dict[str, Any]) -> Calibration:
    """The reverse of ``to_json``; ``KeyError``, ``TypeError`` or ``ValueError`` if anything is
    missing or does not fit together."""
    if fit["features"] != list(FEATURE_NAMES):
        raise ValueError("it was fitted to other features")
    return Calibration(_logistic(fit["logistic"]), _trees(fit["trees"], float(fit["intercept"])))


def _logistic(part: Dict[str, Any]) -> Logistic:
    mean, scale, low, high, weight = (
        np.array(part[name], float) for name in ("mean", "scale", "low", "high", "weight")
    )
    count = len(FEATURE_NAMES)
    if any(values.shape != (count,) for values in (mean, scale, low, high)):
        raise ValueError("its logistic regression is of other features")
    if weight.shape != (count + count * (count + 1) // 2,) or not (scale > 0.0).all():
        raise ValueError("its logistic regression is not complete")
    return Logistic(mean, scale, low, high, weight, float(part["intercept"]))


def _trees(trees: List[Dict[str, Any]], intercept: float) -> Trees:
    feature = np.array([tree["feature"] for tree in trees], int)
    threshold = np.array([tree["threshold"] for tree in trees], float)
    value = np.array([tree["value"] for tree in trees], float)
    inner = feature.shape[1] if feature.ndim == 2 else 0
    complete = inner + 1 == 1 << depth_of(inner) and inner > 0
    if not complete or threshold.shape != feature.shape or value.shape != (len(trees), inner + 1):
        raise ValueError("its trees are not complete")
    if feature.min() < 0 or feature.max() >= len(FEATURE_NAMES):
        raise ValueError("its trees ask for features that there are not")
    return Trees(feature, threshold, value, intercept)


def load_calibration(engine: str, path: Path = _FITTED) -> Calibration:
    """The fitted calibration for an engine's name (``pos``; every network shares ``network``).

    Of a file of one's own (``hrd calibrate``), which may hold one of the two: hrd's for the other.
    Raises ``HrdError``.
    """
    name = "pos" if engine == "pos" else "network"
    own = path != _FITTED
    try:
        fits = json.loads(path.read_text(encoding="utf-8"))["fits"]
        if own and name not in fits:
            return load_calibration(engine)
        return from_json(fits[name])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        remedy = (
            "make it anew with hrd calibrate, or take reading.calibration out of the config"
            if own
            else "reinstall hrd"
        )
        raise HrdError(
            f"the confidence calibration {path} cannot be read ({error}); {remedy}"
        ) from error


def calibrations(path: str = "") -> Callable[[str], Calibration]:
    """What gives the calibration for an engine's name: of a file, of hrd's own where ``path`` is
    empty."""
    return functools.partial(load_calibration, path=Path(path)) if path else load_calibration
