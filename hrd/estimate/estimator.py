"""From rPPG chunks to a heart rate with a confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from hrd.estimate.confidence import Calibration, features
from hrd.estimate.ridge import RidgeConfig, RidgeTracker
from hrd.estimate.spectrum import peak_hz, snr_db, welch_spectrum
from hrd.types import PulseChunk

_PEAK_REACH_BPM = 6.0  # how far from the ridge the window's own peak may refine it


@dataclass(frozen=True)
class EstimatorConfig:
    """Lengths of the window that the spectrum is taken of."""

    min_window_s: float = 5.0
    """No estimate from less signal than this."""
    max_window_s: float = 12.0
    """The window grows to this and then slides."""


@dataclass(frozen=True)
class Estimate:
    """What the newest window says. ``confidence``: probability that bpm is within 5 bpm."""

    bpm: float
    confidence: float
    snr_db: float
    window_s: float
    features: Tuple[float, ...]
    """What the confidence was computed from, in the order of ``confidence.FEATURES``."""


class HeartRateEstimator:
    """Collects PulseChunks; ``estimate`` reads the newest window of them."""

    def __init__(
        self,
        calibration: Calibration,
        config: Optional[EstimatorConfig] = None,
        ridge: Optional[RidgeConfig] = None,
    ) -> None:
        self._config = config or EstimatorConfig()
        self._calibration = calibration
        self._ridge = RidgeTracker(ridge)
        self.reset()

    def reset(self) -> None:
        """Forget all signal: a new face, or a hole in the stream."""
        self._bvp = np.zeros(0, np.float32)
        self._fs_hz = 0.0
        self._end_s = 0.0
        self._estimated_s: Optional[float] = None
        self._ridge.reset()

    @property
    def window_s(self) -> float:
        """Seconds of signal at hand, at most the longest window."""
        return len(self._bvp) / self._fs_hz if self._fs_hz else 0.0

    def push(self, chunk: PulseChunk) -> None:
        """Append a chunk; it must follow the one before without a hole."""
        if len(chunk.bvp) == 0:
            return
        keep = int(round(self._config.max_window_s * chunk.fs_hz))
        self._bvp = np.concatenate([self._bvp, chunk.bvp])[-keep:]
        self._fs_hz = chunk.fs_hz
        self._end_s = chunk.start_s + len(chunk.bvp) / chunk.fs_hz

    def estimate(self) -> Optional[Estimate]:
        """The heart rate now; None while there is too little signal, or none at all."""
        if self.window_s < self._config.min_window_s:
            return None
        spectrum = welch_spectrum(self._bvp, self._fs_hz)
        if not spectrum.power.any():
            return None
        step_s = 1.0 if self._estimated_s is None else self._end_s - self._estimated_s
        self._estimated_s = self._end_s
        point = self._ridge.update(spectrum, step_s)
        # the ridge says which peak, the window's own spectrum says exactly where it is
        own = 60.0 * peak_hz(
            spectrum,
            max(0.5, (point.bpm - _PEAK_REACH_BPM) / 60.0),
            (point.bpm + _PEAK_REACH_BPM) / 60.0,
        )
        bpm = 0.5 * (point.bpm + own)
        snr = snr_db(spectrum, bpm / 60.0)
        evidence = features(point.mass, snr, self.window_s)
        confidence = self._calibration.confidence(evidence)
        return Estimate(bpm, confidence, snr, self.window_s, evidence)
