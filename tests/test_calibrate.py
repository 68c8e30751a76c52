"""hrd calibrate: a confidence for one's own camera, better on people left out, or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest

from hrd.cli import calibrate
from hrd.cli.main import main
from hrd.compare.said import read_said
from hrd.config import load_config
from hrd.devices.sample import Sample, SampleWriter
from hrd.engine.pos import PosEngine
from hrd.errors import HrdError
from hrd.estimate.confidence import Calibration, calibrations, load_calibration
from hrd.estimate.features import FEATURE_NAMES
from hrd.pulse import PulseConfig, PulseStage
from tests.device_help import EPOCH_S, KnownHeart
from tests.needs import needs

needs("sklearn")

from hrd.train.confidence_fit import Samples, published  # noqa: E402
from hrd.train.own_confidence import (  # noqa: E402
    Adjustment,
    adjusted,
    fit_adjustment,
    left_out,
    told,
)

SHIPPED = load_calibration("onnx")


def features(count: int, seed: int) -> np.ndarray:
    """(N, F), around what the calibration takes for usual, between noise and a clear pulse."""
    rng = np.random.default_rng(seed)
    logistic = SHIPPED.logistic
    x = logistic.mean + 0.5 * logistic.scale * rng.normal(size=(count, len(FEATURE_NAMES)))
    clear = rng.uniform(-1.5, 2.0, (count, 1))
    for name in ("posterior_logit", "snr_db", "share_logit", "pos_coherence", "agreeing"):
        k = FEATURE_NAMES.index(name)
        x[:, k] = logistic.mean[k] + clear[:, 0] * logistic.scale[k]
    x[:, FEATURE_NAMES.index("opposition")] = -0.5
    return x


def log_odds(calibration: Calibration, x: np.ndarray) -> np.ndarray:
    p = calibration.confidences(x)
    return np.log(p / (1.0 - p))


def people_of(truth: Adjustment, people: int = 6, each: int = 400, seed: int = 1) -> Samples:
    """Readings that are right as often as the adjusted log odds say."""
    x = features(people * each, seed)
    p = adjusted(SHIPPED, truth).confidences(x)
    right = np.random.default_rng(seed + 1).random(len(p)) < p
    person = np.repeat(np.arange(people), each)
    false = np.zeros(len(p), bool)
    return Samples(x, right, np.full(len(p), 70.0), person.copy(), ~false, person, false)


def pulse_free(count: int = 400, seed: int = 5) -> Samples:
    x = features(count, seed)
    false = np.zeros(count, bool)
    return Samples(
        x, false, np.full(count, 70.0), np.arange(count) // 20, false, np.full(count, -1), false
    )


@pytest.mark.parametrize("truth", [Adjustment(1.0, 1.0), Adjustment(-1.0, 0.7), Adjustment()])
def test_offset_and_slope_are_found(truth: Adjustment) -> None:
    found = fit_adjustment(SHIPPED, people_of(truth, each=2000), None, 0.8)
    assert found.offset == pytest.approx(truth.offset, abs=0.25)
    assert found.slope == pytest.approx(truth.slope, abs=0.12)


def test_the_adjusted_calibration_is_moved_and_stretched() -> None:
    x = features(50, 3)
    moved = adjusted(SHIPPED, Adjustment(0.5, 1.5))
    assert log_odds(moved, x) == pytest.approx(0.5 + 1.5 * log_odds(SHIPPED, x), abs=1e-6)
    opposed = x.copy()
    opposed[:, FEATURE_NAMES.index("opposition")] = 0.9
    assert moved.confidences(opposed).max() < 0.3  # the rule of red against blue stays


def test_people_left_out_are_better_judged_by_the_others() -> None:
    people = people_of(Adjustment(-1.2, 0.8))
    before, after = left_out(SHIPPED, people, None, 0.8)
    assert told(people, after, 0.8)["ece"] < 0.5 * told(people, before, 0.8)["ece"]
    assert told(people, after, 0.8)["log_loss"] < told(people, before, 0.8)["log_loss"]


def test_no_more_is_said_of_what_has_no_pulse() -> None:
    free = pulse_free()
    most = published(free, SHIPPED.confidences(free.x), 0.8).sum()
    assert most > 10
    generous = people_of(Adjustment(2.0, 1.0))
    alone = adjusted(SHIPPED, fit_adjustment(SHIPPED, generous, None, 0.8))
    assert published(free, alone.confidences(free.x), 0.8).sum() > most  # this is what is kept off
    fitted = adjusted(SHIPPED, fit_adjustment(SHIPPED, generous, free, 0.8))
    assert published(free, fitted.confidences(free.x), 0.8).sum() <= most


# The command.

SECONDS = 150


def keep(folder: Path, seed: int, truth: Adjustment, engine: str = "onnx", **changed: Any) -> str:
    """A comparison as hrd compare --keep leaves it: readings as right as ``truth`` says."""
    heart = KnownHeart(SECONDS, seed)
    at_s = np.arange(10.0, SECONDS)
    x = features(len(at_s), 100 + seed)
    p = SHIPPED.confidences(x)
    right = np.random.default_rng(seed).random(len(p)) < adjusted(SHIPPED, truth).confidences(x)
    lines: List[Any] = [{"class": "VERSION", "proto": "1.1", "release": "0"}]
    for time_s, row, sure, good, bpm in zip(at_s, x, p, right, heart.mean_bpm(at_s)):
        said = round(float(bpm + (1.0 if good else 20.0)), 1)
        reading: Any = {"class": "HR", "time": EPOCH_S + time_s, "state": "unsure"}
        if sure >= 0.8:
            reading.update(state="tracking", bpm=said, confidence=round(float(sure), 2))
        values = {n: {"value": float(v), "log_odds": 0.0} for n, v in zip(FEATURE_NAMES, row)}
        explain = {"bpm": said, "confidence": float(sure), "features": values, **changed}
        told_of = {"class": "FEATURES", "time": EPOCH_S + time_s, "engine": engine}
        lines += [reading, {**told_of, "explain": explain}]
    folder.mkdir()
    (folder / "hrd.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    writer = SampleWriter(folder / "reference.csv")
    beats_s = heart.beat_times()
    for before_s, beat_s in zip(beats_s, beats_s[1:]):
        writer.write(Sample(EPOCH_S + beat_s, ibi_ms=(1000.0 * (beat_s - before_s),)))
    writer.close()
    return str(folder)


@pytest.fixture(autouse=True)
def _few_drawn_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "_pulse_free", lambda args, engine: pulse_free())


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    folders = [keep(tmp_path / f"p{k}", k, Adjustment(-1.5, 0.8)) for k in range(6)]
    out = tmp_path / "own.json"
    argv = ["calibrate", "--from", *folders[:5], f"p4={folders[5]}", "--lag", "0"]
    assert main([*argv, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "people left out, hrd's own" in said
    assert f'calibration = "{out}"' in said
    held_out = json.loads(out.read_text())["fits"]["network"]["held_out"]
    assert held_out["people"] == 5  # two folders are of one person
    assert held_out["after"]["log_loss"] < held_out["before"]["log_loss"]
    # the config's one line takes it up, and the other engine keeps hrd's own
    config = tmp_path / "hrd.toml"
    config.write_text(f'[reading]\ncalibration = "{out}"\n')
    pulse = load_config(config).pipeline().pulse
    x = features(20, 9)
    own = calibrations(pulse.calibration)
    assert (own("onnx").confidences(x) < SHIPPED.confidences(x)).all()
    assert own("pos").confidences(x) == pytest.approx(load_calibration("pos").confidences(x))
    assert own("tensorrt").confidences(x) == pytest.approx(own("onnx").confidences(x))
    assert calibrations()("onnx").confidences(x) == pytest.approx(SHIPPED.confidences(x))


def test_what_is_no_better_is_not_written(tmp_path: Path, capsys: Any) -> None:
    # one person of whom the opposite is true of all others
    truths = [Adjustment(-2.0), Adjustment(2.0)] * 2
    folders = [keep(tmp_path / f"p{k}", k, truth) for k, truth in enumerate(truths)]
    out = tmp_path / "own.json"
    assert main(["calibrate", "--from", *folders, "--out", str(out), "--lag", "0"]) == 1
    assert "no better than hrd's own" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("count", "changed", "said"),
    [
        (3, {}, "3 people are too few"),
        (1, {}, "1 person is too few"),
        (4, {"features": {}}, "holds no features"),
    ],
)
def test_too_little_is_refused(
    tmp_path: Path, capsys: Any, count: int, changed: Any, said: str
) -> None:
    folders = [keep(tmp_path / f"p{k}", k, Adjustment(), **changed) for k in range(count)]
    assert main(["calibrate", "--from", *folders, "--lag", "0"]) == 1
    assert said in capsys.readouterr().err


def test_what_is_recorded_with_two_engines_is_refused(tmp_path: Path, capsys: Any) -> None:
    folders = [
        keep(tmp_path / f"p{k}", k, Adjustment(), engine)
        for k, engine in enumerate(("onnx", "tensorrt", "pos", "onnx"))
    ]
    assert main(["calibrate", "--from", *folders, "--lag", "0"]) == 1
    assert "some of a network" in capsys.readouterr().err


def test_estimates_of_a_clip_that_was_measured(tmp_path: Path) -> None:
    explain = {"bpm": 71.5, "features": {n: {"value": k} for k, n in enumerate(FEATURE_NAMES)}}
    readings: List[Any] = [
        {"t": float(t), "state": "unsure", "reason": "WEAK_SIGNAL", "explain": explain}
        for t in range(3)
    ]
    readings.append({"t": 3.0, "state": "no_face", "reason": "NO_FACE"})
    path = tmp_path / "one.json"
    path.write_text(json.dumps({"engine": "pos", "readings": readings}))
    estimated = read_said(path).estimated
    assert estimated is not None
    assert estimated.engine == "pos"
    assert estimated.time_s.tolist() == [0.0, 1.0, 2.0]
    assert estimated.bpm.tolist() == [71.5] * 3
    assert estimated.features[0].tolist() == list(range(len(FEATURE_NAMES)))


@pytest.mark.parametrize("content", ["", "{}", '{"fits": {"pos": {}}}', '{"fits": 3}'])
def test_a_file_that_is_no_calibration_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "own.json"
    path.write_text(content)
    config = replace(PulseConfig(), calibration=str(path))
    with pytest.raises(HrdError, match="take reading.calibration out of the config"):
        PulseStage(PosEngine(), config)


def test_bad_usage() -> None:
    assert main(["calibrate", "--from", "x", "--min-confidence", "2"]) == 2
