from __future__ import annotations

import json
from typing import List, Optional

import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.estimate.baseband import baseband, mean_rate_bpm
from hrd.estimate.chirp import fit_chirp
from hrd.estimate.confidence import Calibration, from_json, load_calibration, to_json
from hrd.estimate.estimator import Estimate, EstimatorConfig, HeartRateEstimator
from hrd.estimate.features import FEATURE_NAMES, Features
from hrd.estimate.gate import MAX_JUMP_BPM, PublishGate
from hrd.estimate.ratefilter import NEAR_BPM, HeartRateFilter
from hrd.estimate.spectrum import periodogram
from hrd.estimate.sqi import QualityIndices, ReferenceWindow
from hrd.estimate.whole import WholeClip
from hrd.reference import REGIONS
from hrd.types import PulseChunk, ReferenceSignals

FS = 30.0
CALIBRATION = Calibration(  # asks for the heart-rate filter's own probability alone
    feature=np.array([[FEATURE_NAMES.index("posterior_logit")]]),
    threshold=np.array([[np.log(0.8 / 0.2)]]),
    value=np.array([[-4.0, 4.0]]),
    intercept=0.0,
)
GOOD = Features(
    posterior=0.99,
    snr_db=8.0,
    window_s=12.0,
    size=0.8,
    chirp_share=0.8,
    unsteady_bpm=0.3,
    quality=QualityIndices(
        pos_share=0.6,
        pos_gap_bpm=0.5,
        motion_share=0.05,
        motion_px=0.02,
        surround_share=0.02,
        green_share=0.3,
        red_ratio=0.4,
        chroma=0.4,
        hair=0.1,
        beside=0.0,
    ),
)
BAD = Features(
    posterior=0.3,
    snr_db=-6.0,
    window_s=12.0,
    size=0.2,
    chirp_share=0.1,
    unsteady_bpm=12.0,
    quality=QualityIndices(
        pos_share=0.05,
        pos_gap_bpm=60.0,
        motion_share=0.6,
        motion_px=0.3,
        surround_share=0.3,
        green_share=0.02,
        red_ratio=1.0,
        chroma=0.9,
        hair=1.0,
        beside=1.0,
    ),
)


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
    tracker = HeartRateFilter()
    good = periodogram(beat(np.full(360, 70.0)), FS)
    bad = periodogram(
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


def test_confidence_is_a_probability_and_grows_with_the_features() -> None:
    low = CALIBRATION.confidence(BAD.vector())
    high = CALIBRATION.confidence(GOOD.vector())
    assert 0.0 < low < 0.5 < high < 1.0
    with pytest.raises(
        ValueError,
        match=f"{len(FEATURE_NAMES) - 1} features for a calibration of {len(FEATURE_NAMES)}",
    ):
        CALIBRATION.confidence(GOOD.vector()[:-1])
    assert len(GOOD.vector()) == len(FEATURE_NAMES)


def everywhere(light: np.ndarray) -> np.ndarray:
    """(T,) light -> (T, R): the same in every region."""
    return np.repeat(100.0 + light[:, None], len(REGIONS), axis=1)


def test_reference_signals_are_weighed() -> None:
    t = np.arange(450) / FS
    nod = np.column_stack([np.zeros(450), np.sin(2 * np.pi * 1.5 * t)]).astype(np.float32)
    pos = beat(np.full(450, 90.0))
    lamp = np.sin(2 * np.pi * 1.5 * t)
    blood = np.array([0.33, 0.77, 0.53])
    face = 100.0 + np.outer(lamp, blood)
    seen = []
    for motion in (np.zeros((450, 2), np.float32), nod):
        estimator = HeartRateEstimator(CALIBRATION)
        for start in range(0, 450, 30):
            part = slice(start, start + 30)
            estimator.push(PulseChunk(start / FS, FS, beat(np.full(450, 90.0))[part]))
            signals = ReferenceSignals(
                FS, pos[part], motion[part], face[part], 100.0 + lamp[part], everywhere(lamp)[part]
            )
            estimator.push_reference(signals)
        estimate = estimator.estimate()
        assert estimate is not None
        assert estimate.bpm == pytest.approx(90, abs=1)
        seen.append(estimate.features.quality)
    still, nodding = seen
    assert still.pos_share > 0.8
    assert still.motion_share == 0.0
    assert still.surround_share > 0.8
    assert still.pos_gap_bpm < 1.0
    assert still.chroma == pytest.approx((0.77 - 0.33) / (0.77 + 0.33), abs=0.02)
    assert still.red_ratio == pytest.approx(0.33 / 0.77, abs=0.02)
    assert still.green_share > 0.95
    assert nodding.motion_share > 0.8
    assert nodding.motion_px == pytest.approx(0.7, abs=0.05)


def indices_of(face: np.ndarray, regions: np.ndarray) -> QualityIndices:
    """The indices of 90 bpm with so much light on the face (T, 3) and on its regions (T, R)."""
    window = ReferenceWindow()
    none = np.zeros(len(face))
    window.push(ReferenceSignals(FS, none, np.zeros((len(face), 2)), face, none, regions), 360)
    return window.indices(90.0, FS)


def test_blood_shows_where_there_is_skin_and_a_lamp_everywhere() -> None:
    wave = np.sin(2 * np.pi * 1.5 * np.arange(360) / FS + 0.4)
    blood = indices_of(100.0 + np.outer(wave, [0.4, 1.0, 0.6]), everywhere(np.zeros(360)))
    lamp = indices_of(100.0 + np.outer(wave, np.ones(3)), everywhere(wave))
    assert lamp.red_ratio == pytest.approx(1.0, abs=0.01)
    assert lamp.chroma == pytest.approx(0.0, abs=0.01)
    for place in ("hair", "beside"):
        assert getattr(blood, place) == pytest.approx(0.0, abs=0.01)
        assert getattr(lamp, place) == pytest.approx(1.0, abs=0.01)


def test_a_drift_of_the_light_is_no_pulse() -> None:
    t = np.arange(360) / FS
    wave = np.sin(2 * np.pi * 1.5 * t)
    still = indices_of(100.0 + np.outer(wave, [0.4, 1.0, 0.6]), everywhere(0.5 * wave))
    drifting = indices_of(
        100.0 + np.outer(wave, [0.4, 1.0, 0.6]) + 4.0 * t[:, None], everywhere(0.5 * wave)
    )
    assert drifting.red_ratio == pytest.approx(still.red_ratio, abs=0.01)
    assert drifting.green_share == pytest.approx(still.green_share, abs=0.05)


def test_too_little_signal_has_no_indices() -> None:
    window = ReferenceWindow()
    assert window.indices(90.0, FS) == QualityIndices()
    light = np.full((59, len(REGIONS)), 100.0)
    window.push(
        ReferenceSignals(FS, np.zeros(59), np.zeros((59, 2)), light[:, :3], light[:, 0], light), 360
    )
    assert window.indices(90.0, FS) == QualityIndices()


def test_fitted_calibration_loads_for_every_engine() -> None:
    for engine in ("onnx", "pos", "tensorrt"):
        fit = load_calibration(engine)
        assert fit.confidence(GOOD.vector()) > fit.confidence(BAD.vector())


def some_trees(depth: int = 3, trees: int = 7) -> Calibration:
    rng = np.random.default_rng(5)
    inner = 2**depth - 1
    return Calibration(
        rng.integers(0, len(FEATURE_NAMES), (trees, inner)),
        rng.normal(size=(trees, inner)),
        rng.normal(size=(trees, inner + 1)),
        0.3,
    )


def test_a_calibration_survives_its_json() -> None:
    fit = some_trees()
    again = from_json(json.loads(json.dumps(to_json(fit))))
    for reading in (GOOD, BAD):
        features = reading.vector()
        assert again.confidence(features) == pytest.approx(fit.confidence(features), abs=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_trees_are_walked_from_the_root_to_one_leaf_each(depth: int) -> None:
    fit = some_trees(depth)
    inner = 2**depth - 1
    for x in np.random.default_rng(6).normal(size=(20, len(FEATURE_NAMES))):
        logit = fit.intercept
        for feature, threshold, value in zip(fit.feature, fit.threshold, fit.value):
            node = 0
            while node < inner:
                node = 2 * node + (2 if x[feature[node]] > threshold[node] else 1)
            logit += value[node - inner]
        assert fit.confidence(tuple(x)) == pytest.approx(1.0 / (1.0 + np.exp(-logit)))


@pytest.mark.parametrize(
    "change",
    [
        lambda fit: fit.pop("intercept"),
        lambda fit: fit["features"].reverse(),
        lambda fit: fit["trees"][0]["value"].pop(),
        lambda fit: [tree["feature"].pop() for tree in fit["trees"]],
        lambda fit: fit["trees"][0]["feature"].__setitem__(0, 99),
        lambda fit: fit.__setitem__("trees", []),
    ],
)
def test_trees_that_do_not_fit_together_are_refused(change) -> None:
    fit = to_json(some_trees())
    change(fit)
    with pytest.raises((KeyError, ValueError)):
        from_json(fit)


def test_broken_calibration_is_one_sentence(tmp_path) -> None:
    path = tmp_path / "confidence.json"
    path.write_text('{"fits": {}}')
    with pytest.raises(HrdError, match="reinstall hrd"):
        load_calibration("onnx", path)


def test_a_running_rate_is_found() -> None:
    # 0.5 bpm/s for 12 s: 74 in the middle
    bpm = 71.0 + 0.5 * np.arange(360) / FS
    chirp = fit_chirp(beat(bpm), FS, 74.5, 3.0)
    assert chirp.middle_bpm == pytest.approx(74.0, abs=0.3)
    assert chirp.slope_bpm_per_s == pytest.approx(0.5, abs=0.1)
    assert chirp.share > 0.7


@pytest.mark.parametrize("bpm", [45.0, 72.3, 120.1, 199.9])
def test_a_steady_rate_has_no_slope(bpm: float) -> None:
    chirp = fit_chirp(beat(np.full(360, bpm)), FS, bpm + 1.3, 3.0)
    assert chirp.middle_bpm == pytest.approx(bpm, abs=0.2)
    assert abs(chirp.slope_bpm_per_s) < 0.05


@pytest.mark.parametrize("bpm", [45.0, 72.3, 120.1, 199.9])
@pytest.mark.parametrize("off_bpm", [-6.0, 0.0, 4.0])
def test_phase_counts_the_beats_whatever_rate_it_began_with(bpm: float, off_bpm: float) -> None:
    band = baseband(beat(np.full(360, bpm)), FS, bpm + off_bpm)
    assert len(band.value) == len(band.time_s) == 60
    assert mean_rate_bpm(band.newest(7.0), bpm + off_bpm) == pytest.approx(bpm, abs=0.3)


def test_phase_counts_beats_that_waver() -> None:
    """The mean rate of the beats, which is not where most of the power is."""
    bpm = 80.0 + 8.0 * np.sin(2.0 * np.pi * 0.12 * np.arange(360) / FS)
    band = baseband(beat(bpm), FS, 80.0).newest(7.0)
    assert mean_rate_bpm(band, 80.0) == pytest.approx(bpm[-210:].mean(), abs=1.0)


def test_silence_has_no_phase() -> None:
    assert mean_rate_bpm(baseband(np.zeros(360, np.float32), FS, 80.0), 80.0) == 80.0
    assert mean_rate_bpm(baseband(beat(np.full(6, 80.0)), FS, 70.0), 70.0) == 70.0


def test_a_rate_that_runs_is_followed() -> None:
    """15 bpm within 10 s, as hearts do after effort or a fright."""
    bpm = np.interp(np.arange(1200) / FS, [0.0, 15.0, 25.0, 40.0], [70.0, 70.0, 85.0, 85.0])
    estimates = feed(HeartRateEstimator(CALIBRATION), beat(bpm) + 0.3 * noise(1200))
    for k in range(10, 40):
        estimate = estimates[k]
        assert estimate is not None
        end = 30 * (k + 1)
        assert estimate.bpm == pytest.approx(bpm[end - 210 : end].mean(), abs=3.0)


def test_noise_and_silence_have_no_slope_to_speak_of() -> None:
    for seed in range(5):
        chirp = fit_chirp(noise(360, seed), FS, 80.0, 3.0)
        assert abs(chirp.slope_bpm_per_s) < 0.7
        assert abs(chirp.middle_bpm - 80.0) <= 7.0
    assert fit_chirp(np.zeros(360, np.float32), FS, 80.0, 3.0).share == 0.0


def test_readings_have_no_steps() -> None:
    rates = [72.0, 72.1, 72.2, 72.3, 72.4]
    read = []
    for bpm in rates:
        last = feed(HeartRateEstimator(CALIBRATION), beat(np.full(600, bpm)))[-1]
        assert last is not None
        assert last.bpm == pytest.approx(bpm, abs=0.2)
        read.append(last.bpm)
    assert all(0.02 < step < 0.2 for step in np.diff(read))


def test_a_leap_is_held_back_until_three_readings_agree() -> None:
    gate = PublishGate(0.8)
    assert gate.allows(70.0, 0.99, 0.0)
    assert gate.allows(70.0 + MAX_JUMP_BPM, 0.8, 1.0)
    assert not gate.allows(150.0, 0.99, 2.0)
    assert gate.allows(94.0, 0.8, 3.0)  # back where it was: the leap was a slip
    assert [gate.allows(bpm, 0.9, 4.0 + k) for k, bpm in enumerate((140.0, 141.0, 139.0))] == [
        False,
        False,
        True,
    ]
    assert gate.allows(141.0, 0.9, 7.0)
    assert not gate.allows(60.0, 0.9, 8.0)
    assert not gate.allows(180.0, 0.9, 9.0)  # proofs must agree with each other
    assert not gate.allows(60.0, 0.9, 10.0)


def test_after_a_long_silence_there_is_nothing_to_leap_from() -> None:
    gate = PublishGate(0.8)
    assert gate.allows(70.0, 0.99, 0.0)
    assert gate.allows(130.0, 0.99, 10.5)
    gate.reset()
    assert gate.allows(60.0, 0.99, 11.0)


def test_readings_begin_surer_than_they_go_on() -> None:
    gate = PublishGate(0.8)
    assert [gate.allows(70.0, 0.86, float(k)) for k in range(3)] == [False, False, True]
    assert gate.allows(70.0, 0.81, 3.0)
    assert not gate.allows(70.0, 0.79, 4.0)
    assert not gate.allows(70.0, 0.9, 5.0)  # it must begin again
    assert gate.allows(70.0, 0.98, 6.0)
    gate.refuse()
    assert not gate.allows(70.0, 0.9, 7.0)


def test_a_gate_of_nothing_lets_all_through() -> None:
    gate = PublishGate(0.0)
    assert all(gate.allows(bpm, 0.01, 0.0) for bpm in (50.0, 150.0, 60.0))
