"""How far the peak of a spectrum is off, by how the window is cut into segments.

Usage: python tools/segments.py [--windows 500]

Drawn hearts of 45 to 150 bpm with noise of 0.7 to 4 Hz, windows as long as the estimator's. One
segment (what hrd does) against three that overlap by half, each untapered and with Hann's taper.
The truth is the mean rate of the window's beats. What is printed is the mean absolute error in
bpm, and below it the share of windows that are off by more than 5 bpm.
"""

from __future__ import annotations

import argparse
from typing import Callable, Dict

import numpy as np
from scipy.signal import butter, sosfiltfilt, welch

from hrd.estimate.spectrum import GRID_POINTS, Spectrum, peak_hz
from hrd.sim.hearts import sample_heart
from hrd.sim.pulse import Heart

FS_HZ = 30.0
LENGTHS_S = (6.0, 8.0, 12.0)
SNRS_DB = (6.0, 0.0, -3.0)
BAND_HZ = (0.7, 4.0)


def averaged(signal: np.ndarray, segments: int, taper: str) -> float:
    """Rate in bpm at the highest peak of Welch's spectrum with so many half-overlapping segments
    (one: the periodogram)."""
    length = 2 * len(signal) // (segments + 1)
    frequency_hz, power = welch(
        signal, FS_HZ, taper, length, length // 2, GRID_POINTS, detrend="linear"
    )
    return 60.0 * peak_hz(Spectrum(frequency_hz, power, length / FS_HZ))


WAYS: Dict[str, Callable[[np.ndarray], float]] = {
    "1, boxcar": lambda signal: averaged(signal, 1, "boxcar"),
    "1, Hann": lambda signal: averaged(signal, 1, "hann"),
    "3, boxcar": lambda signal: averaged(signal, 3, "boxcar"),
    "3, Hann": lambda signal: averaged(signal, 3, "hann"),
}


def errors_bpm(windows: int, seconds: float, snr_db: float) -> np.ndarray:
    """(ways, windows) distance from the truth; the same windows for every way."""
    rng = np.random.default_rng(0)
    band = butter(4, BAND_HZ, "bandpass", fs=FS_HZ, output="sos")
    off = np.zeros((len(WAYS), windows))
    for k in range(windows):
        heart = Heart(sample_heart(rng, (45.0, 150.0), seconds), int(rng.integers(1 << 31)))
        t = np.arange(int(seconds * FS_HZ)) / FS_HZ
        wave = heart.bvp(t)
        noise = sosfiltfilt(band, rng.standard_normal(len(t) + 300))[150:-150]
        wave = wave + noise * wave.std() / noise.std() * 10.0 ** (-snr_db / 20.0)
        beats = heart.phase(t[[0, -1]])
        truth_bpm = 60.0 * float(beats[1] - beats[0]) / float(t[-1])
        off[:, k] = [abs(way(wave) - truth_bpm) for way in WAYS.values()]
    return off


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=500, help="of each length and noise")
    args = parser.parse_args()
    print("segments     " + "".join(f"{way:>11}" for way in WAYS))
    for seconds in LENGTHS_S:
        for snr_db in SNRS_DB:
            off = errors_bpm(args.windows, seconds, snr_db)
            print(
                f"{seconds:4.0f} s {snr_db:3.0f} dB "
                + "".join(f"{mae:11.2f}" for mae in off.mean(axis=1))
            )
            shares = 100.0 * (off > 5.0).mean(axis=1)
            print("  off by > 5 " + "".join(f"{share:10.1f}%" for share in shares))


if __name__ == "__main__":
    main()
