from __future__ import annotations

import numpy as np
import pytest

from hrd.errors import HrdError
from hrd.estimate.confidence import FEATURES, from_json
from hrd.train.calibrate import (
    Samples,
    expected_calibration_error,
    fit,
    fit_logistic,
    join,
)


def made_up(count: int = 4000) -> Samples:
    """Readings that are right with a probability that is logistic in the first feature."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, len(FEATURES)))
    p = 1.0 / (1.0 + np.exp(-(0.5 + 2.0 * x[:, 0])))
    clip = np.arange(count) // 10
    alive = clip % 7 != 0
    return Samples(x, (rng.random(count) < p) & alive, clip, alive)


def test_a_known_relation_is_found() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((20000, 2)) * [1.0, 5.0] + [0.0, 3.0]
    y = rng.random(20000) < 1.0 / (1.0 + np.exp(-(0.5 + 2.0 * x[:, 0] - 0.1 * x[:, 1])))
    coefficients, intercept = fit_logistic(x, y, np.ones(20000))
    np.testing.assert_allclose(coefficients, [2.0, -0.1], atol=0.1)
    assert intercept == pytest.approx(0.5, abs=0.1)


def test_one_class_is_refused() -> None:
    with pytest.raises(HrdError, match="nothing to fit"):
        fit_logistic(np.zeros((5, 2)), np.ones(5, bool), np.ones(5))


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
    assert set(result["features"]) == set(FEATURES)
    found = {name: one["coefficient"] for name, one in result["features"].items()}
    assert found["mass_logit"] > 5 * abs(found["snr_db"])
    assert from_json(result).confidence((3.0,) + (0.0,) * (len(FEATURES) - 1)) > 0.8
    held_out = result["held_out"]
    assert 0.6 < held_out["right_of_published"] < 1.0
    assert 0.0 < held_out["published"] < 1.0
    assert held_out["ece"] < 0.2


def test_joined_sets_keep_their_clips_apart() -> None:
    one, other = made_up(40), made_up(80)
    both = join([one, other])
    assert len(both.x) == 120
    assert len(np.unique(both.clip)) == 4 + 8
