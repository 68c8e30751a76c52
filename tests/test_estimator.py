from __future__ import annotations

import json
from dataclasses import replace
from typing import List, Optional, Tuple

import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.estimate.baseband import HALF_WIDTH_BPM, baseband, mean_rate_bpm, phase_jitter
from hrd.estimate.confidence import (
    Calibration,
    Logistic,
    Trees,
    from_json,
    load_calibration,
    to_json,
)
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
COUNT = len(FEATURE_NAMES)
PRODUCTS = COUNT * (COUNT + 1) // 2
NO_LOGISTIC = Logistic(
    mean=np.zeros(COUNT),
    scale=np.ones(COUNT),
    low=np.full(COUNT, -3.0),
    high=np.full(COUNT, 3.0),
    weight=np.zeros(COUNT + PRODUCTS),
    intercept=0.0,
)
CALIBRATION = Calibration(  # asks for the heart-rate filter's own probability alone
    NO_LOGISTIC,
    Trees(
        feature=np.array([[FEATURE_NAMES.index("posterior_logit")]]),
        threshold=np.array([[np.log(0.8 / 0.2)]]),
        value=np.array([[-8.0, 8.0]]),
        intercept=0.0,
    ),
)
GOOD = Features(
    posterior=0.99,
    snr_db=4.0,
    window_s=12.0,
    share=0.8,
    phase_jitter=0.1,
    phase_gap_bpm=0.5,
    unsteady_bpm=0.8,
    agreeing=0.9,
    level=0.8,
    quality=QualityIndices(
        pos_coherence=0.9,
        green_coherence=0.8,
        motion_coherence=0.2,
        pos_gap_bpm=0.5,
        green_gap_bpm=1.0,
        red_ratio=0.45,
        blue_ratio=0.7,
        opposition=-0.9,
        motion_px=0.02,
    ),
)
BAD = Features(
    posterior=0.3,
    snr_db=-6.0,
    window_s=12.0,
    share=0.2,
    phase_jitter=0.6,
    phase_gap_bpm=6.0,
    unsteady_bpm=20.0,
    agreeing=0.1,
    level=0.3,
    quality=QualityIndices(
        pos_coherence=0.1,
        green_coherence=0.1,
        motion_coherence=0.8,
        pos_gap_bpm=60.0,
        green_gap_bpm=50.0,
        red_ratio=1.0,
        blue_ratio=1.0,
        opposition=-0.9,
        motion_px=0.3,
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
        tracker.update([good], 1.0)
    assert tracker.update([bad], 1.0).bpm == pytest.approx(70.0, abs=NEAR_BPM)


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


BLOOD, LAMP = np.array([0.33, 0.77, 0.53]), np.ones(3)
WAVE = np.sin(2.0 * np.pi * 1.5 * np.arange(450) / FS)  # of 90 bpm


def indices_of(
    face: np.ndarray,
    beside: np.ndarray,
    motion: Optional[np.ndarray] = None,
    pulse_delay: int = 0,
    pos_delay: int = 0,
) -> QualityIndices:
    """The indices of 90 bpm with so much light on the face (450, 3) and beside it (450,), for a
    pulse and a POS WAVE that lag by so many samples; chunk by chunk."""
    window = ReferenceWindow()
    still = np.zeros((450, 2)) if motion is None else motion
    pos = np.roll(WAVE, pos_delay)
    for start in range(0, 450, 30):
        part = slice(start, start + 30)
        regions = everywhere(beside[part])
        window.push(
            ReferenceSignals(
                start / FS, FS, pos[part], pos_delay, still[part], face[part], regions,
            ),
            360,
        )  # fmt: skip
    pulse = np.roll(WAVE, pulse_delay)[-360:]
    return window.indices(pulse, (450 - pulse_delay) / FS, FS, 90.0)


@pytest.mark.parametrize("delays", [(0, 0), (30, 47), (47, 47), (60, 10)])
def test_a_pulse_goes_together_with_what_shows_it(delays: Tuple[int, int]) -> None:
    """Whatever the delays of the engine and of POS: a rate that runs tells a wrong alignment."""
    face = 100.0 - np.outer(WAVE, BLOOD)
    quality = indices_of(face, np.zeros(450), None, *delays)
    assert quality.green_coherence > 0.99
    assert quality.pos_coherence > 0.99
    assert quality.red_ratio == pytest.approx(0.33 / 0.77, abs=0.02)
    assert quality.blue_ratio == pytest.approx(0.53 / 0.77, abs=0.02)
    assert quality.opposition == pytest.approx(-1.0, abs=0.01)
    assert quality.pos_gap_bpm < 1.0
    assert quality.green_gap_bpm < 1.0
    assert quality.motion_coherence == pytest.approx(0.0, abs=0.01)


def test_delays_are_told_apart_by_phase() -> None:
    """A quarter of a beat late is out of step, half a beat the opposite."""
    face = 100.0 - np.outer(WAVE, BLOOD)
    quarter = indices_of(np.roll(face, 5, axis=0), np.zeros(450))
    half = indices_of(np.roll(face, 10, axis=0), np.zeros(450))
    assert quarter.green_coherence == pytest.approx(0.0, abs=0.05)
    assert half.green_coherence < -0.99


def test_a_nodding_head_goes_along_with_the_pulse() -> None:
    nod = np.column_stack([np.zeros(450), np.roll(WAVE, 3)])
    quality = indices_of(100.0 - np.outer(WAVE, BLOOD), np.zeros(450), nod)
    assert quality.motion_coherence > 0.99
    assert quality.motion_px == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_a_lamp_shines_on_all_alike() -> None:
    quality = indices_of(100.0 - np.outer(WAVE, LAMP), -WAVE)
    assert quality.red_ratio == pytest.approx(1.0, abs=0.01)
    assert quality.blue_ratio == pytest.approx(1.0, abs=0.01)
    assert quality.hair_ratio == pytest.approx(1.0, abs=0.01)


def test_a_white_balance_that_hunts_sets_red_against_blue() -> None:
    hunting = indices_of(100.0 - np.outer(WAVE, [1.0, 0.05, -1.0]), np.zeros(450))
    assert hunting.opposition > 0.95
    sure = GOOD.vector()
    opposed = replace(GOOD, quality=replace(GOOD.quality, opposition=0.9)).vector()
    assert CALIBRATION.confidence(sure) > 0.95
    assert CALIBRATION.confidence(opposed) < 0.01


def test_a_drift_of_the_light_is_no_pulse() -> None:
    face = 100.0 - np.outer(WAVE, BLOOD)
    still = indices_of(face, -0.5 * WAVE)
    drifting = indices_of(face + 4.0 * (np.arange(450) / FS)[:, None], -0.5 * WAVE)
    assert drifting.red_ratio == pytest.approx(still.red_ratio, abs=0.03)
    assert drifting.green_coherence == pytest.approx(still.green_coherence, abs=0.02)


def test_too_little_signal_has_no_indices() -> None:
    window = ReferenceWindow()
    assert window.indices(WAVE[:360], 12.0, FS, 90.0) == QualityIndices()
    face, regions = np.full((59, 3), 100.0), np.full((59, len(REGIONS)), 100.0)
    window.push(
        ReferenceSignals(0.0, FS, np.zeros(59), 0, np.zeros((59, 2)), face, regions),
        360,
    )
    assert window.indices(WAVE[:59], 59 / FS, FS, 90.0) == QualityIndices()


@pytest.mark.parametrize(
    ("red", "hair", "lit"),
    [(0.4, 0.0, 0.5), (1.0, 0.2, 0.5), (0.45, 1.0, 0.5), (0.9, 0.95, 0.9), (2.0, 3.0, 1.1)],
)
def test_hair_is_lit_where_it_and_all_colours_go_along(red: float, hair: float, lit: float) -> None:
    quality = replace(GOOD.quality, red_ratio=red, hair_ratio=hair)
    vector = replace(GOOD, quality=quality).vector()
    assert vector[FEATURE_NAMES.index("lit_hair")] == pytest.approx(lit)


def test_a_head_that_hardly_moves_makes_no_pulse() -> None:
    along = FEATURE_NAMES.index("moves_along")
    quality = replace(GOOD.quality, motion_coherence=1.0)
    seen = [
        replace(GOOD, quality=replace(quality, motion_px=px)).vector()[along]
        for px in (0.0, 0.03, 3.0)
    ]
    assert seen == pytest.approx([0.0, 0.5, 0.99], abs=0.01)


def test_reference_signals_come_with_the_estimate() -> None:
    estimator = HeartRateEstimator(CALIBRATION)
    for start in range(0, 450, 30):
        part = slice(start, start + 30)
        estimator.push(PulseChunk(start / FS, FS, WAVE[part].astype(np.float32)))
        face = 100.0 - np.outer(WAVE[part], BLOOD)
        estimator.push_reference(
            ReferenceSignals(
                start / FS, FS, WAVE[part], 0, np.zeros((30, 2)), face,
                everywhere(np.zeros(30)),
            )
        )  # fmt: skip
        estimate = estimator.estimate()
    assert estimate is not None
    assert estimate.bpm == pytest.approx(90, abs=1)
    assert estimate.features.quality.green_coherence > 0.99
    assert estimate.features.agreeing > 0.5
    assert estimate.features.share > 0.9


def test_fitted_calibration_loads_for_every_engine() -> None:
    for engine in ("onnx", "pos", "tensorrt"):
        fit = load_calibration(engine)
        assert fit.confidence(GOOD.vector()) > fit.confidence(BAD.vector())


def some_trees(depth: int = 3, trees: int = 7) -> Calibration:
    rng = np.random.default_rng(5)
    inner = 2**depth - 1
    return Calibration(
        Logistic(
            mean=rng.normal(size=COUNT),
            scale=rng.uniform(0.5, 2.0, COUNT),
            low=np.full(COUNT, -2.0),
            high=np.full(COUNT, 2.0),
            weight=rng.normal(size=COUNT + PRODUCTS) / COUNT,
            intercept=-0.2,
        ),
        Trees(
            rng.integers(0, len(FEATURE_NAMES), (trees, inner)),
            rng.normal(size=(trees, inner)),
            rng.normal(size=(trees, inner + 1)),
            0.3,
        ),
    )


def test_a_calibration_survives_its_json() -> None:
    fit = some_trees()
    again = from_json(json.loads(json.dumps(to_json(fit))))
    for reading in (GOOD, BAD):
        features = reading.vector()
        assert again.confidence(features) == pytest.approx(fit.confidence(features), abs=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_trees_are_walked_from_the_root_to_one_leaf_each(depth: int) -> None:
    fit = some_trees(depth).trees
    inner = 2**depth - 1
    for x in np.random.default_rng(6).normal(size=(20, len(FEATURE_NAMES))):
        logit = fit.intercept
        for feature, threshold, value in zip(fit.feature, fit.threshold, fit.value):
            node = 0
            while node < inner:
                node = 2 * node + (2 if x[feature[node]] > threshold[node] else 1)
            logit += value[node - inner]
        assert fit.log_odds(x[None])[0] == pytest.approx(logit)


def test_the_logistic_regression_weighs_features_and_their_products() -> None:
    fit = replace(NO_LOGISTIC, intercept=0.5, weight=np.arange(COUNT + PRODUCTS) / 100.0)
    x = np.zeros(COUNT)
    assert fit.log_odds(x[None])[0] == pytest.approx(0.5)
    x[:2] = 1.0, -1.5
    first = COUNT  # of the products: 0 x 0, 0 x 1, ..., then 1 x 1
    terms = 0.01 * (
        -1.5 + first * 1.0 + (first + 1) * -1.5 + (first + COUNT) * 2.25
    )  # weight 0 for the first feature itself
    assert fit.log_odds(x[None])[0] == pytest.approx(0.5 + terms)
    far = np.full((1, COUNT), 50.0)
    np.testing.assert_allclose(fit.terms(far)[0, :COUNT], 3.0)


def test_a_calibration_is_the_mean_of_its_two_log_odds() -> None:
    fit = some_trees()
    x = np.random.default_rng(8).normal(size=(5, COUNT))
    x[:, FEATURE_NAMES.index("opposition")] = -0.5
    mean = 0.5 * (fit.trees.log_odds(x) + fit.logistic.log_odds(x))
    np.testing.assert_allclose(fit.confidences(x), 1.0 / (1.0 + np.exp(-mean)))


@pytest.mark.parametrize(
    "change",
    [
        lambda fit: fit.pop("intercept"),
        lambda fit: fit["features"].reverse(),
        lambda fit: fit["trees"][0]["value"].pop(),
        lambda fit: [tree["feature"].pop() for tree in fit["trees"]],
        lambda fit: fit["trees"][0]["feature"].__setitem__(0, 99),
        lambda fit: fit.__setitem__("trees", []),
        lambda fit: fit["logistic"]["weight"].pop(),
        lambda fit: fit["logistic"]["mean"].pop(),
        lambda fit: fit["logistic"]["scale"].__setitem__(0, 0.0),
        lambda fit: fit.pop("logistic"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(change) -> None:
    fit = to_json(some_trees())
    change(fit)
    with pytest.raises((KeyError, ValueError)):
        from_json(fit)


def test_broken_calibration_is_one_sentence(tmp_path) -> None:
    path = tmp_path / "confidence.json"
    path.write_text('{"fits": {"network": {}}}')
    with pytest.raises(HrdError, match="make it anew with hrd calibrate"):
        load_calibration("onnx", path)


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


def test_phase_jitters_in_noise_and_not_in_a_pulse() -> None:
    runs = phase_jitter(baseband(beat(80.0 + np.arange(360) / 36.0), FS, 85.0).newest(8.0))
    unruly = [phase_jitter(baseband(noise(360, k), FS, 85.0).newest(8.0)) for k in range(10)]
    assert runs < 0.05
    assert np.median(unruly) > 0.3
    assert phase_jitter(baseband(np.zeros(360, np.float32), FS, 85.0)) == pytest.approx(np.pi)


def test_baseband_is_its_definition_and_its_newest_part_the_same() -> None:
    signals = np.column_stack([beat(np.full(360, 75.0)), noise(360, 1), 3.0 + noise(360, 2)])
    n = np.arange(360)
    mixed = (signals - signals.mean(axis=0)) * np.exp(-2j * np.pi * 74.0 / 60.0 / FS * n)[:, None]
    sd = FS / (2.0 * np.pi * HALF_WIDTH_BPM / 60.0)
    weights = np.exp(-0.5 * ((n[None, :] - n[5::6, None]) / sd) ** 2)
    expected = (weights / weights.sum(axis=1, keepdims=True)) @ mixed
    band = baseband(signals, FS, 74.0)
    np.testing.assert_allclose(band.value, expected, atol=2e-6 * np.abs(signals).max())
    newest = baseband(signals, FS, 74.0, newest_s=8.0)
    np.testing.assert_allclose(newest.value, band.newest(8.0).value, atol=1e-6)
    np.testing.assert_array_equal(newest.time_s, band.newest(8.0).time_s)
    np.testing.assert_allclose(baseband(signals[:, 1], FS, 74.0).value, band.value[:, 1], atol=1e-6)


def test_phase_jitter_is_what_a_weighted_parabola_leaves() -> None:
    band = baseband(beat(np.full(360, 75.0)) + 0.3 * noise(360, 1), FS, 74.0, newest_s=8.0)
    weight = np.sqrt(np.abs(band.value)).astype(float)
    phase = np.unwrap(np.angle(band.value)).astype(float)
    x = np.linspace(-1.0, 1.0, len(phase))
    left = phase - np.polyval(np.polyfit(x, phase, 2, w=weight), x)
    expected = np.sqrt(np.sum((weight * left) ** 2) / np.sum(weight**2))
    assert phase_jitter(band) == pytest.approx(expected, rel=1e-9)


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


def test_after_a_cut_twice_as_many_readings_must_be_sure() -> None:
    gate = PublishGate(0.8)
    assert gate.allows(70.0, 0.95, 0.0)
    gate.begin_anew()
    gate.reset()
    assert not gate.allows(90.0, 0.99, 1.0)
    assert gate.why.startswith("to begin after a cut, 2 in a row of 0.94 are needed, or 4 in")
    assert not gate.allows(90.0, 0.93, 2.0)
    assert not gate.allows(90.0, 0.95, 3.0)
    assert gate.allows(90.0, 0.81, 4.0), "the fourth"
    gate.refuse()
    assert gate.allows(90.0, 0.95, 5.0), "the cut was long ago"
    gate.begin_anew()
    gate.reset()
    assert [gate.allows(90.0, 0.95, 7.0 + k) for k in range(2)] == [False, True]


def test_after_a_long_silence_there_is_nothing_to_leap_from() -> None:
    gate = PublishGate(0.8)
    assert gate.allows(70.0, 0.99, 0.0)
    assert gate.allows(130.0, 0.99, 10.5)
    gate.reset()
    assert gate.allows(60.0, 0.99, 11.0)


def test_readings_begin_surer_than_they_go_on() -> None:
    gate = PublishGate(0.8)
    assert [gate.allows(70.0, 0.81, float(k)) for k in range(2)] == [False, True]
    assert gate.allows(70.0, 0.81, 3.0)
    assert not gate.allows(70.0, 0.79, 4.0)
    assert not gate.allows(70.0, 0.89, 5.0)  # it must begin again
    assert gate.allows(70.0, 0.96, 6.0)
    gate.refuse()
    assert not gate.allows(70.0, 0.89, 7.0)


def test_a_gate_of_nothing_lets_all_through() -> None:
    gate = PublishGate(0.0)
    assert all(gate.allows(bpm, 0.01, 0.0) for bpm in (50.0, 150.0, 60.0))
