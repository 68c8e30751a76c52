"""Beats in a contact sensor's wave, against beats that are known."""

from __future__ import annotations

import numpy as np
import pytest

from hrd.evaluation.beats import beat_times, mean_rate_bpm
from hrd.evaluation.recording import Reference, ReferenceRate
from hrd.sim.pulse import Heart, HeartConfig

FS_HZ = 60.0


@pytest.mark.parametrize("bpm", [48.0, 75.0, 110.0, 165.0])
def test_every_beat_of_a_lively_heart_is_found(bpm: float) -> None:
    heart = Heart(HeartConfig(bpm=bpm, lf=0.04, hf=0.04, notch=0.5), 3)
    times_s = np.arange(int(60 * FS_HZ)) / FS_HZ
    beats_s = beat_times(heart.bvp(times_s), FS_HZ)
    phase = heart.phase(times_s)
    assert len(beats_s) == pytest.approx(phase[-1] - phase[0], abs=1.5)
    for start_s in range(5, 50, 5):
        counted = mean_rate_bpm(beats_s, start_s, start_s + 8.0)
        assert counted is not None
        turns = np.interp([start_s, start_s + 8.0], times_s, phase)
        assert counted == pytest.approx(60.0 * (turns[1] - turns[0]) / 8.0, abs=1.5)


def test_parts_of_intervals_count() -> None:
    beats_s = np.arange(0.0, 20.0, 0.8)  # 75 bpm
    for start_s in (2.0, 2.3, 2.71):
        assert mean_rate_bpm(beats_s, start_s, start_s + 8.0) == pytest.approx(75.0)


def test_nothing_is_said_of_what_was_not_recorded() -> None:
    beats_s = np.arange(0.0, 20.0, 0.8)
    assert mean_rate_bpm(beats_s, 15.0, 23.0) is None
    assert mean_rate_bpm(beats_s[:2], 0.0, 1.0) is None
    assert len(beat_times(np.zeros(600), FS_HZ)) == 0
    assert len(beat_times(np.random.default_rng(0).normal(size=100), FS_HZ)) == 0


def test_the_truth_of_a_wave_and_of_a_rate_is_the_same() -> None:
    times_s = np.arange(int(40 * FS_HZ)) / FS_HZ
    heart = Heart(HeartConfig(bpm=80.0, lf=0.05, hf=0.03), 1)
    wave = Reference(bvp=heart.bvp(times_s), bvp_time_s=times_s)
    rate = Reference(bpm=heart.bpm(times_s), bpm_time_s=times_s)
    for end_s in (12.0, 20.0, 35.0):
        by_wave = ReferenceRate(wave, "bvp").beats_bpm(end_s - 8.0, end_s)
        by_rate = ReferenceRate(rate, "rate").beats_bpm(end_s - 8.0, end_s)
        assert by_wave == pytest.approx(by_rate, abs=1.5)
