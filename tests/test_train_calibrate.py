from __future__ import annotations

import json

import numpy as np
import pytest

from hrd.engine.select import open_engine
from hrd.errors import HrdError
from hrd.estimate.confidence import from_json
from hrd.estimate.features import FEATURE_NAMES
from hrd.evaluation.metrics import expected_calibration_error
from hrd.train.calibrate import collect_painted, laid_out, nothing_fitted
from hrd.train.confidence_fit import (
    DEPTH,
    LAMP_WEIGHT,
    PAINTED_WEIGHT,
    PULSE_FREE_SHARE,
    Samples,
    fit,
    fit_calibration,
    fit_logistic,
    fit_trees,
    grow,
    held_out_confidence,
    join,
    published,
    weights,
    without_features,
)
from tests.needs import needs

needs("sklearn.ensemble")


def made_up(count: int = 4000) -> Samples:
    """Readings that are right with a probability that is logistic in the first feature."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, len(FEATURE_NAMES)))
    p = 1.0 / (1.0 + np.exp(-(0.5 + 2.0 * x[:, 0])))
    clip = np.arange(count) // 10
    alive = clip % 7 != 0
    x[~alive, 1] -= 4.0
    person = np.where(alive & (clip % 3 == 0), clip % 4, -1)
    lit = ~alive & (clip % 2 == 0)
    right = (rng.random(count) < p) & alive
    return Samples(x, right, np.full(count, 70.0), clip, alive, person, lit)


def test_a_known_relation_is_found() -> None:
    samples = made_up(10000)
    ours = fit_calibration(samples.x, samples.right, np.ones(10000))
    first = np.zeros((3, len(FEATURE_NAMES)))
    first[:, 0] = -1.5, 0.0, 1.5
    expected = 1.0 / (1.0 + np.exp(-(0.5 + 2.0 * first[:, 0])))
    np.testing.assert_allclose(ours.confidences(first), expected, atol=0.08)


def test_our_trees_say_what_scikit_learns_say() -> None:
    samples = made_up(6000)
    weight = np.where(samples.alive, 1.0, 0.5)
    ours = fit_trees(samples.x, samples.right, weight)
    assert ours.feature.shape[1] == 2**DEPTH - 1
    theirs = grow(samples.x, samples.right, weight)
    # they ask in single precision: a sample at a threshold may go the other way
    apart = np.abs(ours.log_odds(samples.x) - theirs.decision_function(samples.x))
    assert np.quantile(apart, 0.99) < 1e-6


def test_our_logistic_regression_finds_a_known_one() -> None:
    samples = made_up(10000)
    alive = samples.alive
    ours = fit_logistic(samples.x[alive], samples.right[alive], np.ones(alive.sum()))
    first = np.zeros((3, len(FEATURE_NAMES)))
    first[:, 0] = -1.5, 0.0, 1.5
    # a little less steep, as the penalty has it
    np.testing.assert_allclose(ours.log_odds(first), 0.5 + 2.0 * first[:, 0], atol=0.5)


def test_no_person_judges_himself() -> None:
    """Readings of one person that are all wrong, though their features look right."""
    samples = made_up(3000)
    wrong = samples.person == 2
    samples.right[wrong] = False
    samples.x[wrong, 0] = 2.5
    samples.x[wrong, 5] = 3.0  # hardly anybody else has it
    told = held_out_confidence(samples)
    seen = fit_calibration(samples.x, samples.right, weights(samples)).confidences(samples.x)
    assert told[wrong].mean() > 0.6
    assert seen[wrong].mean() < 0.3


def test_sources_are_weighed_as_they_say() -> None:
    samples = made_up()
    weight = weights(samples)
    painted, free = samples.person >= 0, ~samples.alive
    drawn = ~painted & ~free
    assert weight[painted].sum() == pytest.approx(PAINTED_WEIGHT * weight[drawn].sum())
    lit = samples.lit
    assert weight[lit].mean() == pytest.approx(LAMP_WEIGHT * weight[free & ~lit].mean())
    weight[lit] /= LAMP_WEIGHT
    assert weight[free].sum() == pytest.approx(PULSE_FREE_SHARE * weight.sum())


def test_published_is_what_the_gate_lets_through() -> None:
    rows = 6
    samples = Samples(
        np.zeros((rows, len(FEATURE_NAMES))),
        np.ones(rows, bool),
        np.full(rows, 70.0),
        np.array([0, 0, 0, 1, 1, 1]),
        np.ones(rows, bool),
        np.full(rows, -1),
        np.zeros(rows, bool),
    )
    said = published(samples, np.array([0.85, 0.85, 0.5, 0.85, 0.99, 0.85]), 0.8)
    assert list(said) == [False, True, False, False, True, True]


def test_a_painted_trace_gives_readings_of_its_person(tmp_path) -> None:
    """A trace of 90 bpm, strong enough to be read: right, and of that person."""
    t = np.arange(0.0, 9.0, 1 / 30)
    wave = np.sin(2.0 * np.pi * 1.5 * t)
    rgb = 120.0 * (1.0 - 0.02 * np.outer(wave, [0.33, 0.77, 0.53]))
    trace = tmp_path / "made.npz"
    np.savez(trace, rgb=rgb, t=t, bvp=wave, bvp_t=t)
    folder = tmp_path / "painted"
    samples = collect_painted([trace], folder, open_engine("pos").engine, progress=False)
    assert len(list(folder.glob("made-*.npz"))) == 6
    assert set(samples.person) == {0}
    assert set(samples.clip) == set(range(6))
    assert samples.alive.all()
    assert samples.right.mean() > 0.8


def test_nothing_fitted_says_one_half() -> None:
    x = np.random.default_rng(3).normal(size=(4, len(FEATURE_NAMES)))
    x[:, FEATURE_NAMES.index("opposition")] = -1.0
    np.testing.assert_allclose(nothing_fitted().confidences(x), 0.5)


def test_one_class_is_refused() -> None:
    with pytest.raises(HrdError, match="nothing to fit"):
        fit_calibration(np.zeros((5, len(FEATURE_NAMES))), np.ones(5, bool), np.ones(5))


def test_calibration_error_of_the_right_and_of_the_boastful() -> None:
    rng = np.random.default_rng(2)
    p = rng.random(50000)
    right = rng.random(50000) < p
    assert expected_calibration_error(p, right) < 0.01
    assert expected_calibration_error(np.full(1000, 0.9), np.arange(1000) < 500) == pytest.approx(
        0.4
    )


def test_fit_tells_how_it_does_on_clips_it_has_not_seen() -> None:
    result = fit(made_up(2500), 0.8)
    assert result["features"] == list(FEATURE_NAMES)
    ours = from_json(result)
    for first, least, most in ((2.0, 0.8, 1.0), (-2.0, 0.0, 0.2)):
        assert least < ours.confidence((first,) + (0.0,) * (len(FEATURE_NAMES) - 1)) < most
    held_out = result["held_out"]
    for source in ("painted", "drawn"):
        assert 0.6 < held_out[source]["right_of_published"] < 1.0
        assert 0.0 < held_out[source]["published"] < 1.0
    assert held_out["pulse-free"]["published"] < 0.1
    assert held_out["ece"] < 0.2


def test_joined_sets_keep_their_clips_apart() -> None:
    one, other = made_up(40), made_up(80)
    both = join([one, other])
    assert len(both.x) == 120
    assert len(np.unique(both.clip)) == 4 + 8


def test_the_file_has_a_line_for_each_tree() -> None:
    fitted = fit(made_up(800), 0.8)
    result = {"version": 4, "recipe": "made up", "fits": {"network": fitted, "pos": fitted}}
    text = laid_out(result)
    assert json.loads(text) == result
    lines = [line for line in text.splitlines() if '"threshold"' in line]
    assert len(lines) == 2 * len(fitted["trees"])


def test_a_feature_of_one_value_counts_for_nothing() -> None:
    """POS agrees with itself in every clip."""
    samples = made_up(2000)
    samples.x[:, 8] = 1.0
    ours = fit_logistic(samples.x, samples.right, np.ones(2000))
    other = samples.x.copy()
    other[:, 8] = 0.2
    np.testing.assert_allclose(ours.log_odds(other), ours.log_odds(samples.x))
    assert (ours.scale > 0.01).all()


def test_a_feature_left_out_of_a_fit_counts_for_nothing_whatever_comes() -> None:
    rng = np.random.default_rng(5)
    count, level = 600, FEATURE_NAMES.index("log_level")
    x = rng.normal(size=(count, len(FEATURE_NAMES)))
    right = x[:, level] + 0.1 * rng.normal(size=count) > 0.0
    nobody = np.full(count, -1)
    samples = Samples(
        x, right, np.full(count, 70.0), np.arange(count), np.ones(count, bool), nobody, nobody > 0
    )
    told = without_features(samples, ("log_level",))
    assert np.ptp(told.x[:, level]) == 0.0
    assert np.ptp(samples.x[:, level]) > 1.0
    fitted = fit_calibration(told.x, right, np.ones(count))
    other = x.copy()
    other[:, level] += 3.0
    np.testing.assert_allclose(fitted.confidences(other), fitted.confidences(x))
