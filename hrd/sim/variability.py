"""How lively a pulse wave is: the statistics by which drawn hearts are compared with people's.

Everything is measured on the wave alone, as it must be with a finger clip: beats are the wave's
own peaks, so their times carry some jitter of the sampling, the same for drawn and real waves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt

_FFT = 1 << 14
_LOW_HZ, _HIGH_HZ = 0.65, 4.0
_SLIDE_S = 0.5


@dataclass(frozen=True)
class Liveliness:
    """What one wave does.

    ``mean_bpm``: mean rate of its beats. ``sdnn_ms``, ``rmssd_ms``: standard deviation of the
    beat intervals and root mean square of their successive differences (Task Force 1996).
    ``moves_5``, ``moves_10``: share of the time in which the mean rate of 4 s changes by more than
    5 bpm within 5 s, and by more than 10 within 10 s. ``second_harmonic``: power round the double
    of the rate over the power round it. ``one_sinusoid``: share of the variance between 0.65 and
    4 Hz that the best single sinusoid explains in 12 s, median over the wave.
    """

    mean_bpm: float
    sdnn_ms: float
    rmssd_ms: float
    moves_5: float
    moves_10: float
    second_harmonic: float
    one_sinusoid: float


def beat_times(wave: np.ndarray, fs_hz: float) -> np.ndarray:
    """(N,) wave -> (B,) times of its beats in seconds: peaks, a parabola through each."""
    low = butter(2, [0.5, min(8.0, 0.45 * fs_hz)], "bandpass", fs=fs_hz, output="sos")
    smooth = sosfiltfilt(low, wave)
    period = fs_hz / dominant_hz(smooth, fs_hz)
    peaks, _ = find_peaks(smooth, distance=max(1, int(0.5 * period)), prominence=0.5 * smooth.std())
    peaks = peaks[(peaks > 0) & (peaks < len(smooth) - 1)]
    left, middle, right = smooth[peaks - 1], smooth[peaks], smooth[peaks + 1]
    bend = np.minimum(left - 2.0 * middle + right, -1e-12)
    return (peaks + 0.5 * (left - right) / bend) / fs_hz


def dominant_hz(wave: np.ndarray, fs_hz: float) -> float:
    """Frequency of the wave's highest peak between 0.65 and 4 Hz."""
    power = np.abs(np.fft.rfft(wave - wave.mean(), _FFT)) ** 2
    freqs_hz = np.fft.rfftfreq(_FFT, 1.0 / fs_hz)
    inside = np.flatnonzero((freqs_hz >= _LOW_HZ) & (freqs_hz <= _HIGH_HZ))
    return float(freqs_hz[inside[np.argmax(power[inside])]])


def measure(wave: np.ndarray, fs_hz: float) -> Liveliness:
    """The statistics of a wave (N,) of at least 20 s. Raises ``ValueError`` for a shorter one."""
    if len(wave) < 20.0 * fs_hz:
        raise ValueError(f"{len(wave) / fs_hz:.1f} s of a wave are too short, 20 s are needed")
    beats_s = beat_times(wave, fs_hz)
    intervals_ms = 1000.0 * np.diff(beats_s)
    times_s = np.arange(beats_s[0] + 4.0, beats_s[-1], _SLIDE_S)
    # beats counted in fractions: exact for any window, and smooth
    count = np.arange(len(beats_s), dtype=float)
    rate_bpm = 15.0 * (
        np.interp(times_s, beats_s, count) - np.interp(times_s - 4.0, beats_s, count)
    )
    return Liveliness(
        mean_bpm=float(60_000.0 / intervals_ms.mean()),
        sdnn_ms=float(intervals_ms.std()),
        rmssd_ms=float(np.sqrt(np.mean(np.diff(intervals_ms) ** 2))),
        moves_5=_moves(rate_bpm, 5.0, 5.0),
        moves_10=_moves(rate_bpm, 10.0, 10.0),
        second_harmonic=_second_harmonic(wave, fs_hz, 1.0 / (intervals_ms.mean() / 1000.0)),
        one_sinusoid=_one_sinusoid(wave, fs_hz),
    )


def _moves(rate_bpm: np.ndarray, by_bpm: float, within_s: float) -> float:
    lag = int(round(within_s / _SLIDE_S))
    if len(rate_bpm) <= lag:
        return 0.0
    return float((np.abs(rate_bpm[lag:] - rate_bpm[:-lag]) > by_bpm).mean())


def _second_harmonic(wave: np.ndarray, fs_hz: float, rate_hz: float) -> float:
    power = np.abs(np.fft.rfft(wave - wave.mean(), _FFT)) ** 2
    freqs_hz = np.fft.rfftfreq(_FFT, 1.0 / fs_hz)

    def near(center_hz: float) -> float:
        return float(power[np.abs(freqs_hz - center_hz) < 0.25 * center_hz].sum())

    return near(2.0 * rate_hz) / near(rate_hz)


def _one_sinusoid(wave: np.ndarray, fs_hz: float) -> float:
    band = butter(3, [_LOW_HZ, _HIGH_HZ], "bandpass", fs=fs_hz, output="sos")
    inside = sosfiltfilt(band, wave)
    length = int(12.0 * fs_hz)
    times_s = np.arange(length) / fs_hz
    shares = []
    for start in range(0, len(inside) - length + 1, int(3.0 * fs_hz)):
        part = inside[start : start + length]
        part = part - part.mean()
        angle = 2.0 * np.pi * dominant_hz(part, fs_hz) * times_s
        basis = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        fit, *_ = np.linalg.lstsq(basis, part, rcond=None)
        shares.append(1.0 - float((part - basis @ fit).var() / part.var()))
    return float(np.median(shares))
