"""Counting the beats of a window."""

from __future__ import annotations

import numpy as np
import pytest

from hrd.estimate.spectrum import peak_hz, periodogram
from hrd.evaluation.counting import MARGIN_S, counted_bpm
from hrd.types import MODEL_FS_HZ


def wandering(seconds: float, low_bpm: float, high_bpm: float) -> np.ndarray:
    """(N,) wave whose rate runs evenly from one rate to the other."""
    time_s = np.arange(int(seconds * MODEL_FS_HZ)) / MODEL_FS_HZ
    rate_bpm = low_bpm + (high_bpm - low_bpm) * time_s / seconds
    beats = np.cumsum(rate_bpm) / 60.0 / MODEL_FS_HZ
    wave: np.ndarray = np.sin(2.0 * np.pi * beats) + 0.3 * np.sin(4.0 * np.pi * beats + 0.7)
    return wave


def test_a_steady_rate_is_counted_exactly() -> None:
    wave = wandering(14.0, 72.0, 72.0)
    counted = counted_bpm([(-MARGIN_S, wave)], 0.0, 10.0, 71.0)
    assert counted == pytest.approx(72.0, abs=0.05)


def test_beats_are_counted_where_the_rate_stays_longer_at_one_end() -> None:
    # 6 s at 66 bpm, then up to 96 within 4 s: most of the power lies at 66, the mean is 73
    time_s = np.arange(int(14.0 * MODEL_FS_HZ)) / MODEL_FS_HZ - MARGIN_S
    rate_bpm = np.interp(time_s, [6.0, 10.0, 12.0], [66.0, 96.0, 96.0])
    wave = np.sin(2.0 * np.pi * np.cumsum(rate_bpm) / 60.0 / MODEL_FS_HZ)
    inside = (time_s >= 0.0) & (time_s < 10.0)
    mean_bpm = float(rate_bpm[inside].mean())
    peak_bpm = 60.0 * peak_hz(periodogram(wave[inside], MODEL_FS_HZ))
    counted = counted_bpm([(-MARGIN_S, wave)], 0.0, 10.0, peak_bpm)
    assert abs(peak_bpm - mean_bpm) > 3.0
    assert counted == pytest.approx(mean_bpm, abs=0.5)


def test_a_long_window_follows_a_rate_that_leaves_the_low_pass() -> None:
    wave = wandering(64.0, 60.0, 80.0)
    counted = counted_bpm([(-MARGIN_S, wave)], 0.0, 60.0, 70.0)
    assert counted == pytest.approx(70.0, abs=0.4)


def test_a_hole_leaves_out_its_time_only() -> None:
    wave = wandering(10.0, 90.0, 90.0)
    counted = counted_bpm([(0.0, wave[:120]), (6.0, wave[180:])], 0.0, 10.0, 90.0)
    assert counted == pytest.approx(90.0, abs=1.0)


def test_silence_and_too_little_signal_are_no_count() -> None:
    assert counted_bpm([(0.0, np.zeros(300))], 0.0, 10.0, 70.0) is None
    assert counted_bpm([(0.0, np.ones(45))], 0.0, 10.0, 70.0) is None
    assert counted_bpm([], 0.0, 10.0, 70.0) is None


def test_an_error_of_an_octave_stays_one() -> None:
    wave = wandering(14.0, 60.0, 60.0)
    counted = counted_bpm([(-MARGIN_S, wave)], 0.0, 10.0, 120.0)
    assert counted == pytest.approx(120.0, abs=1.0)
