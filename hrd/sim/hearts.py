"""Hearts as people have them: how lively a drawn heart is, at rest and after effort.

The ranges were set so that waves of rates between 75 and 122 bpm have the statistics of contact
waves of 42 people (``CONTACT_WAVES``; ``hrd.sim.variability`` measures both): how much the beat
intervals vary, how fast the mean rate moves, how strong the second harmonic is.
"""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np

from hrd.sim.pulse import HeartConfig

CONTACT_WAVES: Dict[str, Tuple[float, float, float]] = {
    "sdnn_ms": (29.0, 48.0, 65.0),
    "rmssd_ms": (32.0, 42.0, 77.0),
    "second_harmonic": (0.12, 0.23, 0.42),
    "one_sinusoid": (0.32, 0.55, 0.70),
}
"""10th, 50th and 90th percentile over contact waves of 42 people with rates of 75 to 122 bpm."""

CONTACT_MOVES = (0.36, 0.15)
"""Of the same waves, shares of the time in which the mean rate of 4 s changes by more than 5 bpm
within 5 s and by more than 10 within 10 s, mean over people."""

_BREATH_HZ = (0.15, 0.42)


def sample_heart(
    rng: np.random.Generator, bpm_range: Tuple[float, float], seconds: float
) -> HeartConfig:
    """A random heart whose rate is log-uniform in ``bpm_range``; runs and jumps of the rate lie
    within the first ``seconds``."""
    bpm = _log_uniform(rng, *bpm_range)
    # breathing moves a slow heart more than a fast one (vagal tone falls with effort)
    calm = float(np.clip((95.0 / bpm) ** 1.2, 0.25, 1.15))
    lively = float(np.exp(rng.normal(0.0, 0.15)))
    spared = rng.random() < 0.06  # age, medicine: a heart that hardly varies
    scale = 0.4 if spared else lively
    soft = float(np.clip((bpm / 85.0) ** 0.8, 0.8, 1.8))  # the upstroke's share of the beat
    return HeartConfig(
        bpm=bpm,
        profile=_sample_profile(rng, bpm, bpm_range, seconds),
        lf=scale * min(1.0, calm) ** 0.5 * _log_uniform(rng, 0.028, 0.052),
        hf=min(0.09, scale * calm * _log_uniform(rng, 0.018, 0.05)),
        lf_hz=float(rng.uniform(0.045, 0.12)),
        drift_bpm_per_min=float(rng.choice([rng.uniform(0.0, 12.0), rng.uniform(10.0, 35.0)]))
        * float(np.clip(bpm / 85.0, 0.5, 1.0)),
        breath_hz=float(rng.uniform(*_BREATH_HZ)),
        breath_amplitude=float(rng.uniform(0.0, 0.3)),
        breath_baseline=float(rng.uniform(0.0, 0.5)),
        notch=float(rng.uniform(0.2, 0.4)),
        systole=float(rng.uniform(0.07, 0.09)) * soft,
        notch_delay=float(rng.uniform(0.28, 0.42)),
        # a few hundredths of a second, whatever the rate
        jitter=_log_uniform(rng, 0.014, 0.023) * bpm / 60.0,
        early_beats=float(rng.choice([0.0, rng.uniform(0.005, 0.04)], p=[0.88, 0.12])),
        notch_wander=float(rng.uniform(0.1, 0.5)),
        height_wander=float(rng.uniform(0.04, 0.15)),
        width_wander=float(rng.uniform(0.0, 0.25)),
    )


def _sample_profile(
    rng: np.random.Generator, bpm: float, bpm_range: Tuple[float, float], seconds: float
) -> Tuple[Tuple[float, float], ...]:
    """One heart in four run or jump by up to 25 bpm; a fast one falls back as after effort."""
    if rng.random() >= 0.25:
        return ()
    at_s = float(rng.uniform(0.0, max(0.85 * seconds, 1.0)))
    by_bpm = float(rng.uniform(-25.0, 25.0))
    if bpm > 110.0:
        by_bpm = -abs(by_bpm)
    other = float(np.clip(bpm + by_bpm, *bpm_range))
    # from a start within two seconds to half a minute, most of them quick
    return ((at_s, bpm), (at_s + _log_uniform(rng, 1.0, 30.0), other))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
