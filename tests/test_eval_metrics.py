"""Metrics with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from hrd.evaluation.metrics import (
    METRICS,
    coverage_curve,
    errors,
    rate_band,
    reliability,
    with_intervals,
)

REFERENCE = np.array([60.0, 80.0, 100.0, 50.0])
READING = np.array([63.0, 80.0, 94.0, 50.0])  # errors +3, 0, -6, 0


def test_known_errors() -> None:
    found = errors(REFERENCE, READING, np.array([1.0, 2.0, 3.0, 4.0]))
    assert found["mae"] == pytest.approx(9.0 / 4.0)
    assert found["rmse"] == pytest.approx(np.sqrt(45.0 / 4.0))
    assert found["mape"] == pytest.approx(100.0 * (3 / 60 + 6 / 100) / 4)
    assert found["bias"] == pytest.approx(-0.75)
    assert found["within_5"] == pytest.approx(0.75)
    assert found["snr_db"] == pytest.approx(2.5)
    assert found["pearson"] == pytest.approx(float(np.corrcoef(REFERENCE, READING)[0, 1]))


def test_what_cannot_be_computed_is_none() -> None:
    assert all(value is None for value in errors(np.zeros(0), np.zeros(0)).values())
    assert errors(REFERENCE[:2], READING[:2])["pearson"] is None
    assert errors(REFERENCE, np.full(4, 70.0))["pearson"] is None
    assert errors(REFERENCE, READING)["snr_db"] is None


def test_intervals_are_the_same_every_time_and_hold_the_figure() -> None:
    rng = np.random.default_rng(1)
    reference = rng.uniform(50, 120, 120)
    reading = reference + rng.normal(0.0, 3.0, 120)
    people = [f"s{k // 6}" for k in range(120)]
    first = with_intervals(reference, reading, people, rounds=200)
    assert first == with_intervals(reference, reading, people, rounds=200)
    assert first != with_intervals(reference, reading, people, rounds=200, seed=1)
    assert (first["n"], first["subjects"]) == (120, 20)
    assert set(first["interval"]) == set(METRICS) - {"snr_db"}
    for name, (low, high) in first["interval"].items():
        assert low <= first[name] <= high
    # mean |error| of a normal of 3 bpm is 2.39, its standard error over 120 about 0.16
    low, high = first["interval"]["mae"]
    assert 0.3 < high - low < 1.2


def test_intervals_resample_people_and_not_windows() -> None:
    # two people, each always wrong by the same amount: windows say nothing new
    reference = np.full(200, 70.0)
    reading = np.concatenate([np.full(100, 71.0), np.full(100, 79.0)])
    people = ["a"] * 100 + ["b"] * 100
    assert with_intervals(reference, reading, people)["interval"]["mae"] == [1.0, 9.0]
    alone = with_intervals(reference[:100], reading[:100], people[:100])
    assert "interval" not in alone
    assert alone["mae"] == 1.0


def test_rate_bands() -> None:
    bands = [rate_band(bpm) for bpm in (45.0, 59.9, 60.0, 89.9, 90.0, 119.9, 120.0, 200.0)]
    assert bands == ["<60", "<60", "60-90", "60-90", "90-120", "90-120", ">120", ">120"]
    with pytest.raises(ValueError, match="no heart rate"):
        rate_band(float("nan"))


def test_reliability() -> None:
    # of ten readings at 0.95 nine are right, of ten at 0.55 three
    confidence = np.array([0.95] * 10 + [0.55] * 10)
    right = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    found = reliability(confidence, right)
    assert found["ece"] == pytest.approx(0.5 * 0.05 + 0.5 * 0.25)
    assert [one["n"] for one in found["bins"]] == [10, 10]
    assert found["bins"][0] == {"confidence": pytest.approx(0.55), "right": 0.3, "n": 10}
    assert reliability(np.ones(3), np.ones(3, bool))["ece"] == 0.0
    assert reliability(np.zeros(0), np.zeros(0, bool)) == {"n": 0, "ece": None, "bins": []}


def test_coverage_curve() -> None:
    curve = coverage_curve(np.array([0.9, 0.5, 0.9, 0.1]), np.array([1.0, 4.0, 3.0, 8.0]), 8)
    # the two at 0.9 come together; half of the seconds have no estimate at all
    assert curve == [
        {"threshold": 0.9, "coverage": 0.25, "mae": 2.0},
        {"threshold": 0.5, "coverage": 0.375, "mae": pytest.approx(8.0 / 3.0)},
        {"threshold": 0.1, "coverage": 0.5, "mae": 4.0},
    ]
    assert coverage_curve(np.zeros(0), np.zeros(0), 5) == []
    many = coverage_curve(np.linspace(0, 1, 500), np.ones(500), 500)
    assert len(many) == 50
    assert many[-1]["coverage"] == 1.0
