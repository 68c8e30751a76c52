"""From rPPG chunks to a heart rate with a confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

from hrd.estimate.change import ChangeConfig, ChangeDetector
from hrd.estimate.chirp import Chirp, fit_chirp
from hrd.estimate.confidence import Calibration, Evidence
from hrd.estimate.ridge import RidgeConfig, RidgeTracker
from hrd.estimate.spectrum import (
    Spectrum,
    detrend,
    peak_hz,
    peak_near_bpm,
    rate_score,
    snr_db,
    welch_spectrum,
)
from hrd.types import Heard, PulseChunk

_SETTLE_S = 1.0  # the end of a chirp is the least certain place of it
_STEADY_READINGS = 5


@dataclass(frozen=True)
class EstimatorConfig:
    """Lengths of the window that the spectrum is taken of."""

    min_window_s: float = 4.0
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
    """The newest samples of one signal, (N,) or (N, C)."""

    def __init__(self, channels: Tuple[int, ...] = (), dtype: type = np.float32) -> None:
        self.samples: np.ndarray = np.zeros((0,) + channels, dtype)

    def push(self, samples: np.ndarray, keep: int) -> None:
        self.samples = np.concatenate([self.samples, samples])
        self.keep(keep)

    def keep(self, count: int) -> None:
        """Forget all but the newest ``count``."""
        self.samples = self.samples[-count:]


class HeartRateEstimator:
    """Collects PulseChunks; ``estimate`` reads the newest window of them.

    What the witnesses say (``hrd.witness``) may be heard beside the signal itself. It never
    changes the bpm, only the confidence in it.
    """

    def __init__(
        self,
        calibration: Calibration,
        config: Optional[EstimatorConfig] = None,
        ridge: Optional[RidgeConfig] = None,
        change: Optional[ChangeConfig] = None,
    ) -> None:
        self._config = config or EstimatorConfig()
        self._calibration = calibration
        self._ridge_config = ridge or RidgeConfig()
        self._ridge = RidgeTracker(self._ridge_config)
        self._change = ChangeDetector(change)
        self.reset()

    def reset(self) -> None:
        """Forget all signal: a new face, or a hole in the stream."""
        self._bvp = _Recent()
        self._pos = _Recent()
        self._motion = _Recent((2,))
        self._face = _Recent((3,), np.float64)
        self._surround = _Recent((), np.float64)
        self._fs_hz = 0.0
        self._end_s = 0.0
        self._estimated_s: Optional[float] = None
        self._said_bpm: List[float] = []
        self._ridge.reset()
        self._change.reset()

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

    def push_heard(self, heard: Heard) -> None:
        """Append what else was seen in the same stretch."""
        keep = self._keep(heard.fs_hz)
        self._pos.push(heard.pos, keep)
        self._motion.push(heard.motion_px, keep)
        self._face.push(heard.face_rgb, keep)
        self._surround.push(heard.surround, keep)

    def _keep(self, fs_hz: float) -> int:
        return int(round(self._config.max_window_s * fs_hz))

    def estimate(self) -> Optional[Estimate]:
        """The heart rate now; None while there is too little signal, or none at all."""
        if self.window_s < self._config.min_window_s:
            return None
        self._forget_what_has_changed()
        spectrum = welch_spectrum(self._bvp.samples, self._fs_hz)
        if not spectrum.power.any():
            return None
        step_s = 1.0 if self._estimated_s is None else max(0.0, self._end_s - self._estimated_s)
        self._estimated_s = self._end_s
        point = self._ridge.update(spectrum, step_s)
        # the ridge says which peak, the window's own spectrum where it is, the chirp where it goes
        peak_bpm = 0.5 * (point.bpm + peak_near_bpm(spectrum, point.bpm))
        chirp = fit_chirp(
            self._bvp.samples,
            self._fs_hz,
            peak_bpm,
            self._ridge_config.independent_per_s,
        )
        bpm = peak_bpm + chirp.run_bpm(0.5 * self.window_s - _SETTLE_S)
        snr = snr_db(spectrum, peak_bpm / 60.0)
        evidence = self._weigh(peak_bpm, point.mass, snr, chirp)
        self._said_bpm = [*self._said_bpm, peak_bpm][-_STEADY_READINGS:]
        confidence = self._calibration.confidence(evidence.features())
        return Estimate(bpm, confidence, snr, self.window_s, evidence)

    def _forget_what_has_changed(self) -> None:
        """Forget all but the newest seconds if they say that the rate has become another one."""
        count = int(round(self._change.config.newest_s * self._fs_hz))
        if not self._said_bpm or len(self._bvp.samples) < count + self._fs_hz:
            return
        newest = welch_spectrum(self._bvp.samples[-count:], self._fs_hz)
        independent_per_s = self._ridge_config.independent_per_s
        if not self._change.changed(newest, self._said_bpm[-1], independent_per_s):
            return
        self._bvp.keep(count)
        for witness in (self._pos, self._motion, self._face, self._surround):
            witness.keep(count)
        self._said_bpm = []
        self._ridge.reset()
        self._change.reset()

    def _weigh(self, bpm: float, mass: float, snr: float, chirp: Chirp) -> Evidence:
        pos = self._spectrum(self._pos.samples)
        surround = self._spectrum(self._surround.samples)
        axes = [self._spectrum(self._motion.samples[:, axis]) for axis in (0, 1)]
        speeds = self._motion.samples
        colour = colour_at(self._face.samples, self._fs_hz, bpm)
        before = self._said_bpm
        return Evidence(
            mass=mass,
            snr_db=snr,
            window_s=self.window_s,
            size=float(self._bvp.samples.std()),
            chirp_share=chirp.share,
            unsteady_bpm=float(np.mean([abs(bpm - one) for one in before])) if before else 10.0,
            pos_share=_share(pos, bpm),
            pos_gap_bpm=abs(60.0 * peak_hz(pos) - bpm) if pos is not None else 100.0,
            motion_share=max(_share(axis, bpm) for axis in axes),
            motion_px=float(np.sqrt(speeds.var(axis=0).sum())) if len(speeds) else 0.0,
            surround_share=_share(surround, bpm),
            green_share=colour.green_share,
            red_ratio=colour.red_ratio,
            chroma=colour.chroma,
        )

    def _spectrum(self, samples: np.ndarray) -> Optional[Spectrum]:
        """Of a witness's signal; None for too little."""
        if len(samples) < self._config.min_window_s / 2.0 * self._fs_hz:
            return None
        return welch_spectrum(samples, self._fs_hz)


def _share(spectrum: Optional[Spectrum], bpm: float) -> float:
    """Share of a signal's variance that a pulse of this rate explains."""
    if spectrum is None:
        return 0.0
    score, _ = rate_score(spectrum, bpm + np.array([-2.0, 0.0, 2.0]))
    return float(score.max())


@dataclass(frozen=True)
class Colour:
    """What the face's mean colour does at a rate.

    ``green_share``: share of the green channel's variance that lies there. ``red_ratio``: red's
    relative change over green's, the part in phase: about 0.4 for blood (the dichromatic model's
    pulse vector), about 1 for any lamp. ``chroma``: how far red and green differ, 0 for a lamp, up
    to 1 for noise.
    """

    green_share: float
    red_ratio: float
    chroma: float


def colour_at(face_rgb: np.ndarray, fs_hz: float, bpm: float) -> Colour:
    """Read the face's mean colour (N, 3) at a rate."""
    if len(face_rgb) < 2.0 * fs_hz:
        return Colour(0.0, 1.0, 1.0)
    relative = detrend(face_rgb / np.maximum(face_rgb.mean(axis=0), 1e-6))
    wave = np.exp(-2j * np.pi * bpm / 60.0 / fs_hz * np.arange(len(face_rgb)))
    red, green, _ = wave @ relative
    power = abs(green) ** 2
    variance = len(relative) * float(relative[:, 1] @ relative[:, 1])
    return Colour(
        green_share=min(1.0, 2.0 * power / max(variance, 1e-20)),
        red_ratio=float(np.clip((red * np.conj(green)).real / max(power, 1e-20), -0.5, 2.0)),
        chroma=float(abs(green - red) / max(abs(green) + abs(red), 1e-12)),
    )
