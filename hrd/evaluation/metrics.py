"""Errors of heart rates, with bootstrap intervals by subject, and how honest a confidence is."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from hrd.types import NEAR_BPM

ROUNDS = 1000
"""Bootstrap rounds."""

RATE_BANDS = (
    ("<60", 0.0, 60.0),
    ("60-90", 60.0, 90.0),
    ("90-120", 90.0, 120.0),
    (">120", 120.0, 1e9),
)
"""Heading, lowest rate (included) and highest (not included), bpm."""

METRICS = ("mae", "rmse", "mape", "pearson", "bias", "within_5", "snr_db")


def rate_band(bpm: float) -> str:
    """Which of RATE_BANDS a heart rate lies in."""
    for name, low, high in RATE_BANDS:
        if low <= bpm < high:
            return name
    raise ValueError(f"{bpm} bpm is no heart rate")


def errors(
    reference_bpm: np.ndarray, bpm: np.ndarray, snr_db: Optional[np.ndarray] = None
) -> Dict[str, Optional[float]]:
    """All METRICS of (N,) readings against (N,) references; None where there is no such number.

    ``mae``, ``rmse``, ``bias`` in bpm; ``mape`` in percent; ``pearson`` needs 3 values that vary;
    ``within_5``: share within 5 bpm; ``snr_db``: mean of the given SNRs.
    """
    found: Dict[str, Optional[float]] = dict.fromkeys(METRICS)
    if len(bpm) == 0:
        return found
    error = bpm - reference_bpm
    size = np.abs(error)
    found["mae"] = float(size.mean())
    found["rmse"] = float(np.sqrt((error**2).mean()))
    found["mape"] = float(100.0 * (size / reference_bpm).mean())
    found["bias"] = float(error.mean())
    found["within_5"] = float((size <= NEAR_BPM).mean())
    if len(bpm) >= 3 and bpm.std() > 0.0 and reference_bpm.std() > 0.0:
        found["pearson"] = float(np.corrcoef(reference_bpm, bpm)[0, 1])
    if snr_db is not None and len(snr_db):
        found["snr_db"] = float(snr_db.mean())
    return found


def with_intervals(
    reference_bpm: np.ndarray,
    bpm: np.ndarray,
    subjects: Sequence[str],
    snr_db: Optional[np.ndarray] = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Dict[str, Any]:
    """``errors`` and, under ``interval``, the 95 % bootstrap interval of each.

    Whole subjects are resampled with replacement (Efron & Tibshirani 1993): windows of one person
    are not independent. No intervals from fewer than 2 subjects.
    """
    found: Dict[str, Any] = dict(errors(reference_bpm, bpm, snr_db))
    people = sorted(set(subjects))
    found["n"] = len(bpm)
    found["subjects"] = len(people)
    if len(people) < 2 or rounds < 1:
        return found
    of = np.array([people.index(subject) for subject in subjects])
    places = [np.flatnonzero(of == person) for person in range(len(people))]
    rng = np.random.default_rng(seed)
    drawn: Dict[str, List[float]] = {name: [] for name in METRICS}
    for _ in range(rounds):
        take = np.concatenate([places[k] for k in rng.integers(0, len(people), len(people))])
        again = errors(reference_bpm[take], bpm[take], None if snr_db is None else snr_db[take])
        for name, value in again.items():
            if value is not None:
                drawn[name].append(value)
    found["interval"] = {
        name: [float(edge) for edge in np.percentile(values, [2.5, 97.5])]
        for name, values in drawn.items()
        if values and found[name] is not None
    }
    return found


def expected_calibration_error(
    p: np.ndarray, right: np.ndarray, weight: Optional[np.ndarray] = None, bins: int = 10
) -> float:
    """Mean |confidence - share right| over equal-width bins, weighted by their counts (or by the
    sums of ``weight``)."""
    weight = np.ones(len(p)) if weight is None else weight
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.bincount(place, weight * (p - right), minlength=bins)
    return float(np.abs(gaps).sum() / weight.sum())


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> Dict[str, Any]:
    """Calibration of (N,) confidences against (N,) bool: the expected calibration error, and the
    bins that it is of."""
    if len(confidence) == 0:
        return {"n": 0, "ece": None, "bins": []}
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for k in range(bins):
        inside = place == k
        if not inside.any():
            continue
        said, was = float(confidence[inside].mean()), float(right[inside].mean())
        rows.append({"confidence": said, "right": was, "n": int(inside.sum())})
    ece = expected_calibration_error(confidence, right, bins=bins)
    return {"n": len(confidence), "ece": ece, "bins": rows}


def coverage_curve(
    confidence: np.ndarray, error_bpm: np.ndarray, seconds: int, points: int = 50
) -> List[Dict[str, float]]:
    """MAE of what is published against how much is, the threshold falling from 1 to 0.

    ``confidence``, ``error_bpm`` (absolute): (N,) of the estimates; ``seconds``: of all that could
    have been published. Ties in confidence are published together.
    """
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, sorted_error = confidence[order], error_bpm[order]
    ends = np.flatnonzero(np.diff(sorted_confidence, append=-1.0) != 0.0)
    total = np.cumsum(sorted_error)
    curve = [
        {
            "threshold": float(sorted_confidence[k]),
            "coverage": float((k + 1) / seconds),
            "mae": float(total[k] / (k + 1)),
        }
        for k in ends
    ]
    if len(curve) > points:
        keep = np.unique(np.linspace(0, len(curve) - 1, points).astype(int))
        curve = [curve[k] for k in keep]
    return curve
