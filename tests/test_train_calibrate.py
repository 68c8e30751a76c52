from __future__ import annotations

import json

import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.estimate.confidence import from_json
from hrd.estimate.features import FEATURE_NAMES
from hrd.train.calibrate import (
    DEPTH,
    Samples,
    expected_calibration_error,
    fit,
    fit_calibration,
    grow,
    join,
    laid_out,
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
    return Samples(x, (rng.random(count) < p) & alive, clip, alive)


def test_a_known_relation_is_found() -> None:
    samples = made_up(20000)
    ours = fit_calibration(samples.x, samples.right, np.ones(20000))
    first = np.zeros((3, len(FEATURE_NAMES)))
    first[:, 0] = -1.5, 0.0, 1.5
    expected = 1.0 / (1.0 + np.exp(-(0.5 + 2.0 * first[:, 0])))
    np.testing.assert_allclose(ours.confidences(first), expected, atol=0.08)


def test_our_trees_say_what_scikit_learns_say() -> None:
    samples = made_up(6000)
    weight = np.where(samples.alive, 1.0, 0.5)
    ours = fit_calibration(samples.x, samples.right, weight)
    assert ours.feature.shape[1] == 2**DEPTH - 1
    theirs = grow(samples.x, samples.right, weight)
    # they ask in single precision: a sample at a threshold may go the other way
    apart = np.abs(ours.confidences(samples.x) - theirs.predict_proba(samples.x)[:, 1])
    assert np.quantile(apart, 0.99) < 1e-6


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
    result = fit(made_up(), 0.8)
    assert result["features"] == list(FEATURE_NAMES)
    ours = from_json(result)
    for first, least, most in ((2.0, 0.8, 1.0), (-2.0, 0.0, 0.2)):
        assert least < ours.confidence((first,) + (0.0,) * (len(FEATURE_NAMES) - 1)) < most
    held_out = result["held_out"]
    assert 0.6 < held_out["right_of_published"] < 1.0
    assert 0.0 < held_out["published"] < 1.0
    assert held_out["ece"] < 0.2


def test_joined_sets_keep_their_clips_apart() -> None:
    one, other = made_up(40), made_up(80)
    both = join([one, other])
    assert len(both.x) == 120
    assert len(np.unique(both.clip)) == 4 + 8


def test_the_file_has_a_line_for_each_tree() -> None:
    fitted = fit(made_up(), 0.8)
    result = {"version": 3, "recipe": "made up", "fits": {"network": fitted, "pos": fitted}}
    text = laid_out(result)
    assert json.loads(text) == result
    lines = [line for line in text.splitlines() if '"threshold"' in line]
    assert len(lines) == 2 * len(fitted["trees"])
