"""A confidence for one's own camera: hrd's own, moved and stretched in its log odds.

A few people tell how sure hrd may be of itself in front of this camera, not what makes a reading
right: so two numbers are fitted and no more (Platt 1999), drawn towards leaving things as they are.
Nobody records a photograph or a lamp, which must not be taken for a heart either: drawn clips
without a pulse are weighed in, and what would say more of these than hrd's own confidence does is
not considered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy.optimize import minimize_scalar

from hrd.compare.figures import Comparison
from hrd.errors import HrdError
from hrd.estimate.confidence import OPPOSITION, Calibration, opposed_log_odds
from hrd.evaluation.metrics import expected_calibration_error
from hrd.train.confidence_fit import Samples, join, published, weights
from hrd.types import NEAR_BPM

LEAST_PEOPLE, LEAST_OF_ONE, LEAST_READINGS = 4, 25, 200

OVERLAP = 8.0
"""Successive estimates share their signal: so many tell as much as one."""

SPREAD_OFFSET, SPREAD_SLOPE = 1.0, 0.35
"""How far offset and slope are expected to be from 0 and 1 (standard deviations)."""

OFFSETS, SLOPES = (-4.0, 4.0), np.arange(0.3, 2.51, 0.1)
_BACK = 0.05  # log odds; the step in which the offset is moved back


@dataclass(frozen=True)
class Adjustment:
    """Log odds of the own confidence: ``offset`` + ``slope`` times those of hrd's."""

    offset: float = 0.0
    slope: float = 1.0


def samples_of_people(comparisons: Sequence[Tuple[str, Comparison]]) -> Samples:
    """Every estimate whose truth is known, of (person, comparison). Raises ``HrdError`` where they
    are too few, or hold no features."""
    people = sorted({person for person, _ in comparisons})
    parts = []
    for person, one in comparisons:
        if one.estimated is None or one.estimated_reference_bpm is None:
            raise HrdError(
                f"{one.name} holds no features: record it anew with this release (hrd compare "
                "--keep, or hrd measure --json --explain)"
            )
        known = np.isfinite(one.estimated_reference_bpm)
        bpm = one.estimated.bpm[known]
        count = int(known.sum())
        parts.append(
            Samples(
                x=one.estimated.features[known],
                right=np.abs(bpm - one.estimated_reference_bpm[known]) <= NEAR_BPM,
                bpm=bpm,
                clip=np.zeros(count, int),
                alive=np.ones(count, bool),
                person=np.full(count, people.index(person)),
                lit=np.zeros(count, bool),
            )
        )
    readings = [sum(int((part.person == k).sum()) for part in parts) for k in range(len(people))]
    if len(people) < LEAST_PEOPLE:
        raise HrdError(
            f"{len(people)} {'person is' if len(people) == 1 else 'people are'} too few to tell "
            f"how sure hrd may be: record at least {LEAST_PEOPLE}"
        )
    for person, count in zip(people, readings):
        if count < LEAST_OF_ONE:
            raise HrdError(
                f"{person} has {count} estimates beside a known heart rate, which is too few: "
                f"record at least a minute, and see that the reference device sits well"
            )
    if sum(readings) < LEAST_READINGS:
        raise HrdError(
            f"{sum(readings)} estimates of all people together are too few: record at least "
            f"{LEAST_READINGS}, better a thousand"
        )
    return join(parts)


def adjusted(calibration: Calibration, by: Adjustment) -> Calibration:
    """The same two models, so that the mean of their log odds is moved and stretched. The rule of
    red against blue stays what it is."""
    logistic, trees = calibration.logistic, calibration.trees
    return Calibration(
        replace(
            logistic,
            weight=by.slope * logistic.weight,
            intercept=by.slope * logistic.intercept + by.offset,
        ),
        replace(
            trees, value=by.slope * trees.value, intercept=by.slope * trees.intercept + by.offset
        ),
    )


def fit_adjustment(
    calibration: Calibration, people: Samples, free: Optional[Samples], min_confidence: float
) -> Adjustment:
    """The likeliest adjustment, given that it is small, of those by which no more of the
    pulse-free seconds are published than by ``calibration`` itself."""
    samples = people if free is None else join([people, free])
    weight = weights(replace(samples, person=np.full(len(samples.x), -1))) / OVERLAP
    before = _log_odds(calibration, samples.x)
    rule = opposed_log_odds(samples.x[:, OPPOSITION])
    sign = np.where(samples.right, 1.0, -1.0)

    def cost(offset: float, slope: float) -> float:
        margin = sign * (offset + slope * before - rule)
        loss = float((weight * np.logaddexp(0.0, -margin)).sum())
        return loss + 0.5 * ((offset / SPREAD_OFFSET) ** 2 + ((slope - 1) / SPREAD_SLOPE) ** 2)

    def said(by: Adjustment) -> int:
        if free is None:
            return 0
        return int(_said(adjusted(calibration, by), free, min_confidence).sum())

    most = said(Adjustment())
    best, least = Adjustment(), cost(0.0, 1.0)
    for slope in SLOPES:
        found = minimize_scalar(cost, args=(slope,), bounds=OFFSETS, method="bounded")
        by = Adjustment(float(found.x), float(slope))
        while cost(by.offset, by.slope) < least and said(by) > most:
            by = replace(by, offset=by.offset - _BACK)
        if cost(by.offset, by.slope) < least:
            best, least = by, cost(by.offset, by.slope)
    return best


def left_out(
    calibration: Calibration, people: Samples, free: Optional[Samples], min_confidence: float
) -> Tuple[np.ndarray, np.ndarray]:
    """(N,) confidences before, and (N,) after by a fit on all other people."""
    before = calibration.confidences(people.x)
    after = np.zeros(len(before))
    for person in np.unique(people.person):
        out = people.person == person
        fitted = fit_adjustment(calibration, _chosen(people, ~out), free, min_confidence)
        after[out] = adjusted(calibration, fitted).confidences(people.x[out])
    return before, after


def told(samples: Samples, p: np.ndarray, min_confidence: float) -> Dict[str, Any]:
    """What confidences ``p`` (N,) of these readings come to."""
    said = published(samples, p, min_confidence)
    bounded = np.clip(p, 1e-6, 1.0 - 1e-6)
    loss = -np.where(samples.right, np.log(bounded), np.log(1.0 - bounded)).mean()
    return {
        "estimates": len(p),
        "right": float(samples.right.mean()),
        "published": float(said.mean()),
        "right_of_published": float(samples.right[said].mean()) if said.any() else None,
        "mean_confidence": float(p.mean()),
        "ece": expected_calibration_error(p, samples.right),
        "log_loss": float(loss),
    }


def _said(calibration: Calibration, samples: Samples, min_confidence: float) -> np.ndarray:
    return published(samples, calibration.confidences(samples.x), min_confidence)


def _log_odds(calibration: Calibration, x: np.ndarray) -> np.ndarray:
    both: np.ndarray = 0.5 * (calibration.logistic.log_odds(x) + calibration.trees.log_odds(x))
    return both


def _chosen(samples: Samples, which: np.ndarray) -> Samples:
    columns: List[np.ndarray] = [value[which] for value in vars(samples).values()]
    return Samples(*columns)
