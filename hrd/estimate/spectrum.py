"""The spectrum of a stretch of rPPG signal, and what can be read off it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Tuple

import numpy as np

MIN_BPM = 42.0
MAX_BPM = 240.0
SHORTEST_S = 2.0
"""Less signal holds too few beats for a spectrum."""

GRID_POINTS = 4096  # at 30 Hz: 0.44 bpm a step, a tenth of the narrowest peak; a parabola refines
_NOISE_BAND_HZ = (0.6, 6.0)  # where variance counts: the pulse, its second harmonic, and noise
_SNR_HALF_WIDTH_HZ = 6.0 / 60.0
_PEAK_REACH_BPM = 6.0
_LOWEST_PEAK_HZ = 0.5


@dataclass(frozen=True)
class Spectrum:
    """``frequency_hz`` (K,) and ``power`` (K,): the share of the signal's in-band variance that a
    sinusoid of that frequency explains, about 0..1 each."""

    frequency_hz: np.ndarray
    power: np.ndarray
    duration_s: float

    def between(self, low_hz: float, high_hz: float) -> slice:
        """The grid points from one frequency to another."""
        first, last = np.searchsorted(self.frequency_hz, (low_hz, np.nextafter(high_hz, np.inf)))
        return slice(int(first), int(last))

    def at(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Power at any frequencies, linear between grid points, zero outside the grid."""
        return np.interp(frequency_hz, self.frequency_hz, self.power, left=0.0, right=0.0)


def periodogram(bvp: np.ndarray, fs_hz: float, points: int = GRID_POINTS) -> Spectrum:
    """One periodogram (Schuster 1898) over the whole signal, detrended, boxcar, zero-padded.

    ``bvp``: (N,) samples, at least 2 s of them; ``ValueError`` if fewer. A silent signal gives a
    spectrum of zeros. ``points``: of the transform, zeros appended; fewer are enough for a shorter
    signal.

    Not averaged over shorter segments (Welch 1967), and no taper: with so few beats both widen the
    peak more than they calm the noise. ``python tools/segments.py``, drawn hearts, mean error in
    bpm of one segment and of three that overlap by half, all boxcar: 2.4 and
    3.1 (12 s, 6 dB), 5.4 and 6.9 (12 s, 0 dB), 7.7 and 7.6 (8 s, 0 dB), 10.3 and 11.9 (6 s, 0 dB).
    """
    count = len(bvp)
    if count < SHORTEST_S * fs_hz:
        raise ValueError(
            f"{count} samples at {fs_hz:g} Hz are too few: {SHORTEST_S:g} s are needed"
        )
    points = max(points, count)
    return Spectrum(
        grid_hz(points, fs_hz), variance_shares(detrend(bvp), fs_hz, points), count / fs_hz
    )


def variance_shares(signals: np.ndarray, fs_hz: float, points: int) -> np.ndarray:
    """(..., N) detrended signals -> (..., points // 2 + 1): the share of each one's in-band
    variance that a sinusoid of each frequency explains; zeros for a silent one."""
    count = signals.shape[-1]
    wave = np.fft.rfft(signals, points)
    power = wave.real**2
    power += wave.imag**2
    # of a sinusoid: half its amplitude's square
    power *= 2.0 / count**2
    low, high = (int(np.ceil(edge * points / fs_hz)) for edge in _NOISE_BAND_HZ)
    # Parseval on the zero-padded grid: its ordinates over-count the variance by this much
    variance = power[..., low:high].sum(axis=-1, keepdims=True) * (count / points)
    return power / np.where(variance > 1e-20, variance, np.inf)


@functools.lru_cache(maxsize=16)
def grid_hz(points: int, fs_hz: float) -> np.ndarray:
    """(points // 2 + 1,) frequencies of a transform of so many points; not to be written to."""
    frequency = np.arange(points // 2 + 1) * (fs_hz / points)
    frequency.setflags(write=False)
    return frequency


def detrend(signal: np.ndarray) -> np.ndarray:
    """Signals (N,) or (N, C) less their least-squares lines, float64."""
    x = np.arange(len(signal)) - 0.5 * (len(signal) - 1)
    centred = signal - signal.mean(axis=0, dtype=np.float64)
    return centred - np.multiply.outer(x, (x @ centred) / (x @ x))


def peak_hz(
    spectrum: Spectrum, low_hz: float = MIN_BPM / 60.0, high_hz: float = MAX_BPM / 60.0
) -> float:
    """Frequency of the highest peak in a band, refined by a parabola through log power."""
    frequency, power = spectrum.frequency_hz, spectrum.power
    inside = spectrum.between(low_hz, high_hz)
    if inside.start >= inside.stop:
        raise ValueError(f"no grid point between {low_hz:g} and {high_hz:g} Hz")
    k = inside.start + int(np.argmax(power[inside]))
    if k in (0, len(power) - 1) or power[k] <= 0 or min(power[k - 1], power[k + 1]) <= 0:
        return float(frequency[k])
    left, middle, right = np.log(power[k - 1 : k + 2])
    curvature = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    step = frequency[1] - frequency[0]
    return float(frequency[k] + float(np.clip(offset, -0.5, 0.5)) * step)


def peak_near_bpm(spectrum: Spectrum, bpm: float) -> float:
    """Rate of the highest peak within 6 bpm of ``bpm``: where exactly the filter's peak is."""
    low_hz = max(_LOWEST_PEAK_HZ, (bpm - _PEAK_REACH_BPM) / 60.0)
    return 60.0 * peak_hz(spectrum, low_hz, (bpm + _PEAK_REACH_BPM) / 60.0)


def snr_db(spectrum: Spectrum, rate_hz: float) -> float:
    """Peak-referenced SNR, after de Haan & Jeanne (2013): power within +-6 bpm of the rate and of
    its second harmonic over the rest of 42-240 bpm, in dB, clipped to +-40.

    Peak-referenced: the rate is our own reading. Papers use the reference heart rate; the two
    must not be compared.
    """
    power, reach = spectrum.power, _SNR_HALF_WIDTH_HZ
    low, high = MIN_BPM / 60.0, MAX_BPM / 60.0
    # the two bands meet for no rate above 12 bpm
    signal = sum(
        float(power[spectrum.between(max(hz - reach, low), min(hz + reach, high))].sum())
        for hz in (rate_hz, 2.0 * rate_hz)
    )
    noise = float(power[spectrum.between(low, high)].sum()) - signal
    if signal <= 0.0:
        return -40.0
    return float(np.clip(10.0 * np.log10(signal / max(noise, 1e-12 * signal)), -40.0, 40.0))


def rate_score(spectrum: Spectrum, bpm: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """How much of the variance a pulse of each rate explains, and its fundamental's part.

    ``bpm``: (K,). The second harmonic counts up to the fundamental's own power: a pulse of half
    the rate, whose fundamental is missing, can then not win on its "harmonic" alone, and a pulse
    of low rate with a strong harmonic is not read as twice its rate.
    """
    fundamental = spectrum.at(bpm / 60.0)
    return explained(fundamental, spectrum.at(2.0 * bpm / 60.0)), fundamental


def explained(fundamental: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """The share of variance that pulses explain, from the shares at their rates and at twice."""
    return np.minimum(fundamental + np.minimum(harmonic, fundamental), 1.0)
