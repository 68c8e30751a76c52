"""The rate of a window by counting its beats: the phase says more than where the power lies."""

from __future__ import annotations

import math
from typing import List, Optional, Tuple

import numpy as np

from hrd.estimate.baseband import baseband
from hrd.estimate.spectrum import SHORTEST_S, peak_hz, periodogram
from hrd.types import MODEL_FS_HZ

MARGIN_S = 2.0
"""Signal on both sides of a window that helps to see the phase at its edges."""

PIECE_S = 10.0
"""A longer window is counted in pieces: the rate may wander further than the low-pass is wide."""

_REACH_BPM = 15.0  # a piece's rate lies so near the rate of the whole window

Stretch = Tuple[float, np.ndarray]
"""(time of the first sample in seconds, samples (N,) at ``MODEL_FS_HZ``), without a hole."""


def counted_bpm(
    stretches: List[Stretch], start_s: float, end_s: float, near_bpm: float
) -> Optional[float]:
    """Mean rate of the beats between two times, bpm; None where no piece can be counted.

    ``stretches``: signal of the window and of up to ``MARGIN_S`` around it. ``near_bpm``: the
    window's rate by its spectrum: beats are counted about it, and an error of an octave stays one.
    The reference's counterpart is ``hrd.evaluation.beats.mean_rate_bpm``.
    """
    pieces = max(1, int(math.ceil((end_s - start_s) / PIECE_S - 1e-6)))
    edges_s = np.linspace(start_s, end_s, pieces + 1)
    beats, seconds = 0.0, 0.0
    for first_s, last_s in zip(edges_s, edges_s[1:]):
        for stretch in stretches:
            counted = _count(stretch, first_s, last_s, near_bpm, alone=pieces == 1)
            if counted is not None:
                beats += counted[0]
                seconds += counted[1]
    return 60.0 * beats / seconds if seconds > 0.0 else None


def _count(
    stretch: Stretch, start_s: float, end_s: float, near_bpm: float, alone: bool
) -> Optional[Tuple[float, float]]:
    """(beats, seconds they took) of one stretch between two times."""
    begins_s, signal = stretch
    low = max(0, int(round((start_s - MARGIN_S - begins_s) * MODEL_FS_HZ)))
    high = int(round((end_s + MARGIN_S - begins_s) * MODEL_FS_HZ))
    part = signal[low:high] if high > 0 else signal[:0]
    begins_s += low / MODEL_FS_HZ
    ends_s = begins_s + len(part) / MODEL_FS_HZ
    inside_s = min(end_s, ends_s) - max(start_s, begins_s)
    if inside_s < SHORTEST_S or not part.any():
        return None
    carrier_bpm = near_bpm if alone else _peak_bpm(part, near_bpm)
    band = baseband(part, MODEL_FS_HZ, carrier_bpm)
    time_s = begins_s + band.time_s
    # the low-pass is one-sided at the ends: what it sees begins a little inside
    edges_s = np.clip([start_s, end_s], time_s[0], time_s[-1])
    phase = np.interp(edges_s, time_s, np.unwrap(np.angle(band.value)))
    took_s = float(edges_s[1] - edges_s[0])
    turns = float(phase[1] - phase[0]) / (2.0 * math.pi)
    return turns + carrier_bpm / 60.0 * took_s, took_s


def _peak_bpm(signal: np.ndarray, near_bpm: float) -> float:
    low_hz, high_hz = (near_bpm - _REACH_BPM) / 60.0, (near_bpm + _REACH_BPM) / 60.0
    return 60.0 * peak_hz(periodogram(signal, MODEL_FS_HZ), max(low_hz, 0.5), high_hz)
