"""From rPPG chunks to a heart rate with a confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

import numpy as np

from hrd.estimate.baseband import baseband, mean_rate_bpm
from hrd.estimate.change import ChangeConfig, ChangeDetector
from hrd.estimate.chirp import Chirp, fit_chirp
from hrd.estimate.confidence import Calibration
from hrd.estimate.features import Features
from hrd.estimate.options import EstimatorConfig
from hrd.estimate.ratefilter import FilterConfig, HeartRateFilter
from hrd.estimate.spectrum import peak_near_bpm, periodogram, snr_db
from hrd.estimate.sqi import ReferenceWindow
from hrd.types import PulseChunk, ReferenceSignals

__all__ = ["Estimate", "EstimatorConfig", "HeartRateEstimator"]

BEATS_S = 7.0
"""Length of signal whose beats are counted: the signal lags the newest frame by a second or more,
and what is wanted is the mean rate of the last ``hrd.types.TRUTH_S`` before that frame."""

_STEADY_READINGS = 5
_NEWEST_POINTS = 2048  # of the transform of the newest seconds, which are few


@dataclass(frozen=True)
class Estimate:
    """What the newest window says. ``confidence``: probability that bpm is within 5 bpm."""

    bpm: float
    confidence: float
    snr_db: float
    window_s: float
    features: Features
    """What the confidence was computed from."""


class HeartRateEstimator:
    """Collects PulseChunks; ``estimate`` reads the newest window of them.

    Reference signals (``hrd.reference``) may come beside the signal itself. They never change the
    bpm, only the confidence in it.
    """

    def __init__(
        self,
        calibration: Calibration,
        config: Optional[EstimatorConfig] = None,
        rate_filter: Optional[FilterConfig] = None,
        change: Optional[ChangeConfig] = None,
    ) -> None:
        self._config = config or EstimatorConfig()
        self._calibration = calibration
        self._filter_config = rate_filter or FilterConfig()
        self._filter = HeartRateFilter(self._filter_config)
        self._change = ChangeDetector(change)
        self._reference = ReferenceWindow()
        self.reset()

    def reset(self) -> None:
        """Forget all signal: a new face, or a hole in the stream."""
        self._bvp = np.zeros(0, np.float32)
        self._reference.reset()
        self._fs_hz = 0.0
        self._end_s = 0.0
        self._estimated_s: Optional[float] = None
        self._said_bpm: List[float] = []
        self._filter.reset()
        self._change.reset()

    @property
    def window_s(self) -> float:
        """Seconds of signal at hand, at most the longest window."""
        return len(self._bvp) / self._fs_hz if self._fs_hz else 0.0

    def push(self, chunk: PulseChunk) -> None:
        """Append a chunk; it must follow the one before without a hole."""
        if len(chunk.bvp) == 0:
            return
        self._fs_hz = chunk.fs_hz
        self._bvp = np.concatenate([self._bvp, chunk.bvp])[-self._keep(chunk.fs_hz) :]
        self._end_s = chunk.start_s + len(chunk.bvp) / chunk.fs_hz

    def push_reference(self, signals: ReferenceSignals) -> None:
        """Append the reference signals of the same stretch."""
        self._reference.push(signals, self._keep(signals.fs_hz))

    def _keep(self, fs_hz: float) -> int:
        return int(round(self._config.max_window_s * fs_hz))

    def estimate(self) -> Optional[Estimate]:
        """The heart rate now; None while there is too little signal, or none at all."""
        if self.window_s < self._config.min_window_s:
            return None
        self._forget_what_has_changed()
        spectrum = periodogram(self._bvp, self._fs_hz)
        if not spectrum.power.any():
            return None
        step_s = 1.0 if self._estimated_s is None else max(0.0, self._end_s - self._estimated_s)
        self._estimated_s = self._end_s
        point = self._filter.update(spectrum, step_s)
        # the filter says which peak, the window's own spectrum where it is, and the phase of what
        # beats there how many beats the newest seconds hold
        peak_bpm = 0.5 * (point.bpm + peak_near_bpm(spectrum, point.bpm))
        chirp = fit_chirp(
            self._bvp,
            self._fs_hz,
            peak_bpm,
            self._filter_config.independent_per_s,
        )
        band = baseband(self._bvp, self._fs_hz, peak_bpm).newest(BEATS_S)
        bpm = mean_rate_bpm(band, peak_bpm)
        snr = snr_db(spectrum, peak_bpm / 60.0)
        features = self._features(peak_bpm, point.posterior, snr, chirp)
        self._said_bpm = [*self._said_bpm, peak_bpm][-_STEADY_READINGS:]
        confidence = self._calibration.confidence(features.vector())
        return Estimate(bpm, confidence, snr, self.window_s, features)

    def _forget_what_has_changed(self) -> None:
        """Forget all but the newest seconds if they say that the rate has become another one."""
        count = int(round(self._change.config.newest_s * self._fs_hz))
        if not self._said_bpm or len(self._bvp) < count + self._fs_hz:
            return
        newest = periodogram(self._bvp[-count:], self._fs_hz, _NEWEST_POINTS)
        independent_per_s = self._filter_config.independent_per_s
        if not self._change.changed(newest, self._said_bpm[-1], independent_per_s):
            return
        self._bvp = self._bvp[-count:]
        self._reference.keep(count)
        self._said_bpm = []
        self._filter.reset()
        self._change.reset()

    def _features(self, bpm: float, posterior: float, snr: float, chirp: Chirp) -> Features:
        before = self._said_bpm
        return Features(
            posterior=posterior,
            snr_db=snr,
            window_s=self.window_s,
            size=float(self._bvp.std()),
            chirp_share=chirp.share,
            unsteady_bpm=sum(abs(bpm - one) for one in before) / len(before) if before else 10.0,
            quality=self._reference.indices(bpm, self._fs_hz),
        )
