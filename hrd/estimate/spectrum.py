"""The spectrum of a stretch of rPPG signal, and what can be read off it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

MIN_BPM = 42.0
MAX_BPM = 240.0

_GRID_POINTS = 4096  # at 30 Hz: 0.44 bpm a step, a tenth of the narrowest peak; a parabola refines
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

    def at(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Power at any frequencies, linear between grid points, zero outside the grid."""
        return np.interp(frequency_hz, self.frequency_hz, self.power, left=0.0, right=0.0)


def welch_spectrum(bvp: np.ndarray, fs_hz: float) -> Spectrum:
    """Welch's spectrum (Welch 1967) with one segment as long as the signal.

    ``bvp``: (N,) samples, at least 2 s of them; ``ValueError`` if fewer. A shorter segment would
    be blurred to several bpm. Boxcar rather than a taper: with so few beats the taper's wider
    peak costs more than its lower side lobes save. A silent signal gives a spectrum of zeros.
    """
    count = len(bvp)
    if count < 2.0 * fs_hz:
        raise ValueError(f"{count} samples at {fs_hz:g} Hz are too few: 2 s are needed")
    points = max(_GRID_POINTS, count)
    # of a sinusoid: half its amplitude's square
    power = np.square(np.abs(np.fft.rfft(detrend(bvp), points))) * (2.0 / count**2)
    frequency = np.arange(len(power)) * (fs_hz / points)
    low, high = (int(np.ceil(edge * points / fs_hz)) for edge in _NOISE_BAND_HZ)
    # Parseval on the zero-padded grid: its ordinates over-count the variance by this much
    variance = float(power[low:high].sum()) * count / points
    share = power / variance if variance > 1e-20 else np.zeros_like(power)
    return Spectrum(frequency, share, count / fs_hz)


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
    inside = np.flatnonzero((frequency >= low_hz) & (frequency <= high_hz))
    if len(inside) == 0:
        raise ValueError(f"no grid point between {low_hz:g} and {high_hz:g} Hz")
    k = int(inside[np.argmax(power[inside])])
    if k in (0, len(power) - 1) or power[k] <= 0 or min(power[k - 1], power[k + 1]) <= 0:
        return float(frequency[k])
    left, middle, right = np.log(power[k - 1 : k + 2])
    curvature = left - 2.0 * middle + right
    offset = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
    step = frequency[1] - frequency[0]
    return float(frequency[k] + float(np.clip(offset, -0.5, 0.5)) * step)


def peak_near_bpm(spectrum: Spectrum, bpm: float) -> float:
    """Rate of the highest peak within 6 bpm of ``bpm``: where exactly the ridge's peak is."""
    low_hz = max(_LOWEST_PEAK_HZ, (bpm - _PEAK_REACH_BPM) / 60.0)
    return 60.0 * peak_hz(spectrum, low_hz, (bpm + _PEAK_REACH_BPM) / 60.0)


def snr_db(spectrum: Spectrum, rate_hz: float) -> float:
    """Peak-referenced SNR, after de Haan & Jeanne (2013): power within +-6 bpm of the rate and of
    its second harmonic over the rest of 42-240 bpm, in dB, clipped to +-40.

    Peak-referenced: the rate is our own reading. Papers use the reference heart rate; the two
    must not be compared.
    """
    frequency, power = spectrum.frequency_hz, spectrum.power
    band = (frequency >= MIN_BPM / 60.0) & (frequency <= MAX_BPM / 60.0)
    near = np.abs(frequency - rate_hz) <= _SNR_HALF_WIDTH_HZ
    near |= np.abs(frequency - 2.0 * rate_hz) <= _SNR_HALF_WIDTH_HZ
    signal = float(power[band & near].sum())
    noise = float(power[band & ~near].sum())
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
    harmonic = np.minimum(spectrum.at(2.0 * bpm / 60.0), fundamental)
    return np.minimum(fundamental + harmonic, 1.0), fundamental
