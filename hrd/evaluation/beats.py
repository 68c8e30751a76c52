"""The beats in a contact sensor's pulse wave, and the rate that they come at."""

from __future__ import annotations

from typing import List, Optional

import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt

from hrd.estimate.spectrum import peak_hz, periodogram

_BLOCK_S, _MARGIN_S = 20.0, 3.0  # a rate is assumed to stay within its band for so long
_BAND = (0.5, 1.7)  # of the block's rate: one peak a beat is left, the dicrotic wave is not
_LEAST_INTERVAL = 0.55  # of the block's mean interval
_LEAST_PROMINENCE = 0.35  # of the filtered wave's deviation


def beat_times(wave: np.ndarray, fs_hz: float, start_s: float = 0.0) -> np.ndarray:
    """Times (B,) in seconds of the systolic peaks of a pulse wave (N,) sampled at ``fs_hz``.

    Block by block the wave is band-passed round its own rate (zero phase), and its peaks are
    refined by a parabola. Empty for a wave of under 4 s or without any variance.
    """
    wave = np.asarray(wave, float)
    found: List[np.ndarray] = []
    block, margin = int(_BLOCK_S * fs_hz), int(_MARGIN_S * fs_hz)
    blocks = max(1, int(round(len(wave) / block)))
    edges = np.linspace(0, len(wave), blocks + 1).astype(int)
    for first, last in zip(edges, edges[1:]):
        low, high = max(0, first - margin), min(len(wave), last + margin)
        peaks = low + _peaks(wave[low:high], fs_hz)
        found.append(peaks[(peaks >= first) & (peaks < last)])
    return start_s + np.concatenate(found) / fs_hz


def _peaks(wave: np.ndarray, fs_hz: float) -> np.ndarray:
    """Places (B,) of the peaks, in samples."""
    if len(wave) < 4.0 * fs_hz or wave.std() <= 0.0:
        return np.zeros(0)
    rate_hz = peak_hz(periodogram(wave, fs_hz))
    high_hz = min(_BAND[1] * rate_hz, 0.45 * fs_hz)
    sos = butter(2, [_BAND[0] * rate_hz, high_hz], "bandpass", fs=fs_hz, output="sos")
    smooth = sosfiltfilt(sos, wave - wave.mean())
    peaks, _ = find_peaks(
        smooth,
        distance=max(1.0, _LEAST_INTERVAL * fs_hz / rate_hz),
        prominence=_LEAST_PROMINENCE * smooth.std(),
    )
    inner = peaks[(peaks > 0) & (peaks < len(smooth) - 1)]
    left, middle, right = smooth[inner - 1], smooth[inner], smooth[inner + 1]
    return inner + 0.5 * (left - right) / np.minimum(left - 2.0 * middle + right, -1e-12)


def mean_rate_bpm(beats_s: np.ndarray, start_s: float, end_s: float) -> Optional[float]:
    """Mean rate of the beats between two times: beats and parts of beats over the time they take.

    ``beats_s``: (B,) rising. Between two beats the count rises evenly. None where the stretch
    begins or ends further than one and a half intervals outside of them.
    """
    if len(beats_s) < 3 or end_s <= start_s:
        return None
    slack_s = 1.5 * float(np.median(np.diff(beats_s)))
    if start_s < beats_s[0] - slack_s or end_s > beats_s[-1] + slack_s:
        return None
    first, last = max(start_s, float(beats_s[0])), min(end_s, float(beats_s[-1]))
    if last - first <= 0.0:
        return None
    counted = np.interp([first, last], beats_s, np.arange(len(beats_s), dtype=float))
    return 60.0 * float(counted[1] - counted[0]) / (last - first)
