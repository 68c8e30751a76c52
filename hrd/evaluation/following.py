"""How readings follow a heart rate that changes, and how soon the first ones can be used."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from hrd.evaluation.protocol import LiveRow
from hrd.types import NEAR_BPM

EARLY_S = 15.0
"""When a reading is to be good, and ..."""
GOOD_BPM = 2.0
"""... what that means."""

_SUCCESSIVE_S = 1.6  # readings further apart have a silence between them
_HELD = 3  # readings in a row that must be near before a step counts as followed


def by_recording(rows: Sequence[LiveRow]) -> List[List[LiveRow]]:
    """Rows of each recording, in time."""
    found: Dict[str, List[LiveRow]] = {}
    for row in rows:
        found.setdefault(row.recording, []).append(row)
    return [sorted(own, key=lambda row: row.time_s) for own in found.values()]


def following_figures(
    said: Sequence[LiveRow], recordings: int, step_at_s: Optional[float]
) -> Dict[str, Any]:
    """Figures of published readings.

    ``mae_now``: against the rate of the moment, not of the window. ``largest_jump_bpm``: between
    successive readings. ``good_by_15_s``: share of all ``recordings`` whose newest reading at
    15 s exists and is within 2 bpm. ``settled_s``: median and 90th percentile of the time after a
    step at ``step_at_s`` until three readings in a row are within 5 bpm of the moment's rate.
    """
    now = [abs(_gap(row)) for row in said if row.now_bpm is not None]
    each = by_recording(said)
    jumps = [
        abs(float(b.bpm or 0.0) - float(a.bpm or 0.0))
        for own in each
        for a, b in zip(own, own[1:])
        if b.time_s - a.time_s <= _SUCCESSIVE_S
    ]
    good = sum(_good_early(own) for own in each)
    figures: Dict[str, Any] = {
        "mae_now": float(np.mean(now)) if now else None,
        "largest_jump_bpm": max(jumps) if jumps else None,
        "good_by_15_s": good / recordings if recordings else None,
    }
    if step_at_s is not None and recordings:
        times = sorted(_settled(own, step_at_s) for own in each)
        times += [float("inf")] * (recordings - len(times))
        figures["settled_s"] = {
            "median": _finite(times[int(np.ceil(0.5 * len(times))) - 1]),
            "p90": _finite(times[int(np.ceil(0.9 * len(times))) - 1]),
            "never": int(np.isinf(times).sum()),
        }
    return figures


def _finite(value: float) -> Optional[float]:
    return value if np.isfinite(value) else None


def _gap(row: LiveRow) -> float:
    assert row.bpm is not None
    assert row.now_bpm is not None
    return row.bpm - row.now_bpm


def _good_early(rows: Sequence[LiveRow]) -> bool:
    """Is the newest reading at EARLY_S, at most two seconds old, within GOOD_BPM of its window?"""
    early = [row for row in rows if EARLY_S - 2.0 <= row.time_s <= EARLY_S + 0.5]
    if not early or early[-1].bpm is None or early[-1].reference_bpm is None:
        return False
    return abs(early[-1].bpm - early[-1].reference_bpm) <= GOOD_BPM


def _settled(rows: Sequence[LiveRow], step_at_s: float) -> float:
    """Seconds from the step to the first of _HELD near readings in a row; infinite if never."""
    after = [row for row in rows if row.time_s >= step_at_s and row.now_bpm is not None]
    near = [abs(_gap(row)) <= NEAR_BPM for row in after]
    for first in range(len(near) - _HELD + 1):
        if all(near[first : first + _HELD]):
            return after[first].time_s - step_at_s
    return float("inf")
