"""The figures of a comparison: hrd's readings against the reference, second by second."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional

import numpy as np

from hrd.compare.align import GIVEN, MAX_LAG_S, Lag, find_lag, shared_clock
from hrd.compare.said import Estimated, Said
from hrd.compare.truth import Truth
from hrd.errors import HrdError
from hrd.evaluation.metrics import errors, reliability
from hrd.types import NEAR_BPM, TRUTH_S

FORMAT = "hrd-compare/1"

_LEAST_SHARP = 0.1


@dataclass(frozen=True)
class Comparison:
    """``time_s`` (N,): seconds from hrd's first statement; ``bpm``, ``confidence`` (N,): what hrd
    said, NaN where nothing; ``reference_bpm`` (N,): the truth of the same seconds, NaN where it is
    not known. ``lag``: what the clocks were aligned by. ``estimated``: hrd's estimates, where they
    were recorded, with ``estimated_reference_bpm`` (M,)."""

    name: str
    reference: str
    kind: str
    lag: Lag
    time_s: np.ndarray
    bpm: np.ndarray
    confidence: np.ndarray
    reference_bpm: np.ndarray
    estimated: Optional[Estimated] = None
    estimated_reference_bpm: Optional[np.ndarray] = None

    @property
    def pairs(self) -> np.ndarray:
        """(N,) bool: where both said something."""
        return np.isfinite(self.bpm) & np.isfinite(self.reference_bpm)


def compare(
    said: Said,
    truth: Truth,
    name: str = "hrd",
    reference: str = "the reference",
    lag_s: Optional[float] = None,
    max_lag_s: float = MAX_LAG_S,
) -> Comparison:
    """Align and pair. ``lag_s``: how far the reference lags, where it is known. Raises ``HrdError``
    if the two have too little in common."""
    shift_s = shared_clock(said, truth, max_lag_s)
    if shift_s:
        wave = tuple((at + shift_s, fs, values) for at, fs, values in said.wave)
        estimated = said.estimated
        if estimated is not None:
            estimated = replace(estimated, time_s=estimated.time_s + shift_s)
        said = Said(said.time_s + shift_s, said.bpm, said.confidence, wave, estimated)
    lag = find_lag(said, truth, max_lag_s) if lag_s is None else Lag(lag_s, GIVEN)
    at_s = said.time_s + lag.lag_s
    reference_bpm = truth.bpm(at_s - TRUTH_S, at_s)
    found = Comparison(
        name,
        reference,
        truth.kind,
        lag,
        said.time_s - said.time_s[0],
        said.bpm,
        said.confidence,
        reference_bpm,
    )
    if said.estimated is not None:
        at_s = said.estimated.time_s + lag.lag_s
        its_bpm = truth.bpm(at_s - TRUTH_S, at_s)
        found = replace(found, estimated=said.estimated, estimated_reference_bpm=its_bpm)
    if not np.isfinite(reference_bpm).any():
        raise HrdError(
            "the reference knows no heart rate of the seconds in which hrd ran; give two "
            "recordings that were made together"
        )
    return found


def figures(comparisons: List[Comparison]) -> Dict[str, Any]:
    """All figures as the report's JSON holds them: of each comparison, and of all together."""
    report: Dict[str, Any] = {
        "format": FORMAT,
        "truth_s": TRUTH_S,
        "near_bpm": NEAR_BPM,
        "comparisons": [_of(one) for one in comparisons],
    }
    if len(comparisons) > 1:
        report["all"] = _agreement(comparisons)
    return report


def _of(one: Comparison) -> Dict[str, Any]:
    lag = {
        "seconds": round(one.lag.lag_s, 3),
        "by": one.lag.by,
        "r": one.lag.r,
        "sharp": one.lag.sharp,
        "inverted": one.lag.inverted or None,
    }
    found: Dict[str, Any] = {
        "name": one.name,
        "reference": one.reference,
        "reference_kind": one.kind,
        "lag": {key: value for key, value in lag.items() if value is not None},
        **_agreement([one]),
    }
    if one.lag.inverted:
        found["note"] = "the reference's wave is upside down; that changes no heart rate"
    if one.lag.sharp is not None and one.lag.sharp < _LEAST_SHARP:
        found["note"] = (
            "the heart beat too evenly for the rates to tell the lag well; it hardly matters for "
            "the errors then"
        )
    return found


def _agreement(comparisons: List[Comparison]) -> Dict[str, Any]:
    bpm, confidence, truth = (
        np.concatenate([getattr(one, name) for one in comparisons])
        for name in ("bpm", "confidence", "reference_bpm")
    )
    known = np.isfinite(truth)
    pairs = known & np.isfinite(bpm)
    error = bpm[pairs] - truth[pairs]
    found: Dict[str, Any] = {
        "seconds": int(known.sum()),
        "seconds_without_reference": int((~known).sum()),
        "said": int(pairs.sum()),
        "share_said": float(pairs.sum() / known.sum()) if known.any() else None,
        **errors(truth[pairs], bpm[pairs]),
    }
    if len(error) > 1:
        spread = 1.96 * float(error.std(ddof=1))
        found["limits_of_agreement"] = [float(error.mean()) - spread, float(error.mean()) + spread]
    sure = pairs & np.isfinite(confidence)
    if sure.any():
        right = np.abs(bpm[sure] - truth[sure]) <= NEAR_BPM
        found["mean_confidence"] = float(confidence[sure].mean())
        found["calibration"] = reliability(confidence[sure], right)
    return {key: value for key, value in found.items() if value is not None}
