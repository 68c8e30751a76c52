"""hrd compare: a known error is found, whatever the reference's clock says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

from hrd.cli.main import main
from hrd.compare.align import BY_BEATS, BY_RATES, BY_WAVES
from hrd.compare.figures import compare, figures
from hrd.compare.said import Said, from_messages
from hrd.compare.truth import BEATS, RATE, WAVE, make_truth
from hrd.devices.oximeter import NineBytes
from hrd.devices.sample import Sample, SampleWriter
from hrd.devices.strap import Strap
from hrd.errors import HrdError
from tests.device_help import (
    EPOCH_S,
    FakeBleak,
    KnownHeart,
    device_time,
    measurement,
    nine_bytes,
    said_of,
)

SECONDS, LAG_S, DRIFT = 300, 2.0, 1e-4
HEART = KnownHeart(SECONDS)
ERROR = 1.0 + np.random.default_rng(3).normal(0.0, 1.5, SECONDS - 20)
ERROR[::7] = np.nan  # hrd said nothing
ERROR[100:104] = 15.0  # and was wrong
SPOKEN = ERROR[np.isfinite(ERROR)]


def strap_samples(lag_s: float = LAG_S) -> List[Sample]:
    """A strap's notifications once a second, of the beats since the last one; two dropouts."""
    beats_s = HEART.beat_times()
    sent: List[Any] = []
    at_s = np.arange(0.0, SECONDS)
    rates = HEART.mean_bpm(at_s)
    for clock_s, true_s, rate in zip(device_time(at_s, lag_s, DRIFT), at_s, rates):
        own = np.flatnonzero((beats_s > true_s - 1.0) & (beats_s <= true_s))
        bpm = int(round(float(rate)))
        data = measurement(bpm, [beats_s[k] - beats_s[k - 1] for k in own])
        if 120 <= true_s < 135 or 200 <= true_s < 204:
            sent.append(None if true_s in (120, 200) else ...)
        else:
            sent.append((float(clock_s), data))
    bleak = FakeBleak([one for one in sent if one is not ...])
    return list(Strap("", bleak, lambda: bleak.now_s).samples(lambda: bleak.over))


def oximeter_samples(lag_s: float = LAG_S) -> List[Sample]:
    """An oximeter's bytes in bursts of a tenth of a second, the finger out twice."""
    protocol, samples = NineBytes(), []
    true_s = np.arange(0.0, SECONDS, 1.0 / 60.0)
    clock_s = device_time(true_s, lag_s, DRIFT)
    wave = np.clip(np.round(60 + 35 * HEART.wave(true_s)), 0, 127).astype(int)
    for first in range(0, len(true_s), 6):
        part = slice(first, first + 6)
        finger = not (80 <= true_s[first] < 95 or 200 <= true_s[first] < 203)
        data = b"".join(nine_bytes(int(value), 74, finger) for value in wave[part])
        samples += protocol.feed(data, float(clock_s[part][-1]))
    return samples


@pytest.fixture(autouse=True)
def _quick_strap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hrd.devices.strap._LISTEN_S", 0.01)
    monkeypatch.setattr("hrd.devices.strap._RETRY_S", 0.01)


@pytest.mark.parametrize("wave", [True, False])
@pytest.mark.parametrize("device", ["strap", "oximeter"])
@pytest.mark.parametrize("lag_s", [LAG_S, -2.0])
def test_a_lag_is_found_and_the_error_is_right(device: str, wave: bool, lag_s: float) -> None:
    samples = strap_samples(lag_s) if device == "strap" else oximeter_samples(lag_s)
    truth = make_truth(samples)
    assert truth.kind == (BEATS if device == "strap" else WAVE)
    one = compare(said_of(HEART, ERROR, wave), truth)
    by = BY_BEATS if device == "strap" else BY_WAVES
    assert one.lag.by == (by if wave else BY_RATES)
    assert one.lag.lag_s == pytest.approx(lag_s, abs=0.2)
    assert not one.lag.inverted
    told = figures([one])["comparisons"][0]
    known = np.isfinite(one.reference_bpm) & np.isfinite(ERROR)
    assert told["mae"] == pytest.approx(float(np.abs(ERROR[known]).mean()), abs=0.2)
    assert told["rmse"] == pytest.approx(float(np.sqrt((ERROR[known] ** 2).mean())), abs=0.2)
    assert told["bias"] == pytest.approx(float(ERROR[known].mean()), abs=0.15)
    spread = 1.96 * float(ERROR[known].std(ddof=1))
    low, high = told["limits_of_agreement"]
    assert high - low == pytest.approx(2 * spread, rel=0.05)
    assert told["said"] == int(known.sum())
    assert 10 < told["seconds_without_reference"] < 70  # the dropouts
    right = float((np.abs(ERROR[known]) <= 5.0).mean())
    assert told["calibration"]["ece"] == pytest.approx(abs(0.9 - right), abs=0.02)


@pytest.mark.parametrize("lag_s", [LAG_S, -2.0])
def test_a_wave_that_is_upside_down(lag_s: float) -> None:
    samples = [
        replace(one, wave=127.0 - one.wave) if one.wave is not None else one
        for one in oximeter_samples(lag_s)
    ]
    one = compare(said_of(HEART, ERROR, wave=True), make_truth(samples))
    assert one.lag.by == BY_WAVES
    assert one.lag.inverted
    assert one.lag.lag_s == pytest.approx(lag_s, abs=0.2)
    told = figures([one])["comparisons"][0]
    known = np.isfinite(one.reference_bpm) & np.isfinite(ERROR)
    assert told["mae"] == pytest.approx(float(np.abs(ERROR[known]).mean()), abs=0.2)
    assert "upside down" in told["note"]


def test_a_device_that_gives_rates_only() -> None:
    at_s = np.arange(0.0, SECONDS)
    bpm = HEART.mean_bpm(at_s, over_s=2.0)
    samples = [
        Sample(float(t), round(float(rate))) for t, rate in zip(device_time(at_s, LAG_S, 0.0), bpm)
    ]
    truth = make_truth(samples)
    assert truth.kind == RATE
    one = compare(said_of(HEART, ERROR), truth)
    # its rate is the mean of two seconds: that is a second of lag more
    assert one.lag.lag_s == pytest.approx(LAG_S + 1.0, abs=0.2)
    error = figures([one])["comparisons"][0]["mae"]
    assert error == pytest.approx(float(np.abs(SPOKEN).mean()), abs=0.2)


def test_truth_does_not_reach_over_a_hole() -> None:
    truth = make_truth([Sample(float(t), 60.0) for t in range(100) if not 40 <= t < 60])
    assert truth.bpm(np.array([20.0]), np.array([28.0]))[0] == pytest.approx(60.0)
    assert np.isnan(truth.bpm(np.array([45.0]), np.array([53.0]))[0])
    assert np.isnan(truth.bpm(np.array([97.0]), np.array([105.0]))[0])
    with pytest.raises(HrdError, match="says no heart rate"):
        make_truth([Sample(float(t)) for t in range(100)])


def test_missed_beats_are_no_slow_heart() -> None:
    beats_s = np.arange(0.0, 100.0, 0.8)
    beats_s = np.delete(beats_s, [20, 21, 60])
    samples = [Sample(t, ibi_ms=(1000 * (t - s),)) for s, t in zip(beats_s, beats_s[1:])]
    truth = make_truth(samples)
    at_s = np.arange(10.0, 90.0, 5.0)
    bpm = truth.bpm(at_s - 8.0, at_s)
    assert np.isfinite(bpm).sum() >= 12
    assert bpm[np.isfinite(bpm)] == pytest.approx(75.0, abs=0.5)


def test_what_cannot_be_compared_is_said() -> None:
    truth = make_truth(strap_samples())
    with pytest.raises(HrdError, match="too seldom"):
        compare(said_of(HEART, np.r_[ERROR[:5], np.full(100, np.nan)]), truth)
    later = said_of(HEART, ERROR)
    later = Said(later.time_s + 9e4, later.bpm, later.confidence)
    with pytest.raises(HrdError, match="different times"):
        compare(later, truth)


def messages(said: Said) -> str:
    lines: List[Any] = [{"class": "VERSION", "proto": "1.0", "release": "0"}]
    for time_s, bpm in zip(said.time_s, said.bpm):
        reading: Any = {"class": "HR", "time": round(time_s, 3), "state": "unsure"}
        if np.isfinite(bpm):
            reading.update(state="tracking", bpm=round(bpm, 1), confidence=0.9)
        lines.append(reading)
    for at_s, fs_hz, wave in said.wave:
        lines.append({"class": "PPG", "time": at_s, "fs_hz": fs_hz, "bvp": list(wave)})
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    for person in ("anna", "ben"):
        writer = SampleWriter(tmp_path / person / "reference.csv")
        for sample in oximeter_samples() if person == "anna" else strap_samples():
            writer.write(sample)
        writer.close()
        said = said_of(HEART, ERROR, wave=True)
        (tmp_path / person / "hrd.jsonl").write_text(messages(said))
    page = tmp_path / "both.html"
    anna, ben = str(tmp_path / "anna"), str(tmp_path / "ben")
    assert main(["compare", anna, ben, "--json", "--out", str(page)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in report["comparisons"]] == ["anna", "ben"]
    assert [one["lag"]["by"] for one in report["comparisons"]] == [BY_WAVES, BY_BEATS]
    assert report["all"]["said"] == sum(one["said"] for one in report["comparisons"])
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 4
    assert "limits of agreement" in text

    kept = str(tmp_path / "kept")
    argv = ["compare", "--hrd", f"{anna}/hrd.jsonl", "--reference", f"{anna}/reference.csv"]
    assert main([*argv, "--keep", kept, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["comparisons"][0]
    assert main(["compare", kept, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparisons"][0] == first
    assert main([*argv, "--keep", kept]) == 2
    assert "already holds" in capsys.readouterr().err

    one = tmp_path / "one.md"
    argv = ["compare", "--hrd", f"{anna}/hrd.jsonl", "--reference", f"{anna}/reference.csv"]
    assert main([*argv, "--out", str(one), "--lag", "2"]) == 0
    assert "+2.00" in capsys.readouterr().out
    assert "the lag was given" in one.read_text()
    for name in ("rates", "bland-altman", "calibration"):
        assert f"one-{name}.png" in one.read_text()
        assert (tmp_path / f"one-{name}.png").stat().st_size > 5000
    assert main([*argv, "--out", "one.txt"]) == 2


def test_readings_of_a_clip_have_seconds_of_their_own() -> None:
    said = said_of(HEART, ERROR)
    clip = Said(said.time_s - EPOCH_S, said.bpm, said.confidence)
    one = compare(clip, make_truth(strap_samples(0.0)))
    # the clip begins with the reference, as far as anybody knows; the rest is the lag
    assert one.lag.lag_s == pytest.approx(0.0, abs=1.5)
    assert figures([one])["comparisons"][0]["bias"] == pytest.approx(1.0, abs=0.3)


def test_lines_that_are_no_readings_are_passed_over() -> None:
    said = from_messages([{"class": "STATUS"}, {"class": "HR"}, {"class": "HR", "time": 1.0}])
    assert said.time_s.tolist() == [1.0]
    assert np.isnan(said.bpm).all()
