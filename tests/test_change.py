"""The detector of sudden changes of the rate, alone and in the estimator."""

from __future__ import annotations

import numpy as np
import pytest

from hrd.estimate.change import ChangeConfig, ChangeDetector
from hrd.estimate.confidence import load_calibration
from hrd.estimate.estimator import HeartRateEstimator
from hrd.estimate.spectrum import Spectrum, periodogram
from hrd.types import PulseChunk

FS_HZ = 30.0


def wave(bpm: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """A pulse of the given rate at each sample, of unit power, in white noise."""
    phase = 2.0 * np.pi * np.cumsum(bpm) / 60.0 / FS_HZ
    rng = np.random.default_rng(seed)
    return np.sqrt(2.0) * np.sin(phase) + noise * rng.normal(size=len(bpm))


def spectrum_of(bpm: float, seconds: float = 5.0) -> Spectrum:
    return periodogram(wave(np.full(int(seconds * FS_HZ), bpm)), FS_HZ)


def test_a_change_is_believed_when_it_is_said_twice() -> None:
    detector = ChangeDetector()
    assert not detector.changed(spectrum_of(92.0), 72.0)
    assert detector.changed(spectrum_of(92.0), 72.0)


def test_what_is_said_once_or_differently_is_not_believed() -> None:
    detector = ChangeDetector()
    for bpm in (92.0, 72.0, 110.0, 92.0, 110.0):
        assert not detector.changed(spectrum_of(bpm), 72.0)


@pytest.mark.parametrize("bpm", [68.0, 72.0, 78.0])
def test_what_may_be_the_same_rate_is_no_change(bpm: float) -> None:
    detector = ChangeDetector()
    assert not any(detector.changed(spectrum_of(bpm), 72.0) for _ in range(3))


def seconds_to_follow(change: ChangeConfig, after_bpm: float) -> float:
    """From a step at 20 s until the estimate stays within 5 bpm."""
    bpm = np.where(np.arange(int(40 * FS_HZ)) < 20 * FS_HZ, 80.0, after_bpm)
    signal = wave(bpm, noise=0.5).astype(np.float32)
    estimator = HeartRateEstimator(load_calibration("onnx"), change=change)
    off_s = 0.0
    for start in range(0, len(signal), 30):
        estimator.push(PulseChunk(start / FS_HZ, FS_HZ, signal[start : start + 30]))
        estimate = estimator.estimate()
        end_s = start / FS_HZ + 1.0
        if end_s > 20.0 and estimate is not None and abs(estimate.bpm - after_bpm) > 5.0:
            off_s = end_s
    return off_s + 1.0 - 20.0


@pytest.mark.parametrize("after_bpm", [60.0, 100.0])
def test_a_step_is_followed_sooner(after_bpm: float) -> None:
    never = ChangeConfig(least_nats=1e9)
    assert seconds_to_follow(ChangeConfig(), after_bpm) < seconds_to_follow(never, after_bpm)
    assert seconds_to_follow(ChangeConfig(), after_bpm) <= 5.0


@pytest.mark.parametrize("bpm", [50.0, 72.0, 150.0])
def test_a_steady_rate_in_noise_keeps_its_long_window(bpm: float) -> None:
    signal = wave(np.full(int(60 * FS_HZ), bpm), noise=1.5, seed=int(bpm)).astype(np.float32)
    estimator = HeartRateEstimator(load_calibration("onnx"))
    windows = []
    for start in range(0, len(signal), 30):
        estimator.push(PulseChunk(start / FS_HZ, FS_HZ, signal[start : start + 30]))
        windows.append(estimator.window_s)
    assert min(windows[12:]) == pytest.approx(12.0)
