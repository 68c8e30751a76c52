"""The simulated heart beats at the rate it claims."""

import numpy as np
import pytest

from hrd.sim.pulse import Heart, HeartConfig, ramp, step

FS_HZ = 30.0


def periodogram_bpm(signal: np.ndarray, fs_hz: float = FS_HZ) -> float:
    spectrum = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), 1 << 19))
    freqs_hz = np.fft.rfftfreq(1 << 19, 1.0 / fs_hz)
    band = (freqs_hz > 0.5) & (freqs_hz < 4.0)
    return float(60.0 * freqs_hz[band][np.argmax(spectrum[band])])


@pytest.mark.parametrize("bpm", [40.0, 72.0, 113.0, 180.0, 220.0])
def test_an_even_heart_has_its_rate_in_its_spectrum(bpm: float) -> None:
    heart = Heart(HeartConfig(bpm=bpm, lf=0.0, hf=0.0), seed=4)
    times_s = np.arange(1800) / FS_HZ
    assert periodogram_bpm(heart.bvp(times_s)) == pytest.approx(bpm, abs=0.2)
    np.testing.assert_allclose(heart.bpm(times_s), bpm)


@pytest.mark.parametrize("seed", range(4))
def test_beats_counted_are_the_rate_integrated(seed: int) -> None:
    heart = Heart(HeartConfig(bpm=75.0, lf=0.03, hf=0.04, drift_bpm_per_min=8.0), seed)
    times_s = np.linspace(-20.0, 200.0, 220_001)
    rate_hz = heart.bpm(times_s) / 60.0
    turns = np.concatenate([[0.0], np.cumsum(0.5 * (rate_hz[1:] + rate_hz[:-1]))]) * 1e-3
    np.testing.assert_allclose(heart.phase(times_s) - heart.phase(times_s)[0], turns, atol=1e-4)
    assert rate_hz.std() * 60.0 > 1.5  # it is no metronome


def test_a_step_and_a_ramp() -> None:
    stepped = Heart(HeartConfig(profile=step(70.0, 90.0, 10.0), lf=0.0, hf=0.0), 0)
    assert stepped.bpm(np.array([9.999, 10.0])).tolist() == pytest.approx([70.0, 90.0])
    before, at, after = stepped.phase(np.array([4.0, 10.0, 16.0]))
    assert at - before == pytest.approx(7.0)
    assert after - at == pytest.approx(9.0)
    ramped = Heart(HeartConfig(profile=ramp(70.0, 100.0, 5.0, 30.0), lf=0.0, hf=0.0), 0)
    times_s = np.array([0.0, 5.0, 35.0, 65.0, 90.0])
    assert ramped.bpm(times_s).tolist() == pytest.approx([70.0, 70.0, 85.0, 100.0, 100.0])
    assert np.diff(ramped.phase(np.array([5.0, 65.0])))[0] == pytest.approx(85.0)


def test_the_same_whatever_is_asked_first() -> None:
    config = HeartConfig(bpm=66.0, lf=0.03, hf=0.03)
    times_s = np.arange(300) / FS_HZ
    together = Heart(config, 9).volume(times_s)
    one_by_one = [float(Heart(config, 9).volume(times_s[k : k + 1])[0]) for k in (0, 99, 299)]
    np.testing.assert_allclose(together[[0, 99, 299]], one_by_one)
    assert not np.allclose(together, Heart(config, 10).volume(times_s))


def test_the_pulse_rises_faster_than_it_falls() -> None:
    slope = np.diff(Heart(HeartConfig(bpm=60.0, lf=0.0, hf=0.0), 1).bvp(np.arange(0, 30, 0.01)))
    assert slope.max() > -1.3 * slope.min()


def test_beats_beside_their_time_are_still_the_rate_integrated() -> None:
    heart = Heart(HeartConfig(bpm=75.0, jitter=0.03, early_beats=0.1), 3)
    times_s = np.linspace(-10.0, 50.0, 600_001)
    turns = np.concatenate([[0.0], np.cumsum(heart.bpm(times_s)[:-1] / 60.0)]) * 1e-4
    phase = heart.phase(times_s)
    assert np.all(np.diff(phase) > 0.0)
    np.testing.assert_allclose(phase - phase[0], turns, atol=2e-3)
    even = Heart(HeartConfig(bpm=75.0), 3).phase(times_s)
    assert np.abs(phase - even).max() < 1.0  # no beat is lost or added


def test_an_early_beat_is_weak_and_followed_by_a_pause() -> None:
    heart = Heart(HeartConfig(bpm=60.0, lf=0.0, hf=0.0, early_beats=0.05), 2)
    times_s = np.arange(0.0, 120.0, 0.002)
    intervals_s = np.diff(times_s[1:][np.diff(np.floor(heart.phase(times_s))) > 0])
    early = np.flatnonzero(intervals_s < 0.85)
    assert 2 <= len(early) <= 12
    for k in early[early + 1 < len(intervals_s)]:
        assert intervals_s[k] + intervals_s[k + 1] == pytest.approx(2.0, abs=0.01)
        assert 0.55 < intervals_s[k] < 0.85
    others = np.delete(intervals_s, np.concatenate([early, early + 1])[:-1])
    assert np.median(others) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("bpm", [10.0, 300.0])
def test_impossible_rates_are_refused(bpm: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        HeartConfig(bpm=bpm)


def test_a_profile_must_run_forwards() -> None:
    with pytest.raises(ValueError, match="must not fall"):
        HeartConfig(profile=((5.0, 70.0), (1.0, 80.0)))
    with pytest.raises(ValueError, match="never arrives"):
        ramp(70.0, 80.0, 0.0, 0.0)
