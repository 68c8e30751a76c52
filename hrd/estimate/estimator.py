"""From rPPG chunks to a heart rate with a confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from hrd.estimate.confidence import Calibration, Evidence
from hrd.estimate.ridge import RidgeConfig, RidgeTracker
from hrd.estimate.spectrum import peak_near_bpm, rate_score, snr_db, welch_spectrum
from hrd.types import PulseChunk


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
    evidence: Evidence
    """What the confidence was computed from."""


class _Recent:
    """The newest samples of one signal."""

    def __init__(self) -> None:
        self.samples = np.zeros(0, np.float32)

    def push(self, samples: np.ndarray, keep: int) -> None:
        self.samples = np.concatenate([self.samples, samples])[-keep:]


class HeartRateEstimator:
    """Collects PulseChunks; ``estimate`` reads the newest window of them.

    Two witnesses may be heard beside the signal itself: the POS signal of the same face, and the
    movement of the head. They never change the bpm, only the confidence in it.
    """

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
        self._bvp = _Recent()
        self._pos = _Recent()
        self._motion = (_Recent(), _Recent())
        self._fs_hz = 0.0
        self._end_s = 0.0
        self._estimated_s: Optional[float] = None
        self._ridge.reset()

    @property
    def window_s(self) -> float:
        """Seconds of signal at hand, at most the longest window."""
        return len(self._bvp.samples) / self._fs_hz if self._fs_hz else 0.0

    def push(self, chunk: PulseChunk) -> None:
        """Append a chunk; it must follow the one before without a hole."""
        if len(chunk.bvp) == 0:
            return
        self._fs_hz = chunk.fs_hz
        self._bvp.push(chunk.bvp, self._keep(chunk.fs_hz))
        self._end_s = chunk.start_s + len(chunk.bvp) / chunk.fs_hz

    def push_witnesses(self, pos: PulseChunk, motion_px: np.ndarray) -> None:
        """Append the same stretch's POS signal and the head's movement, (T, 2) pixels a frame."""
        keep = self._keep(pos.fs_hz)
        self._pos.push(pos.bvp, keep)
        for axis, recent in enumerate(self._motion):
            recent.push(motion_px[:, axis], keep)

    def _keep(self, fs_hz: float) -> int:
        return int(round(self._config.max_window_s * fs_hz))

    def estimate(self) -> Optional[Estimate]:
        """The heart rate now; None while there is too little signal, or none at all."""
        if self.window_s < self._config.min_window_s:
            return None
        spectrum = welch_spectrum(self._bvp.samples, self._fs_hz)
        if not spectrum.power.any():
            return None
        step_s = 1.0 if self._estimated_s is None else max(0.0, self._end_s - self._estimated_s)
        self._estimated_s = self._end_s
        point = self._ridge.update(spectrum, step_s)
        # the ridge says which peak, the window's own spectrum says exactly where it is
        bpm = 0.5 * (point.bpm + peak_near_bpm(spectrum, point.bpm))
        snr = snr_db(spectrum, bpm / 60.0)
        speeds = [recent.samples for recent in self._motion]
        evidence = Evidence(
            mass=point.mass,
            snr_db=snr,
            window_s=self.window_s,
            pos_share=self._share(self._pos.samples, bpm),
            motion_share=max(self._share(speed, bpm) for speed in speeds),
            motion_px=float(np.sqrt(sum(speed.var() for speed in speeds if len(speed)))),
        )
        confidence = self._calibration.confidence(evidence.features())
        return Estimate(bpm, confidence, snr, self.window_s, evidence)

    def _share(self, samples: np.ndarray, bpm: float) -> float:
        """Share of a signal's variance that a pulse of this rate explains; 0 for too little."""
        if len(samples) < self._config.min_window_s / 2.0 * self._fs_hz:
            return 0.0
        near = bpm + np.array([-2.0, 0.0, 2.0])
        score, _ = rate_score(welch_spectrum(samples, self._fs_hz), near)
        return float(score.max())
