"""Timings as percentiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np


@dataclass(frozen=True)
class Percentiles:
    """Of a series of durations, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    mean_ms: float
    count: int


def percentiles(durations_s: Sequence[float]) -> Percentiles:
    """Summary of durations in seconds; all zero where there are none."""
    if not len(durations_s):
        return Percentiles(0.0, 0.0, 0.0, 0.0, 0)
    values_ms = 1e3 * np.asarray(durations_s, float)
    p50, p95, p99 = np.percentile(values_ms, [50, 95, 99])
    return Percentiles(float(p50), float(p95), float(p99), float(values_ms.mean()), len(values_ms))


def significant(value: float, digits: int = 3) -> float:
    """Rounded to so many significant digits, as a timing deserves."""
    if value == 0.0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - int(math.floor(math.log10(abs(value)))))
