"""The heart: beats with natural variability, and the blood volume pulse they make in skin.

Integral pulse frequency modulation: the instantaneous rate is the mean rate plus a Mayer wave
(LF, about 0.1 Hz), the respiratory sinus arrhythmia (HF, at the breathing rate) and a slow
drift; its integral is the phase, and every whole turn of the phase is one beat (Mateo & Laguna
2000). Single beats may come early, with a compensatory pause, and every beat a little beside its
time. The pulse's shape is a systolic and a dicrotic Gaussian over the phase.
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
    ``jitter``: standard deviation of a beat's own time, in beats. ``early_beats``: share of beats
    that come 0.18 to 0.4 beats early, weakly, and are followed by a pause until the next regular
    one. ``notch_wander``, ``height_wander``, ``width_wander``: rms of the slow changes of the
    dicrotic wave, of the height, and of how narrow the systolic wave is, relative.
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
    jitter: float = 0.0
    early_beats: float = 0.0
    notch_wander: float = 0.25
    height_wander: float = 0.06
    width_wander: float = 0.0

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
        self._notch_wander = SmoothNoise(rng, config.notch_wander, 0.03, 0.5)
        self._height_wander = SmoothNoise(rng, config.height_wander, 0.03, 0.6)
        self._width_wander = SmoothNoise(rng, config.width_wander, 0.03, 0.5)
        self._beats = _Beats(config.jitter, config.early_beats, int(rng.integers(1 << 62)))
        self._table_systole, self._table_notch, self._table_narrow = _tables(config)

    def bpm(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) seconds -> (N,) instantaneous heart rate in bpm."""
        times_s = np.asarray(times_s, float)
        bpm = 60.0 * (self._base_hz(times_s) + self._modulation(times_s))
        return bpm if self._beats.even else bpm * self._beats.at(self._turns(times_s))[1]

    def phase(self, times_s: np.ndarray) -> np.ndarray:
        """(N,) seconds -> (N,) beats since some beginning; the fraction: place in the beat."""
        turns = self._turns(np.asarray(times_s, float))
        return turns if self._beats.even else self._beats.at(turns)[0]

    def _turns(self, times_s: np.ndarray) -> np.ndarray:
        """The phase of a heart whose every beat is on time."""
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
        phase = self.phase(times_s)
        place = (phase % 1.0) * _TABLE
        index = place.astype(np.int64)
        weight = place - index
        after = (index + 1) % _TABLE

        def wave(table: np.ndarray) -> np.ndarray:
            return table[index] + weight * (table[after] - table[index])

        total = wave(self._table_systole)
        total = total + wave(self._table_notch) * (1.0 + self._notch_wander(times_s))
        if self.config.width_wander > 0.0:
            total = total + wave(self._table_narrow) * self._width_wander(times_s)
        height = 1.0 + self.config.breath_amplitude * self.breath(times_s)
        height = height * (1.0 + self._height_wander(times_s))
        return total * height if self._beats.even else total * height * self._beats.height(phase)

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


class _Beats:
    """Where single beats fall beside their time, told by their number alone.

    Beat k of an even heart begins at phase k; here it begins at ``k + d(k)``, and the phase runs
    evenly from one beginning to the next.
    """

    def __init__(self, jitter: float, early_share: float, seed: int) -> None:
        self.even = jitter == 0.0 and early_share == 0.0
        self._jitter = jitter
        self._early_share = early_share
        self._seed = np.uint64(seed)

    def at(self, turns: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(N,) even phase -> (N,) phase, and (N,) how many times as fast it runs."""
        beat = np.floor(turns).astype(np.int64)
        begins = [beat + k + self._shift(beat + k) for k in (-1, 0, 1, 2)]
        later = (turns >= begins[1]).astype(np.int64) + (turns >= begins[2])
        begin = np.choose(later, begins[:3])
        speed = 1.0 / (np.choose(later, begins[1:]) - begin)
        return beat - 1 + later + (turns - begin) * speed, speed

    def height(self, phase: np.ndarray) -> np.ndarray:
        """(N,) phase -> (N,) relative height: an early beat is weak, the one after it strong."""
        place = phase - 0.3  # heights belong to the systolic peaks
        beat = np.floor(place).astype(np.int64)
        weight = place - beat
        first, second = self._height(beat), self._height(beat + 1)
        return first + weight * (second - first)

    def _height(self, beat: np.ndarray) -> np.ndarray:
        early, depth = self._early(beat)
        after, _ = self._early(beat - 1)
        return 1.0 - np.where(early, 0.2 + 0.5 * depth, 0.0) + 0.15 * after

    def _early(self, beat: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Whether a beat is an early one, and how early, 0..1."""
        chance, depth = self._draw(beat, 0)
        before, _ = self._draw(beat - 1, 0)
        return (chance < self._early_share) & (before >= self._early_share), depth

    def _shift(self, beat: np.ndarray) -> np.ndarray:
        first, second = self._draw(beat, 1)
        normal = np.sqrt(-2.0 * np.log(first + 1e-12)) * np.cos(2.0 * np.pi * second)
        early, depth = self._early(beat)
        return np.clip(self._jitter * normal, -0.15, 0.15) - early * (0.18 + 0.22 * depth)

    def _draw(self, beat: np.ndarray, what: int) -> Tuple[np.ndarray, np.ndarray]:
        """Two uniform numbers in 0..1 for each beat (SplitMix64, Steele et al. 2014)."""
        z = (2 * beat + what).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + self._seed
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        return (z >> np.uint64(32)) / 2.0**32, (z & np.uint64(0xFFFFFFFF)) / 2.0**32


def _tables(config: HeartConfig) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Systolic and dicrotic wave over one beat, whose sum has zero mean and unit height, and what
    must be added to the systolic one to make it narrower."""
    phase = np.arange(_TABLE) / _TABLE

    def wave(center: float, rise: float, fall: float) -> np.ndarray:
        total = np.zeros(_TABLE)
        for turn in (-1.0, 0.0, 1.0, 2.0):
            x = phase - center + turn - 0.5
            total += np.exp(-0.5 * (x / np.where(x < 0.0, rise, fall)) ** 2)
        return total

    center = 0.25
    systole = wave(center, config.systole, 1.6 * config.systole)
    narrow = wave(center, 0.7 * config.systole, 1.12 * config.systole) - systole
    notch = config.notch * wave(center + config.notch_delay, config.systole, 1.5 * config.systole)
    height = float(np.ptp(systole + notch))
    return tuple((table - table.mean()) / height for table in (systole, notch, narrow))
