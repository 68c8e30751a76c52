from __future__ import annotations

from typing import List, Optional

import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.estimate.confidence import FEATURES, Calibration, Evidence, load_calibration
from hrd.estimate.estimator import Estimate, EstimatorConfig, HeartRateEstimator
from hrd.estimate.ridge import NEAR_BPM, RidgeTracker
from hrd.estimate.spectrum import welch_spectrum
from hrd.estimate.whole import WholeClip
from hrd.types import PulseChunk

FS = 30.0
CALIBRATION = Calibration((1.0,) + (0.0,) * (len(FEATURES) - 1), 0.0)
GOOD = Evidence(0.99, 8.0, 12.0, pos_share=0.6, motion_share=0.05, motion_px=0.02)
BAD = Evidence(0.3, -6.0, 12.0, pos_share=0.05, motion_share=0.6, motion_px=0.3)


def beat(bpm: np.ndarray) -> np.ndarray:
    """A pulse of that rate at every sample."""
    phase = 2 * np.pi * np.cumsum(bpm / 60.0) / FS
    return (np.sin(phase) + 0.3 * np.sin(2 * phase + 1.0)).astype(np.float32)


def feed(estimator: HeartRateEstimator, bvp: np.ndarray) -> List[Optional[Estimate]]:
    estimates = []
    for start in range(0, len(bvp), 30):
        estimator.push(PulseChunk(start / FS, FS, bvp[start : start + 30]))
        estimates.append(estimator.estimate())
    return estimates


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def test_a_steady_pulse_in_noise_is_read_and_trusted() -> None:
    last = feed(HeartRateEstimator(CALIBRATION), beat(np.full(600, 77.3)) + noise(600))[-1]
    assert last is not None
    assert last.bpm == pytest.approx(77.3, abs=1.0)
    assert last.confidence > 0.95


def test_nothing_is_said_before_the_shortest_window_is_full() -> None:
    estimates = feed(
        HeartRateEstimator(CALIBRATION, EstimatorConfig(min_window_s=5.0)), beat(np.full(300, 70.0))
    )
    assert [estimate is None for estimate in estimates[:6]] == [True] * 4 + [False] * 2


def test_pure_noise_is_not_trusted() -> None:
    trusted = 0
    for seed in range(10):
        estimates = feed(HeartRateEstimator(CALIBRATION), noise(900, seed))[8:]
        trusted += sum(e is not None and e.confidence > 0.8 for e in estimates)
    assert trusted <= 0.05 * 10 * 22


def test_silence_gives_no_estimate() -> None:
    assert feed(HeartRateEstimator(CALIBRATION), np.zeros(450, np.float32))[-1] is None


def test_a_step_of_the_rate_is_followed() -> None:
    bpm = np.where(np.arange(1500) < 750, 70.0, 90.0)
    estimates = feed(HeartRateEstimator(CALIBRATION), beat(bpm) + 0.3 * noise(1500))
    before, after = estimates[24], estimates[-1]
    assert before is not None
    assert before.bpm == pytest.approx(70.0, abs=2.0)
    assert after is not None
    assert after.bpm == pytest.approx(90.0, abs=2.0)


def test_one_bad_window_does_not_drag_the_reading_away() -> None:
    tracker = RidgeTracker()
    good = welch_spectrum(beat(np.full(360, 70.0)), FS)
    bad = welch_spectrum(
        0.9 * beat(np.full(360, 150.0)) + beat(np.full(360, 70.0)) + 0.5 * noise(360), FS
    )
    for _ in range(5):
        tracker.update(good, 1.0)
    assert tracker.update(bad, 1.0).bpm == pytest.approx(70.0, abs=NEAR_BPM)


def test_reset_forgets() -> None:
    estimator = HeartRateEstimator(CALIBRATION)
    feed(estimator, beat(np.full(600, 70.0)))
    estimator.reset()
    assert estimator.estimate() is None
    last = feed(estimator, beat(np.full(450, 120.0)))[-1]
    assert last is not None
    assert last.bpm == pytest.approx(120.0, abs=1.0)


def test_whole_clip_averages_segments_and_skips_holes() -> None:
    whole = WholeClip()
    assert whole.bpm() is None
    bvp = beat(np.full(5400, 66.0)) + noise(5400)
    for start in range(0, 5400, 30):
        hole_s = 10.0 if start >= 2700 else 0.0
        whole.push(PulseChunk(start / FS + hole_s, FS, bvp[start : start + 30]))
    assert whole.bpm() == pytest.approx(66.0, abs=0.5)


def test_whole_clip_holds_a_minute_of_signal_at_most() -> None:
    whole = WholeClip()
    for start in range(0, 30 * 600, 30):
        whole.push(PulseChunk(start / FS, FS, np.ones(30, np.float32)))
        assert whole._count <= 60 * FS


def test_confidence_is_a_probability_and_grows_with_the_evidence() -> None:
    low = CALIBRATION.confidence(BAD.features())
    high = CALIBRATION.confidence(GOOD.features())
    assert 0.0 < low < 0.5 < high < 1.0
    with pytest.raises(ValueError, match="6 features for 7"):
        CALIBRATION.confidence(GOOD.features()[:-1])
    assert len(GOOD.features()) == len(FEATURES)


def test_witnesses_are_heard() -> None:
    t = np.arange(450) / FS
    nod = np.column_stack([np.zeros(450), np.sin(2 * np.pi * 1.5 * t)]).astype(np.float32)
    seen = []
    for motion in (np.zeros((450, 2), np.float32), nod):
        estimator = HeartRateEstimator(CALIBRATION)
        for start in range(0, 450, 30):
            part = slice(start, start + 30)
            pos = PulseChunk(start / FS, FS, beat(np.full(450, 90.0))[part])
            estimator.push(PulseChunk(start / FS, FS, beat(np.full(450, 90.0))[part]))
            estimator.push_witnesses(pos, motion[part])
        estimate = estimator.estimate()
        assert estimate is not None
        assert estimate.bpm == pytest.approx(90, abs=1)
        assert estimate.evidence.pos_share > 0.8
        seen.append(estimate.evidence)
    still, nodding = seen
    assert still.motion_share == 0.0
    assert nodding.motion_share > 0.8
    assert nodding.motion_px == pytest.approx(0.7, abs=0.05)


def test_fitted_calibration_loads_for_every_engine() -> None:
    for engine in ("onnx", "pos", "tensorrt"):
        fit = load_calibration(engine)
        assert fit.confidence(GOOD.features()) > fit.confidence(BAD.features())


def test_broken_calibration_is_one_sentence(tmp_path) -> None:
    path = tmp_path / "confidence.json"
    path.write_text('{"fits": {}}')
    with pytest.raises(HrdError, match="reinstall hrd"):
        load_calibration("onnx", path)
