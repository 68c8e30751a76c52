"""Confidence: the calibrated probability that a reading is within 5 bpm of the truth.

Small decision trees vote on the features of a reading (gradient boosting, Friedman 2001): what one
feature says counts differently by what the others say. They are grown by
``python -m hrd.train.calibrate`` on simulated video and stored, with that recipe, in
``confidence.json`` beside this file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from hrd.errors import HrdError
from hrd.estimate.features import FEATURE_NAMES


@dataclass(frozen=True)
class Calibration:
    """Trees that add up to a log odds. All are complete and of one depth d, node k's children are
    2 k + 1 (where its feature is at most the threshold) and 2 k + 2.

    ``feature``, ``threshold`` (T, 2^d - 1): which of FEATURE_NAMES a node asks for, and its
    threshold; ``value`` (T, 2^d): the leaves' log odds; ``intercept``: before any tree.
    """

    feature: np.ndarray
    threshold: np.ndarray
    value: np.ndarray
    intercept: float

    def confidence(self, features: Tuple[float, ...]) -> float:
        """Probability 0..1 from features in the order of FEATURE_NAMES."""
        return float(self.confidences(np.array([features]))[0])

    def confidences(self, features: np.ndarray) -> np.ndarray:
        """(N, F) features in the order of FEATURE_NAMES -> (N,) probabilities."""
        if features.shape[1] != len(FEATURE_NAMES):
            raise ValueError(
                f"{features.shape[1]} features for a calibration of {len(FEATURE_NAMES)}"
            )
        trees, inner = self.feature.shape
        # every node is asked, which NumPy does sooner than it walks
        right = features.take(self.feature.ravel(), axis=1) > self.threshold.ravel()
        first = np.arange(len(features) * trees).reshape(len(features), trees) * inner
        node = np.zeros((len(features), trees), int)
        for _ in range(depth_of(inner)):
            node = 2 * node + 1 + right.take(first + node)
        leaves = self.value.take(np.arange(trees) * (inner + 1) + node - inner)
        logit = self.intercept + leaves.sum(axis=1)
        return 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))


def depth_of(inner: int) -> int:
    """Depth of a complete tree with so many nodes that ask."""
    return (inner + 1).bit_length() - 1


_FITTED = Path(__file__).with_name("confidence.json")


def to_json(calibration: Calibration) -> Dict[str, Any]:
    """As ``confidence.json`` holds a fit; thresholds and values rounded to 5 digits."""
    return {
        "intercept": round(calibration.intercept, 5),
        "features": list(FEATURE_NAMES),
        "trees": [
            {
                "feature": [int(one) for one in feature],
                "threshold": _rounded(threshold),
                "value": _rounded(value),
            }
            for feature, threshold, value in zip(
                calibration.feature, calibration.threshold, calibration.value
            )
        ],
    }


def _rounded(values: Sequence[float]) -> List[float]:
    return [round(float(value), 5) for value in values]


def from_json(fit: Dict[str, Any]) -> Calibration:
    """The reverse of ``to_json``; ``KeyError``, ``TypeError`` or ``ValueError`` if anything is
    missing or does not fit together."""
    if fit["features"] != list(FEATURE_NAMES):
        raise ValueError("it was fitted to other features")
    trees = fit["trees"]
    feature = np.array([tree["feature"] for tree in trees], int)
    threshold = np.array([tree["threshold"] for tree in trees], float)
    value = np.array([tree["value"] for tree in trees], float)
    inner = feature.shape[1] if feature.ndim == 2 else 0
    complete = inner + 1 == 1 << depth_of(inner) and inner > 0
    if not complete or threshold.shape != feature.shape or value.shape != (len(trees), inner + 1):
        raise ValueError("its trees are not complete")
    if feature.min() < 0 or feature.max() >= len(FEATURE_NAMES):
        raise ValueError("its trees ask for features that there are not")
    return Calibration(feature, threshold, value, float(fit["intercept"]))


def load_calibration(engine: str, path: Path = _FITTED) -> Calibration:
    """The fitted calibration for an engine's name (``pos``; every network shares ``network``)."""
    try:
        fits = json.loads(path.read_text(encoding="utf-8"))["fits"]
        return from_json(fits["pos" if engine == "pos" else "network"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HrdError(
            f"the confidence calibration {path} cannot be read ({error}); reinstall hrd"
        ) from error
