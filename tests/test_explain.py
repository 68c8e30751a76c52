"""What ``hrd measure --explain`` says of a reading."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Tuple

import numpy as np
import pytest

from hrd.cli.main import main
from hrd.estimate.confidence import OPPOSITION, Calibration, Logistic, Trees, load_calibration
from hrd.estimate.explain import Explanation, Term, attribute, odds_of
from hrd.estimate.features import FEATURE_NAMES
from hrd.estimate.gate import PublishGate
from hrd.measure.explained import text_of

COUNT = len(FEATURE_NAMES)


def test_each_branch_is_put_down_to_the_feature_it_asks_for() -> None:
    # one tree of depth 2: feature 0 at the root, then 1 on the left and 2 on the right
    tree = Trees(
        feature=np.array([[0, 1, 2]]),
        threshold=np.array([[0.5, 0.5, 0.5]]),
        value=np.array([[-4.0, -2.0, 1.0, 3.0]]),
        intercept=0.25,
    )
    calibration = Calibration(nothing(), tree)
    features = (1.0, 0.0, 0.0, *[9.0] * (COUNT - 3))
    features = replaced(features, OPPOSITION, 0.0)
    start, log_odds = attribute(calibration, features)
    # half of it all, for the confidence is the mean of two log odds
    assert start == pytest.approx(0.5 * (0.25 - 0.5))  # the mean of all leaves
    assert log_odds[:3] == pytest.approx([1.25, 0.0, -0.5])  # -0.5 -> 2 -> 1
    assert not any(log_odds[3:])


def nothing() -> Logistic:
    """A logistic regression that finds nothing."""
    count = np.zeros(COUNT)
    weight = np.zeros(COUNT + COUNT * (COUNT + 1) // 2)
    return Logistic(count, count + 1.0, count - 3.0, count + 3.0, weight, 0.0)


def replaced(features: Tuple[float, ...], index: int, value: float) -> Tuple[float, ...]:
    return (*features[:index], value, *features[index + 1 :])


def test_a_product_counts_half_for_either_feature() -> None:
    weight = nothing().weight.copy()
    weight[1] = 3.0  # of feature 1
    weight[COUNT + 1] = 4.0  # of feature 0 times feature 1
    calibration = Calibration(
        replace(nothing(), weight=weight, intercept=-0.5),
        Trees(np.zeros((1, 1), int), np.zeros((1, 1)), np.zeros((1, 2)), 0.0),
    )
    features = (2.0, 0.5, *[0.0] * (COUNT - 2))
    start, log_odds = attribute(calibration, features)
    assert start == pytest.approx(-0.25)
    assert log_odds[:2] == pytest.approx([0.5 * 2.0, 0.5 * (1.5 + 2.0)])
    opposed = attribute(calibration, replaced(features, OPPOSITION, 0.8))[1]
    assert opposed[OPPOSITION] == pytest.approx(-10.0)


@pytest.mark.parametrize("engine", ["onnx", "pos"])
def test_start_and_terms_add_up_to_the_confidence(engine: str) -> None:
    calibration = load_calibration(engine)
    rng = np.random.default_rng(0)
    for _ in range(20):
        features = tuple(float(one) for one in rng.normal(0.0, 1.0, COUNT))
        start, log_odds = attribute(calibration, features)
        confidence = calibration.confidence(features)
        together = 1.0 / (1.0 + np.exp(-start - sum(log_odds)))
        assert together == pytest.approx(confidence, rel=1e-6)


def test_the_gate_says_why() -> None:
    gate = PublishGate(0.8)
    assert not gate.allows(70.0, 0.7, 0.0)
    assert gate.why == "confidence under 0.8"
    assert not gate.allows(70.0, 0.85, 1.0)
    assert gate.why.startswith("to begin, one confidence of 0.94")
    assert gate.allows(70.0, 0.99, 2.0)
    assert gate.why == ""
    assert not gate.allows(110.0, 0.99, 3.0)
    assert gate.why.startswith("more than 25 bpm from the last")


def test_what_speaks_for_a_reading_is_told_from_what_speaks_against_it() -> None:
    terms = (Term("snr_db", 4.0, 1.5), Term("hair", 0.9, -0.7), Term("beside", 0.0, 0.001))
    text = text_of(Explanation(61.2, 0.6, 0.7, 4.0, 5.0, -0.4, terms, "confidence under 0.8"))
    held, estimate, up, down, nothing = (line.strip() for line in text.splitlines())
    assert held == "held back: confidence under 0.8"
    assert estimate.startswith("estimate 61.2 bpm, confidence 0.60 (log odds +0.4) of 5.0 s")
    assert up.split(maxsplit=1) == ["for", "snr_db=4 (+1.50)"]
    assert down.split(maxsplit=1) == ["against", "start (-0.40), hair=0.9 (-0.70)"]
    assert nothing == "no matter beside"


@pytest.mark.slow
def test_explained_readings_are_the_same_readings(capsys) -> None:
    film = "sim:bpm=72,seconds=8"
    assert main(["measure", "--json", film]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert main(["measure", "--json", "--explain", film]) == 0
    told = json.loads(capsys.readouterr().out)
    explained = [reading.pop("explain", None) for reading in told["readings"]]
    assert told == plain
    assert explained[0] is None  # nothing was estimated yet
    for reading, explanation in zip(told["readings"], explained):
        if explanation is None:
            assert "bpm" not in reading
            continue
        assert set(explanation["features"]) == set(FEATURE_NAMES)
        terms = [term["log_odds"] for term in explanation["features"].values()]
        assert explanation["start_log_odds"] + sum(terms) == pytest.approx(
            odds_of(explanation["confidence"]), abs=0.25
        )
        if "bpm" in reading:
            assert reading["bpm"] == explanation["bpm"]
            assert "gate" not in explanation
        else:
            assert explanation["gate"]
    assert main(["measure", "--explain", film]) == 0
    text = capsys.readouterr().out
    assert "for  " in text
    assert "log odds of the confidence" in text
