"""What a reading's confidence was made of, feature by feature, and what the gate did.

The confidence is the mean of two log odds, of a logistic regression and of decision trees. The
regression is a sum over features already; a product of two is shared out evenly. In the trees, each
branch that a reading takes moves the sum from the mean of a node's leaves to the mean of its
child's, and that move is put down to the feature that the node asks for (Saabas 2014). The parts
and the start add up to the confidence's own log odds exactly; they tell what counted in this
reading, not what would happen otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from hrd.estimate.confidence import (
    OPPOSITION,
    Calibration,
    Trees,
    depth_of,
    load_calibration,
    opposed_log_odds,
    pairs,
)
from hrd.estimate.estimator import Estimate
from hrd.estimate.features import FEATURE_NAMES
from hrd.types import Reading


@dataclass(frozen=True)
class Term:
    """One feature of a reading: its value, and what it adds to the log odds of the confidence."""

    feature: str
    value: float
    log_odds: float


@dataclass(frozen=True)
class Explanation:
    """Of one reading. ``bpm``, ``confidence``, ``posterior``, ``snr_db`` and ``window_s`` are the
    estimate's, whether published or not; ``start``: log odds before any feature is looked at.
    ``gate``: why the gate holds the bpm back; empty if it lets it through."""

    bpm: float
    confidence: float
    posterior: float
    snr_db: float
    window_s: float
    start: float
    terms: Tuple[Term, ...]
    gate: str


class Explainer:
    """``on_estimate`` of a PulseStage; ``explain`` what became of it, once there is a reading.

    ``calibration_for``: the pulse stage's.
    """

    def __init__(self, calibration_for: Callable[[str], Calibration] = load_calibration) -> None:
        self._calibration_for = calibration_for
        self._estimate: Optional[Estimate] = None
        self._calibrations: Dict[str, Calibration] = {}

    def on_estimate(self, time_s: float, estimate: Estimate) -> None:
        """An estimate on its way to the gate."""
        self._estimate = estimate

    def explain(self, engine: str, reading: Reading, gate: str) -> Optional[Explanation]:
        """Of the reading that has just come; None if there was no estimate for it.

        ``engine``: whose calibration was used; ``gate``: what the gate says.
        """
        estimate, self._estimate = self._estimate, None
        if estimate is None:
            return None
        if engine not in self._calibrations:
            self._calibrations[engine] = self._calibration_for(engine)
        values = estimate.features.vector()
        start, log_odds = attribute(self._calibrations[engine], values)
        terms = [Term(*term) for term in zip(FEATURE_NAMES, values, log_odds)]
        return Explanation(
            bpm=estimate.bpm,
            confidence=estimate.confidence,
            posterior=estimate.features.posterior,
            snr_db=estimate.snr_db,
            window_s=estimate.window_s,
            start=start,
            terms=tuple(sorted(terms, key=lambda term: -abs(term.log_odds))),
            gate="" if reading.bpm is not None else gate,
        )


def attribute(calibration: Calibration, features: Tuple[float, ...]) -> Tuple[float, List[float]]:
    """(start, log odds of each feature): together the log odds of the confidence.

    It is the mean of a logistic regression's, whose products count half for either feature, and of
    trees; red against blue takes from it.
    """
    values = np.array([features])
    start, log_odds = _of_trees(calibration.trees, values[0])
    logistic = calibration.logistic
    parts = logistic.terms(values)[0] * logistic.weight
    count = len(features)
    linear = parts[:count].copy()
    for which in pairs(count):
        np.add.at(linear, which, 0.5 * parts[count:])
    total = 0.5 * (log_odds + linear)
    total[OPPOSITION] -= float(opposed_log_odds(values[:, OPPOSITION])[0])
    return 0.5 * (start + logistic.intercept), [float(one) for one in total]


def _of_trees(fitted: Trees, features: np.ndarray) -> Tuple[float, np.ndarray]:
    """(start, (F,) log odds of each feature): each branch taken counts for what it asked for."""
    trees, inner = fitted.feature.shape
    nodes = np.zeros((trees, 2 * inner + 1))  # the mean of the leaves below each node
    nodes[:, inner:] = fitted.value
    for node in range(inner - 1, -1, -1):
        nodes[:, node] = nodes[:, 2 * node + 1 : 2 * node + 3].mean(axis=1)
    log_odds = np.zeros(len(features))
    for tree in range(trees):
        node = 0
        for _ in range(depth_of(inner)):
            asked = int(fitted.feature[tree, node])
            right = features[asked] > fitted.threshold[tree, node]
            child = 2 * node + 1 + int(right)
            log_odds[asked] += float(nodes[tree, child] - nodes[tree, node])
            node = child
    return fitted.intercept + float(nodes[:, 0].sum()), log_odds


def as_json(explanation: Explanation) -> Dict[str, Any]:
    """As ``hrd measure --explain --json`` and the protocol's FEATURES tell it."""
    found: Dict[str, Any] = {
        "bpm": round(explanation.bpm, 1),
        "confidence": round(explanation.confidence, 3),
        "posterior": round(explanation.posterior, 4),
        "snr_db": round(explanation.snr_db, 1),
        "window_s": round(explanation.window_s, 2),
        "start_log_odds": round(explanation.start, 3),
        "features": {
            term.feature: {"value": round(term.value, 4), "log_odds": round(term.log_odds, 3)}
            for term in explanation.terms
        },
    }
    if explanation.gate:
        found["gate"] = explanation.gate
    return found


def odds_of(probability: float) -> float:
    """Its log odds."""
    bounded = min(max(probability, 1e-9), 1.0 - 1e-9)
    return math.log(bounded / (1.0 - bounded))
