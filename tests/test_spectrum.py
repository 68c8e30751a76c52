from __future__ import annotations

import numpy as np
import pytest

from hrd.estimate.bartlett import MeanSpectrum
from hrd.estimate.spectrum import peak_hz, periodogram, rate_score, snr_db

FS = 30.0


def sine(bpm: float, seconds: float, phase: float = 0.3) -> np.ndarray:
    t = np.arange(int(seconds * FS)) / FS
    return np.sin(2 * np.pi * bpm / 60.0 * t + phase)


@pytest.mark.parametrize("bpm", [45.0, 53.1, 72.0, 99.7, 140.3, 180.0, 220.0])
@pytest.mark.parametrize("seconds", [8.0, 12.0])
def test_a_sine_is_read_within_half_a_bpm(bpm: float, seconds: float) -> None:
    assert 60.0 * peak_hz(periodogram(sine(bpm, seconds), FS)) == pytest.approx(bpm, abs=0.5)


def test_resolution_is_finer_than_a_fifth_of_a_bpm() -> None:
    read = [60 * peak_hz(periodogram(sine(bpm, 12), FS)) for bpm in np.arange(72, 73, 0.1)]
    assert np.all(np.diff(read) > 0)
    assert max(np.diff(read)) < 0.2


def test_a_sine_explains_all_the_variance_and_noise_little() -> None:
    spectrum = periodogram(sine(72, 12), FS)
    assert spectrum.power.max() == pytest.approx(1.0, abs=0.05)
    noise = np.random.default_rng(0).standard_normal(360)
    assert periodogram(noise, FS).power.max() < 0.25


def test_a_drifting_baseline_does_not_hide_the_pulse() -> None:
    t = np.arange(360) / FS
    spectrum = periodogram(sine(60, 12) + 20 * t, FS)
    assert 60 * peak_hz(spectrum) == pytest.approx(60, abs=0.5)


def test_silence_gives_an_empty_spectrum() -> None:
    spectrum = periodogram(np.zeros(300), FS)
    assert not spectrum.power.any()
    assert snr_db(spectrum, 1.2) == -40.0


def test_too_little_signal_is_refused_with_its_length() -> None:
    with pytest.raises(ValueError, match="59 samples"):
        periodogram(np.zeros(59), FS)


def test_peak_outside_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="no grid point"):
        peak_hz(periodogram(sine(72, 8), FS), 20.0, 30.0)


def test_snr_rises_with_the_signal() -> None:
    noise = np.random.default_rng(1).standard_normal(360)
    levels = [snr_db(periodogram(a * sine(72, 12) + noise, FS), 1.2) for a in (0.5, 1.0, 4.0)]
    assert levels == sorted(levels)
    assert levels[0] < 5.0 < levels[-1]


def test_strong_harmonic_does_not_double_the_rate() -> None:
    pulse = sine(46, 12) + 1.1 * sine(92, 12, 1.0)
    grid = np.arange(42.0, 240.0, 0.5)
    score, _ = rate_score(periodogram(pulse, FS), grid)
    assert grid[np.argmax(score)] == pytest.approx(46, abs=1.5)


def test_missing_fundamental_does_not_halve_the_rate() -> None:
    grid = np.arange(42.0, 240.0, 0.5)
    score, _ = rate_score(periodogram(sine(120, 12), FS), grid)
    assert grid[np.argmax(score)] == pytest.approx(120, abs=1.0)


def test_the_spectrum_is_scipys_own():
    from scipy.signal import welch

    rng = np.random.default_rng(3)
    signal = rng.normal(size=331) + 0.01 * np.arange(331)
    ours = periodogram(signal, 30.0)
    points = 2 * (len(ours.power) - 1)
    frequency, power = welch(
        signal, 30.0, "boxcar", 331, 0, points, detrend="linear", scaling="spectrum"
    )
    np.testing.assert_allclose(ours.frequency_hz, frequency, atol=1e-9)
    inside = (frequency > 0.5) & (frequency < 6.0)
    share = ours.power[inside] / power[inside]
    np.testing.assert_allclose(share, share[0], rtol=1e-6)


def test_one_segment_errs_less_than_three_averaged():
    # why the spectrum is a periodogram; the full table: python tools/segments.py
    from tools.segments import WAYS, errors_bpm

    mae = dict(zip(WAYS, errors_bpm(150, 6.0, 0.0).mean(axis=1)))
    assert mae["1, boxcar"] == min(mae.values())


def test_pieces_of_a_long_signal_share_one_spectrum():
    # 72 bpm in a long piece, 90 in a short one, silence in a third: length decides
    mean = MeanSpectrum()
    assert mean.mean() is None
    mean.add(periodogram(sine(72, 40), FS))
    mean.add(periodogram(np.zeros(600), FS))
    spectrum = mean.mean(unfinished=periodogram(sine(90, 15), FS))
    assert spectrum is not None
    assert spectrum.duration_s == pytest.approx(55.0)
    at_72, at_90 = spectrum.at(np.array([1.2, 1.5]))
    assert at_72 / at_90 == pytest.approx(40.0 / 15.0, rel=0.05)
    alone = mean.mean()
    assert alone is not None
    assert 60 * peak_hz(alone) == pytest.approx(72, abs=0.2)
