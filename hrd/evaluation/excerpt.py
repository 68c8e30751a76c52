"""Ten seconds of a recording as waves: the reference's, and what each method made of the face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional

import numpy as np

from hrd.evaluation.protocol import WindowRow
from hrd.evaluation.recording import Reference, regular
from hrd.evaluation.replay import Pass
from hrd.types import MODEL_FS_HZ

SECONDS = 10.0


@dataclass(frozen=True)
class Excerpt:
    """``waves``: by method, (T,) float at ``MODEL_FS_HZ`` from ``start_s`` on, zero mean, unit
    deviation; ``reference`` (T,) the contact sensor's, where there is a wave."""

    start_s: float
    waves: Dict[str, np.ndarray]
    reference: Optional[np.ndarray] = None


def worst_window(rows: List[WindowRow], method: str) -> Optional[WindowRow]:
    """The ten seconds that ``method`` reads worst; one without a reading is worse than any."""
    own = [row for row in rows if row.method == method and row.window_s == SECONDS]
    return max(own, key=_size, default=None)


def excerpt(reference: Reference, passed: Pass, start_s: float) -> Optional[Excerpt]:
    """The waves from ``start_s`` (the pictures' own time) on; None where no method has any."""
    waves = {}
    for method, output in passed.outputs.items():
        parts = [part for _, part in output.between(start_s, start_s + SECONDS)]
        if parts:
            waves[method] = _scaled(np.concatenate(parts))
    if not waves:
        return None
    wave = None
    if reference.bvp is not None and reference.bvp_time_s is not None:
        first_s, values = regular(reference.bvp_time_s, reference.bvp)
        first = max(0, int(round((start_s - first_s) * MODEL_FS_HZ)))
        part = values[first : first + int(SECONDS * MODEL_FS_HZ)]
        wave = _scaled(part) if len(part) > 1 else None
    return Excerpt(start_s - passed.start_s, waves, wave)


def _scaled(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float) - float(np.mean(values))
    spread = float(values.std())
    return values / spread if spread > 0 else values


def _size(row: WindowRow) -> float:
    return float("inf") if row.bpm is None else abs(row.bpm - row.reference_bpm)
