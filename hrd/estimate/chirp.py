"""A changing heart rate as a straight line through the window's frequency.

The rate may run through the window at a constant slope (a chirp). How much of the signal the best
chirp explains is one of the features of a reading: noise has no such line. The likelihood of rate
and slope is that of a chirp in noise of unknown level (Djuric & Kay 1990, with the amplitude and
the noise integrated out as in Bretthorst 1988); the slope's prior is that of a heart at rest, so a
signal too weak to show a slope is read as having none.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Tuple

import numpy as np

REACH_BPM = 7.0
_OFFSETS_BPM = np.arange(-REACH_BPM, REACH_BPM + 0.01, 0.25)
_SLOPES_BPM_PER_S = np.arange(-1.0, 1.01, 0.125)
_SLOPE_SD_BPM_PER_S = 0.35
_SLOPE_PRIOR = -0.5 * (_SLOPES_BPM_PER_S / _SLOPE_SD_BPM_PER_S) ** 2
_BLOCK = 6  # samples averaged after mixing to zero frequency: 5 Hz hold the +-7 bpm easily


@dataclass(frozen=True)
class Chirp:
    """``middle_bpm``: rate in the middle of the window; ``slope_bpm_per_s``: how fast it runs;
    posterior means. ``share``: of the signal's variance that the best chirp explains."""

    middle_bpm: float
    slope_bpm_per_s: float
    share: float


def fit_chirp(signal: np.ndarray, fs_hz: float, bpm: float, independent_per_s: float) -> Chirp:
    """Rate and slope of ``signal`` (N,), whose spectrum has its peak near ``bpm``.

    ``independent_per_s``: independent samples a second that the likelihood counts.
    """
    count = len(signal) // _BLOCK * _BLOCK
    part = np.asarray(signal[-count:], np.float64)
    part = part - part.mean()
    power = float(part @ part)
    duration_s = count / fs_hz
    if power <= 1e-20 or count < 4 * _BLOCK:
        return Chirp(bpm, 0.0, 0.0)
    t_s = (np.arange(count) - 0.5 * (count - 1)) / fs_hz
    mixed = part * np.exp(-2j * np.pi * (bpm / 60.0) * t_s)
    blocks = mixed.reshape(-1, _BLOCK).sum(1)
    offsets, bends = _waves(len(blocks), _BLOCK / fs_hz)
    straightened = blocks.astype(np.complex64) * bends  # (S, blocks): one row for each slope
    share = np.abs(straightened @ offsets) ** 2 * (2.0 / (count * power))
    log_likelihood = -0.5 * independent_per_s * duration_s * np.log(np.maximum(1.0 - share, 0.02))
    log_posterior = log_likelihood + _SLOPE_PRIOR[:, None]
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= weight.sum()
    middle = bpm + float(weight.sum(axis=0) @ _OFFSETS_BPM)
    slope = float(weight.sum(axis=1) @ _SLOPES_BPM_PER_S)
    return Chirp(middle, slope, min(1.0, float(share.max())))


@functools.lru_cache(maxsize=64)
def _waves(blocks: int, block_s: float) -> Tuple[np.ndarray, np.ndarray]:
    """(blocks, O) conjugate waves of the rate offsets, (S, blocks) conjugate bends of the slopes:
    every chirp is one of each, and a table of all would no longer fit a processor's cache."""
    t_s = (np.arange(blocks) - 0.5 * (blocks - 1)) * block_s
    offsets = np.exp(-2j * np.pi / 60.0 * np.multiply.outer(t_s, _OFFSETS_BPM))
    bends = np.exp(-1j * np.pi / 60.0 * np.multiply.outer(_SLOPES_BPM_PER_S, t_s**2))
    return offsets.astype(np.complex64), bends.astype(np.complex64)
