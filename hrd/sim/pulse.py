"""The heart: beats with natural variability, and the blood volume pulse they make in skin.

Integral pulse frequency modulation: the instantaneous rate is the mean rate plus a Mayer wave
(LF, about 0.1 Hz), the respiratory sinus arrhythmia (HF, at the breathing rate) and a slow
drift; its integral is the phase, and every whole turn of the phase is one beat (Mateo & Laguna
2000). The pulse's shape is a systolic and a dicrotic Gaussian over the phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from hrd.sim.signals import SmoothNoise

MIN_BPM = 35.0
MAX_BPM = 220.0

_TABLE = 512


@dataclass(frozen=True)
class HeartConfig:
    """What a simulated heart does.

    ``bpm``: mean rate, used where ``profile`` is empty. ``profile``: (time_s, bpm) points joined
    by straight lines and held at both ends (see ``step`` and ``ramp``). ``lf``, ``hf``: standard
    deviation of the Mayer wave and of the respiratory arrhythmia relative to the mean rate.
    ``drift_bpm_per_min``: rms slope of the slow drift. ``breath_hz``: breathing rate.
    ``breath_amplitude``: modulation of the pulse's height by breathing (0..1);
    ``breath_baseline``: breathing's own part of the blood volume, in pulse heights.
    ``notch``: height of the dicrotic wave relative to the systolic one.
    """

    bpm: float = 72.0
    profile: Tuple[Tuple[float, float], ...] = ()
    lf: float = 0.02
    hf: float = 0.02
    lf_hz: float = 0.1
    drift_bpm_per_min: float = 0.0
    breath_hz: float = 0.25
    breath_amplitude: float = 0.1
    breath_baseline: float = 0.1
    notch: float = 0.3
    systole: float = 0.1
    notch_delay: float = 0.34

    def __post_init__(self) -> None:
        for bpm in [self.bpm] + [point[1] for point in self.profile]:
            if not MIN_BPM <= bpm <= MAX_BPM:
                raise ValueError(f"a heart rate of {bpm} bpm is outside {MIN_BPM}..{MAX_BPM}")
        times = [point[0] for point in self.profile]
        if times != sorted(times):
            raise ValueError(f"the times of a profile must not fall: {times}")


def step(before_bpm: float, after_bpm: float, at_s: float) -> Tuple[Tuple[float, float], ...]:
    """Profile of a rate that jumps at ``at_s``."""
    return ((at_s, before_bpm), (at_s, after_bpm))


def ramp(
    from_bpm: float, to_bpm: float, start_s: float, bpm_per_min: float
) -> Tuple[Tuple[float, float], ...]:
    """Profile of a rate that goes from one to another at ``bpm_per_min`` (its sign is ignored)."""
    if bpm_per_min == 0.0:
        raise ValueError("a ramp of 0 bpm per minute never arrives")
    duration_s = 60.0 * abs(to_bpm - from_bpm) / abs(bpm_per_min)
    return ((start_s, from_bpm), (start_s + duration_s, to_bpm))


class Heart:
    """Blood volume pulse and heart rate at any time, the same for the same seed."""

    def __init__(self, config: HeartConfig, seed: int) -> None:
        self.config = config
        rng = np.random.default_rng((seed, 11))
        points = config.profile or ((0.0, config.bpm),)
        self._point_s = np.array([point[0] for point in points], float)
        self._point_hz = np.array([point[1] for point in points], float) / 60.0
        steps_s = np.diff(self._point_s)
        means_hz = 0.5 * (self._point_hz[1:] + self._point_hz[:-1])
        self._point_turns = np.concatenate([[0.0], np.cumsum(steps_s * means_hz)])
        mean_hz = float(self._point_hz.mean())
        lf, hf = config.lf * mean_hz, config.hf * mean_hz
        self._mayer = SmoothNoise(rng, lf, 0.7 * config.lf_hz, 1.4 * config.lf_hz, terms=4)
        breath = config.breath_hz
        self._breath = SmoothNoise(rng, 0.6, 0.93 * breath, 1.07 * breath, terms=3)
        self._arrhythmia_gain = hf / 0.6
        # a sinusoid of period P and rms slope s has the rms s * P / (2 pi)
        period_min = rng.uniform(0.7, 3.0)
        drift_hz = config.drift_bpm_per_min * period_min / (2.0 * np.pi) / 60.0
        drift_hz = min(drift_hz, 0.12 * mean_hz)
        self._drift = SmoothNoise(rng, drift_hz, 1 / 66 / period_min, 1 / 54 / period_min, terms=1)
        self._phase = rng.uniform()
        # shape and height wander slowly from beat to beat
        self._shape_wander = SmoothNoise(rng, 0.25, 0.03, 0.5)
        self._height_wander = SmoothNoise(rng, 0.06, 0.03, 0.6)
        self._table_systole, self._table_notch = _tables(config)

    def bpm(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) seconds -> (N,) instantaneous heart rate in bpm."""
        times_s = np.asarray(times_s, float)
        return 60.0 * (self._base_hz(times_s) + self._modulation(times_s))

    def phase(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) seconds -> (N,) beats since some beginning; the fraction: place in the beat."""
        times_s = np.asarray(times_s, float)
        point_s, point_hz = self._point_s, self._point_hz
        index = np.clip(np.searchsorted(point_s, times_s, side="right") - 1, 0, len(point_s) - 1)
        since_s = times_s - point_s[index]
        rate_hz = self._base_hz(times_s)
        # before the first point the rate is held, so the trapezium is a rectangle there as well
        start_hz = np.where(since_s < 0.0, rate_hz, point_hz[index])
        turns = self._point_turns[index] + since_s * 0.5 * (start_hz + rate_hz)
        turns = turns + self._mayer.integral(times_s) + self._drift.integral(times_s)
        turns = turns + self._arrhythmia_gain * self._breath.integral(times_s)
        return turns + self._phase

    def bvp(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) seconds -> (N,) blood volume pulse: zero mean, about 1 from foot to peak.

        Rises with systole, as a finger clip's plethysmogram does; skin darkens when it rises.
        Without the breathing baseline: this is what a network should answer with.
        """
        times_s = np.asarray(times_s, float)
        place = (self.phase(times_s) % 1.0) * _TABLE
        index = place.astype(np.int64)
        weight = place - index
        after = (index + 1) % _TABLE
        systole, notch = self._table_systole, self._table_notch
        first = systole[index] + weight * (systole[after] - systole[index])
        second = notch[index] + weight * (notch[after] - notch[index])
        second = second * (1.0 + self._shape_wander(times_s))
        height = 1.0 + self.config.breath_amplitude * self.breath(times_s)
        return (first + second) * height * (1.0 + self._height_wander(times_s))

    def volume(self, times_s: np.ndarray) -> np.ndarray:
        """Blood volume with the breathing baseline: what skin shows."""
        return self.bvp(times_s) + self.config.breath_baseline * self.breath(times_s)

    def breath(self, times_s: np.ndarray) -> np.ndarray:
        """Breathing, about -1..1, in step with the respiratory arrhythmia."""
        return self._breath(np.asarray(times_s, float))

    def _base_hz(self, times_s: np.ndarray) -> np.ndarray:
        if len(self._point_s) == 1:
            return np.full(np.shape(times_s), self._point_hz[0])
        return np.interp(times_s, self._point_s, self._point_hz)

    def _modulation(self, times_s: np.ndarray) -> np.ndarray:
        rhythm = self._arrhythmia_gain * self._breath(times_s)
        return self._mayer(times_s) + rhythm + self._drift(times_s)


def _tables(config: HeartConfig) -> Tuple[np.ndarray, np.ndarray]:
    """Systolic and dicrotic wave over one beat; their sum has zero mean and unit height."""
    phase = np.arange(_TABLE) / _TABLE

    def wave(center: float, rise: float, fall: float) -> np.ndarray:
        total = np.zeros(_TABLE)
        for turn in (-1.0, 0.0, 1.0, 2.0):
            x = phase - center + turn - 0.5
            total += np.exp(-0.5 * (x / np.where(x < 0.0, rise, fall)) ** 2)
        return total

    center = 0.25
    systole = wave(center, config.systole, 1.6 * config.systole)
    notch = config.notch * wave(center + config.notch_delay, config.systole, 1.5 * config.systole)
    height = float(np.ptp(systole + notch))
    return (systole - systole.mean()) / height, (notch - notch.mean()) / height
