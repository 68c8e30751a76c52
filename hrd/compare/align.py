"""How far the reference's clock, and the reference itself, lag behind hrd's.

First by the rates: the lag at which hrd's readings and the reference's rate over the same seconds
differ by the same amount all the time. hrd's readings lag their own seconds a little: so, where
the reference has a pulse wave or beats, then by cross-correlation of these with hrd's wave near
that lag: beats come unevenly, and only one place fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np
from scipy.signal import butter, sosfiltfilt

from hrd.compare.said import Said
from hrd.compare.truth import BEATS, Truth
from hrd.errors import HrdError
from hrd.types import MODEL_FS_HZ, TRUTH_S

MAX_LAG_S = 10.0
BY_WAVES, BY_BEATS, BY_RATES, GIVEN = "pulse waves", "beats", "heart rates", "given"

_STEP_S = 0.05
_LEAST_READINGS = 15
_TRIM = 0.8  # share of the differences that count: hrd's errors must not move the clock
_WAVE_BAND_HZ = (0.7, 3.5)
_NEAR_S = 1.5  # waves are compared this near to the lag of the rates
_LEAST_R = 0.25


@dataclass(frozen=True)
class Lag:
    """Reference time = hrd time + ``lag_s``. ``by``: how it was found; ``r``: correlation of the
    two at that lag; ``sharp``: by how much their fit is better there than 1 s beside it, 0 to 1
    (under 0.1 the rates hardly told: the heart was too even). ``inverted``: the reference's wave
    falls where hrd's rises."""

    lag_s: float
    by: str
    r: Optional[float] = None
    sharp: Optional[float] = None
    inverted: bool = False


def shared_clock(said: Said, truth: Truth, max_lag_s: float) -> float:
    """What to add to hrd's times so that both begin at the same moment, where their times are not
    of one clock (a clip's seconds beside Unix seconds); else 0."""
    first_s, last_s = float(said.time_s[0]), float(said.time_s[-1])
    apart = first_s > truth.time_s[-1] + max_lag_s or last_s < truth.time_s[0] - max_lag_s
    if not apart:
        return 0.0
    if (first_s > 1e8) == (float(truth.time_s[0]) > 1e8):
        raise HrdError(
            "hrd's readings and the reference are of different times; give two recordings that "
            "were made together"
        )
    clip = first_s < 1e8  # which begins at zero, though its first reading comes later
    return float(truth.time_s[0]) - (0.0 if clip else first_s)


def find_lag(said: Said, truth: Truth, max_lag_s: float = MAX_LAG_S) -> Lag:
    """The lag within ``max_lag_s`` of zero. Raises ``HrdError`` if hrd said too little for it."""
    spoke = np.isfinite(said.bpm)
    if spoke.sum() < _LEAST_READINGS:
        raise HrdError(
            f"hrd said a heart rate only {int(spoke.sum())} times, too seldom to align the clocks; "
            "record for longer, or give --lag SECONDS"
        )
    lags_s = np.arange(-max_lag_s, max_lag_s + _STEP_S / 2, _STEP_S)
    time_s, bpm = said.time_s[spoke], said.bpm[spoke]
    spread = np.array([_spread(time_s, bpm, truth, lag_s) for lag_s in lags_s])
    if not np.isfinite(spread).any():
        raise HrdError(
            "the reference knows too little of the seconds in which hrd read; record again"
        )
    spread = np.where(np.isfinite(spread), spread, np.nanmax(spread))
    best = int(np.argmin(spread))
    lag_s = float(lags_s[best]) + _STEP_S * _bend(spread, best)
    wave = _by_waves(said, truth, lag_s, max_lag_s)
    if wave is not None:
        return wave
    beside = np.concatenate(
        [
            spread[max(best - 20, 0) : max(best - 19, 1)],
            spread[min(best + 20, len(spread) - 1) :][:1],
        ]
    ).min()
    other = truth.bpm(time_s + lag_s - TRUTH_S, time_s + lag_s)
    both = np.isfinite(other)
    r = None
    if both.sum() > 2 and other[both].std() > 0.0 and bpm[both].std() > 0.0:
        r = float(np.corrcoef(other[both], bpm[both])[0, 1])
    sharp = float(np.clip(1.0 - spread[best] / beside, 0.0, 1.0)) if beside > 0.0 else None
    return Lag(lag_s, BY_RATES, r, sharp)


def _spread(time_s: np.ndarray, bpm: np.ndarray, truth: Truth, lag_s: float) -> float:
    """Mean square of the smallest differences round their median; infinite where too few."""
    difference = bpm - truth.bpm(time_s + lag_s - TRUTH_S, time_s + lag_s)
    difference = difference[np.isfinite(difference)]
    if len(difference) < max(_LEAST_READINGS, 0.5 * len(bpm)):
        return float("inf")
    size = np.sort(np.abs(difference - np.median(difference)))
    return float((size[: max(3, int(_TRIM * len(size)))] ** 2).mean())


def _bend(values: np.ndarray, place: int) -> float:
    """Where between the samples the parabola through a lowest one has its bottom, -0.5 to 0.5."""
    if not 0 < place < len(values) - 1:
        return 0.0
    left, middle, right = values[place - 1 : place + 2]
    curve = left - 2.0 * middle + right
    return float(np.clip(0.5 * (left - right) / curve, -0.5, 0.5)) if curve > 0.0 else 0.0


def _by_waves(said: Said, truth: Truth, lag_s: float, max_lag_s: float) -> Optional[Lag]:
    """The lag at which the waves fit best; None where they are not there or do not fit."""
    if not said.wave or not truth.wave:
        return None
    start_s = min(said.wave[0][0], truth.wave[0][0] - max_lag_s)
    end_s = max(
        said.wave[-1][0] + len(said.wave[-1][2]) / said.wave[-1][1],
        truth.wave[-1][0] + len(truth.wave[-1][1]) / MODEL_FS_HZ,
    )
    count = int((end_s - start_s) * MODEL_FS_HZ) + 2
    if count > 20_000_000:
        return None
    mine = _laid_out([(at, fs, wave) for at, fs, wave in said.wave], start_s, count)
    theirs = _laid_out([(at, MODEL_FS_HZ, wave) for at, wave in truth.wave], start_s, count)
    shifts = np.arange(
        int(np.floor((lag_s - _NEAR_S) * MODEL_FS_HZ)), int((lag_s + _NEAR_S) * MODEL_FS_HZ) + 2
    )
    r = np.array([_correlation(mine, theirs, int(shift)) for shift in shifts])
    known = np.isfinite(r)
    if not known.any():
        return None
    # devices differ in which way their wave points; half a beat off, the wrong way fits worse than
    # the right way in its place, since beats are neither even nor symmetric
    inverted = truth.kind != BEATS and bool(-np.nanmin(r) > np.nanmax(r))
    fit = np.where(known, -r if inverted else r, -1.0)
    best = int(np.argmax(fit))
    if fit[best] < _LEAST_R:
        return None
    found_s = (shifts[best] + _bend(-fit, best)) / MODEL_FS_HZ
    by = BY_BEATS if truth.kind == BEATS else BY_WAVES
    return Lag(float(found_s), by, float(fit[best]), inverted=inverted)


def _laid_out(
    parts: Sequence[Tuple[float, float, np.ndarray]], start_s: float, count: int
) -> np.ndarray:
    """Stretches of wave on one 30 Hz grid, band-passed; NaN between them."""
    grid = np.full(count, np.nan)
    for at_s, fs_hz, wave in _joined(parts):
        first = int(np.ceil((at_s - start_s) * MODEL_FS_HZ - 1e-6))
        last = int(np.floor((at_s + (len(wave) - 1) / fs_hz - start_s) * MODEL_FS_HZ))
        places = np.arange(max(first, 0), min(last + 1, count))
        if len(places) < 3.0 * MODEL_FS_HZ:
            continue
        values = np.interp(
            start_s + places / MODEL_FS_HZ, at_s + np.arange(len(wave)) / fs_hz, wave
        )
        sos = butter(2, _WAVE_BAND_HZ, "bandpass", fs=MODEL_FS_HZ, output="sos")
        values = sosfiltfilt(sos, values - values.mean())
        grid[places] = values / max(float(values.std()), 1e-9)
    return grid


def _joined(
    parts: Sequence[Tuple[float, float, np.ndarray]],
) -> Sequence[Tuple[float, float, np.ndarray]]:
    """Chunks that follow each other as one stretch."""
    joined: List[Tuple[float, float, np.ndarray]] = []
    for at_s, fs_hz, wave in parts:
        if joined:
            before_s, before_hz, before = joined[-1]
            if abs(before_s + len(before) / before_hz - at_s) < 1.5 / fs_hz and fs_hz == before_hz:
                joined[-1] = (before_s, before_hz, np.concatenate([before, wave]))
                continue
        joined.append((at_s, fs_hz, wave))
    return joined


def _correlation(mine: np.ndarray, theirs: np.ndarray, shift: int) -> float:
    """Pearson's r of my sample k and their sample k + shift; NaN where too few are in both."""
    if shift >= 0:
        a, b = mine[: len(mine) - shift], theirs[shift:]
    else:
        a, b = mine[-shift:], theirs[: len(theirs) + shift]
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 10.0 * MODEL_FS_HZ:
        return float("nan")
    return float(np.corrcoef(a[both], b[both])[0, 1])
