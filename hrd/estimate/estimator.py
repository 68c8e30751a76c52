"""From rPPG chunks to a heart rate with a confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Optional

import numpy as np

from hrd.estimate.baseband import Band, baseband, mean_rate_bpm, phase_jitter
from hrd.estimate.confidence import Calibration
from hrd.estimate.features import Features
from hrd.estimate.options import EstimatorConfig
from hrd.estimate.ratefilter import FilterConfig, HeartRateFilter
from hrd.estimate.spectrum import SHORTEST_S, Spectrum, detrend, periodogram, snr_db
from hrd.estimate.sqi import COMPARED_S, ReferenceWindow
from hrd.types import PulseChunk, ReferenceSignals

__all__ = ["Estimate", "EstimatorConfig", "HeartRateEstimator"]

BEATS_S = 7.0
"""Length of signal whose beats are counted: the signal lags the newest frame by a second or more,
and what is wanted is the mean rate of the last ``hrd.types.TRUTH_S`` before that frame."""

WINDOW_SHARES = (1.0 / 3.0, 1.0 / 2.0, 2.0 / 3.0, 1.0)
"""Lengths of signal that the heart-rate filter weighs, as parts of the longest window."""

_STEADY_READINGS = 5
_AGREEING_READINGS, _AGREEING_BPM = 15, 7.0
_POINTS = 2048  # of the spectra: 0.88 bpm a step; the beats' phase says where exactly the rate is


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
    ) -> None:
        self._config = config or EstimatorConfig()
        self._calibration = calibration
        self._filter = HeartRateFilter(rate_filter)
        self._reference = ReferenceWindow()
        self.reset()

    def reset(self) -> None:
        """Forget all signal: a new face, or a hole in the stream."""
        self._bvp = np.zeros(0, np.float32)
        self._reference.reset()
        self._fs_hz = 0.0
        self._end_s = 0.0
        self._estimated_s: Optional[float] = None
        self._before_bpm: List[float] = []
        self._filter.reset()

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
        spectra = self._spectra()
        if not spectra[-1].power.any():
            return None
        step_s = 1.0 if self._estimated_s is None else max(0.0, self._end_s - self._estimated_s)
        self._estimated_s = self._end_s
        point = self._filter.update(spectra, step_s)
        # the filter says which peak; the phase of what beats there says how many beats the newest
        # seconds hold
        signal = detrend(self._bvp)
        band = baseband(signal, self._fs_hz, point.bpm, max(BEATS_S, COMPARED_S))
        bpm = mean_rate_bpm(band.newest(BEATS_S), point.bpm)
        snr = snr_db(spectra[-1], point.bpm / 60.0)
        features = self._features(bpm, point.bpm, point.posterior, snr, signal, band)
        self._before_bpm = [*self._before_bpm, point.bpm][-_AGREEING_READINGS:]
        confidence = self._calibration.confidence(features.vector())
        return Estimate(bpm, confidence, snr, self.window_s, features)

    def _spectra(self) -> List[Spectrum]:
        """Of each length that there is enough signal for, the whole window last."""
        lengths = [share * self._config.max_window_s for share in WINDOW_SHARES]
        counts = [
            int(round(length * self._fs_hz))
            for length in lengths
            if SHORTEST_S <= length < self.window_s - 0.5
        ]
        return [
            periodogram(self._bvp[-count:], self._fs_hz, _POINTS)
            for count in [*counts, len(self._bvp)]
        ]

    def _features(
        self,
        bpm: float,
        filter_bpm: float,
        posterior: float,
        snr: float,
        signal: np.ndarray,
        band: Band,
    ) -> Features:
        gaps_bpm = [abs(filter_bpm - one) for one in self._before_bpm]
        newest = band.newest(COMPARED_S)
        part = signal[-int(COMPARED_S * self._fs_hz) :]
        variance = max(float(part @ part) / len(part), 1e-20)
        return Features(
            posterior=posterior,
            snr_db=snr,
            window_s=self.window_s,
            share=min(1.0, 2.0 * float(np.mean(np.abs(newest.value) ** 2)) / variance),
            phase_jitter=phase_jitter(newest),
            phase_gap_bpm=abs(bpm - filter_bpm),
            unsteady_bpm=float(np.mean(gaps_bpm[-_STEADY_READINGS:])) if gaps_bpm else 10.0,
            agreeing=sum(gap <= _AGREEING_BPM for gap in gaps_bpm) / _AGREEING_READINGS,
            level=math.sqrt(variance),
            quality=self._reference.indices(self._bvp, self._end_s, self._fs_hz, filter_bpm),
        )
