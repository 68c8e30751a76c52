"""An evaluation from start to report, on tiny data."""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional

import jsonschema
import numpy as np
import pytest

import hrd.evaluation
from hrd.cli import eval as eval_command
from hrd.engine.base import Engine
from hrd.engine.pos import PosEngine
from hrd.errors import HrdError, UsageError
from hrd.evaluation import runner
from hrd.evaluation.classic import ChromEngine, GreenEngine
from hrd.evaluation.methods import MethodSpec
from hrd.evaluation.protocol import LiveRow, WindowRow, live_rows, window_rows
from hrd.evaluation.recording import Entry, Recording, Reference, ReferenceRate
from hrd.evaluation.replay import Output, Pass, run_methods, track
from hrd.evaluation.summary import live_figures, published, summarise
from hrd.face.track import TrackerConfig
from hrd.pipeline import Pipeline, PipelineConfig
from hrd.pulse import PulseConfig
from hrd.types import FaceView, Frame, NoFace, PulseChunk, Reading, State
from tests import eval_help as made
from tests.fakes import SKIN_FACE, always, skin_frame

SCHEMA = json.loads(
    (Path(hrd.evaluation.__file__).parent / "report.schema.json").read_text(encoding="utf-8")
)
SECONDS = 12.0


def skin_recording(bpm: float, seconds: float = SECONDS, name: str = "a") -> Recording:
    times_s = np.arange(int(seconds * 30)) / 30.0

    def frames() -> Iterator[Frame]:
        for k, time_s in enumerate(times_s):
            yield skin_frame(k, float(time_s), bpm)

    return Recording(
        subject=name,
        name=name,
        reference=Reference(made.wave(times_s, bpm), times_s),
        frames=frames,
        groups={"skin tone": name},
    )


def passed(recording: Recording, engines: Dict[str, Engine]) -> Pass:
    tracked = track(recording, always(SKIN_FACE), TrackerConfig())
    return run_methods(tracked, engines, PulseConfig())


def test_all_methods_read_the_same_faces() -> None:
    recording = skin_recording(84.0)
    done = passed(recording, {"P": PosEngine(), "C": ChromEngine(), "G": GreenEngine()})
    rows = window_rows("", recording, done, ReferenceRate(recording.reference, "bvp"))
    assert {(row.method, row.window_s) for row in rows} == {
        (method, window_s) for method in "PCG" for window_s in (0.0, 10.0)
    }
    for row in rows:
        assert row.reference_bpm == pytest.approx(84.0, abs=0.5)
        assert row.bpm == pytest.approx(84.0, abs=1.0)
        assert row.snr_db is not None
        assert row.snr_db > 3.0


def test_readings_are_those_of_the_live_pipeline() -> None:
    """Whatever the threshold: gating afterwards is what the pipeline would have done."""
    recording = skin_recording(72.0)
    config = PipelineConfig()
    done = passed(recording, {"P": PosEngine()})
    pipeline = Pipeline(always(SKIN_FACE), PosEngine(), config)
    assert recording.frames is not None
    said = [reading for reading in map(pipeline.push, recording.frames()) if reading is not None]
    rows = done.outputs["P"].readings
    assert len(rows) == len(said)
    tracked = 0
    for live, row in zip(said, rows):
        assert live.time_s == row.time_s
        if live.state is State.TRACKING:
            tracked += 1
            assert (live.bpm, live.confidence) == (row.bpm, row.confidence)
            assert row.confidence is not None
            assert row.confidence >= config.pulse.min_confidence
    reference = ReferenceRate(recording.reference, "bvp")
    kept = published(live_rows("", recording, done, reference, ["P"]), config.pulse.min_confidence)
    assert [r.time_s for r in kept] == [r.time_s for r in said if r.state is State.TRACKING]
    assert tracked >= 4


def test_signal_between_times_knows_its_holes() -> None:
    output = Output(
        [
            PulseChunk(0.0, 30.0, np.arange(30, dtype=np.float32)),
            PulseChunk(1.0, 30.0, np.arange(30, 60, dtype=np.float32)),
            PulseChunk(4.0, 30.0, np.arange(120, 150, dtype=np.float32)),
        ]
    )
    first, second = output.between(0.5, 4.5)
    assert (first[0], second[0]) == (0.5, 4.0)
    np.testing.assert_array_equal(first[1], np.arange(15, 60))
    np.testing.assert_array_equal(second[1], np.arange(120, 135))
    assert output.between(2.0, 4.0) == []


def test_a_window_without_signal_is_missing_and_not_forgotten() -> None:
    recording = skin_recording(72.0)
    assert recording.frames is not None
    frames = list(recording.frames())

    def hidden() -> Iterator[FaceView]:
        seen = track(recording, always(SKIN_FACE), TrackerConfig())
        for k, step in enumerate(seen):
            yield step if k < 90 else NoFace(step.time_s)

    done = run_methods(hidden(), {"P": PosEngine()}, PulseConfig())
    assert done.frames == len(frames)
    assert done.face_share == pytest.approx(0.25)
    rows = window_rows("", recording, done, ReferenceRate(recording.reference, "bvp"))
    assert [row.bpm for row in rows] == [None, None]
    section = summarise(
        [runner.RecordingResult("a", "", rows, [], "bvp", 12.0)], ["P"], [], 0.8, rounds=10
    )[0]
    assert section["windows"]["10"]["P"]["missing"] == 1
    assert section["windows"]["10"]["P"]["n"] == 0


def live_row(
    time_s: float, bpm: Optional[float], confidence: Optional[float], **more: object
) -> LiveRow:
    row = LiveRow("", "P", "a", "a", time_s, 70.0, True, bpm, confidence, None)
    return replace(row, **more)  # type: ignore[arg-type]


def test_live_figures() -> None:
    rows = [
        live_row(0.0, None, None, reason="FILLING_WINDOW"),
        live_row(0.97, None, None, reason="FILLING_WINDOW"),
        live_row(5.97, 72.0, 0.98),
        live_row(6.97, 80.0, 0.85),
        live_row(12.97, 71.0, 0.95),
        live_row(13.97, 90.0, 0.4),
        live_row(14.97, 90.0, 0.4, reference_bpm=None),  # nobody knows: left out
    ]
    found = live_figures(rows, 0.8)
    assert found["seconds"] == 5  # two rows in the first second are one
    assert found["published"] == 3
    assert found["coverage"] == pytest.approx(0.6)
    assert found["coverage_settled"] == pytest.approx(0.5)
    assert found["mae"] == pytest.approx((2 + 10 + 1) / 3)
    assert found["bias"] == pytest.approx(13 / 3)
    assert found["right_of_published"] == pytest.approx(2 / 3)
    assert found["first_reading_s"] == {"never": 0, "median": 5.97, "p95": 5.97}
    assert found["refused"] == {"FILLING_WINDOW": 1, "LOW_CONFIDENCE": 1}
    assert found["calibration"]["n"] == 4


def test_a_reading_without_a_pulse_is_wrong() -> None:
    rows = [
        live_row(float(k), 70.0, 0.98, has_pulse=False, reference_bpm=None) for k in range(3)
    ] + [live_row(3.0, 70.0, 0.1, has_pulse=False, reference_bpm=None)]
    found = live_figures(rows, 0.8)
    assert found["coverage"] == pytest.approx(0.75)
    assert found["right_of_published"] == 0.0
    assert found["mae"] is None
    assert found["calibration"]["ece"] == pytest.approx((3 * 0.98 + 0.1) / 4)


def test_sections_and_all_of_them() -> None:
    def result(section: str, error: float) -> runner.RecordingResult:
        row = WindowRow(
            section, "P", section, section, 10.0, 0.0, 70.0, 70.0 + error, 1.0, 70.0, 70.0
        )
        return runner.RecordingResult(section, section, [row], [], "bvp", 10.0)

    results = [result("hard", 4.0), result("easy", 0.0)]
    sections = summarise(results, ["P"], [], 0.8, rounds=0)
    assert [section["name"] for section in sections] == ["hard", "easy", "all"]
    assert [section["windows"]["10"]["P"]["mae"] for section in sections] == [4.0, 0.0, 2.0]
    assert sections[2]["windows"]["10"]["P"]["peak"] == {"mae": 0.0, "rmse": 0.0, "bias": 0.0}
    assert [s["name"] for s in summarise(results[:1], ["P"], [], 0.8, rounds=0)] == ["hard"]


def test_heavy_libraries_wait_until_they_are_needed() -> None:
    code = (
        "import sys, hrd.cli.eval, hrd.evaluation.session, hrd.evaluation.report, "
        "hrd.evaluation.pictures, hrd.evaluation.testset, hrd.evaluation.painted; "
        "print(sorted({'torch', 'matplotlib', 'h5py', 'mediapipe'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_groups_tell_the_gap_gated_and_not() -> None:
    def window(group: str, error: float) -> WindowRow:
        groups = {"skin tone": group}
        read = 70.0 + error
        return WindowRow("", "P", group, group, 10.0, 0.0, 70.0, read, 1.0, 70.0, read, groups)

    rows = [window("3", 1.0), window("3", -1.0), window("6", 6.0), window("6", 4.0)]
    live = [
        live_row(20.0, 71.0, 0.98, recording="3", groups={"skin tone": "3"}),
        live_row(20.0, 72.0, 0.98, recording="6", groups={"skin tone": "6"}),
        live_row(21.0, 72.0, 0.2, recording="6", groups={"skin tone": "6"}),
    ]
    result = runner.RecordingResult("x", "", rows, live, "bvp", 10.0)
    split = summarise([result], ["P"], ["P"], 0.8, rounds=0)[0]["groups"]["skin tone"]["P"]
    assert split["values"]["3"]["ungated"]["bias"] == 0.0
    assert split["values"]["6"]["ungated"]["mae"] == 5.0
    assert split["values"]["6"]["gated"]["rejection_rate"] == pytest.approx(0.5)
    assert split["gap_mae"] == {"ungated": pytest.approx(4.0), "gated": pytest.approx(1.0)}


def parse(argv: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    eval_command.add_parser(parser.add_subparsers())
    return parser.parse_args(["eval", *argv])


@pytest.fixture
def ubfc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two good recordings and two bad ones; the face is where ``skin_frame`` puts it."""
    monkeypatch.setattr(runner, "open_detector", lambda name: always(SKIN_FACE))
    root = tmp_path / "DATASET_2"
    for name, bpm in (("subject1", 72.0), ("subject3", 96.0)):
        made.write_ubfc_2(root, name, made.skin(SECONDS, bpm), bpm, SECONDS)
    bad = made.write_ubfc_2(root, "subject4", made.small(9), 72.0, SECONDS)
    (bad / "vid.avi").write_bytes(b"RIFF")
    bad = made.write_ubfc_2(root, "subject5", made.small(9), 72.0, SECONDS)
    (bad / "ground_truth.txt").unlink()
    return root


@pytest.mark.slow
def test_from_the_command_line(
    ubfc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    argv = ["ubfc-rppg", str(ubfc), "--methods", "pos,chrom,green", "--out", str(out), "--json"]
    args = parse(argv)
    assert args.run(args) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    jsonschema.validate(report, SCHEMA)
    assert json.loads((out / "report.json").read_text()) == report
    assert report["recordings"] == {"found": 4, "evaluated": 2, "left_out": 2}
    assert any("vid.avi" in line for line in report["skipped"])
    assert any("ground_truth.txt is missing" in line for line in report["skipped"])
    assert printed.err.count("hrd: left out:") == 2
    for method in ("POS", "CHROM", "GREEN"):
        figures = report["sections"][0]["windows"]["10"][method]
        assert (figures["n"], figures["subjects"]) == (2, 2)
        assert figures["mae"] < 1.0
        assert figures["interval"]["mae"][0] <= figures["mae"] <= figures["interval"]["mae"][1]
    assert set(report["sections"][0]["live"]) == {"POS"}
    assert set(report["sections"][0]["rate_bands"]) == {"60-90", "90-120"}

    text = (out / "report.md").read_text()
    assert "| student + KD     | 24,769" in text
    assert "**POS**" in text
    assert "2 of 4 recordings evaluated, 2 left out" in text
    with open(out / "windows.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 2  # recordings, methods, whole and 10 s
    for name in ("bland-altman.png", "reliability.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_markdown_and_the_reference_that_was_asked_for(
    ubfc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = parse(["ubfc-rppg", str(ubfc), "--methods", "green", "--limit", "1"])
    args.reference = "rate"
    assert args.run(args) == 0
    text = capsys.readouterr().out
    assert text.startswith("# hrd eval: UBFC-rPPG DATASET_2\n")
    assert "rate (mean of the heart rate that the data set itself gives" in text
    # the oximeter's row is a beat too high on purpose
    row = next(line for line in text.splitlines() if line.startswith("| GREEN  | 1 | 0"))
    assert float(row.split("|")[4]) == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["pure"], "needs the directory"),
        (["testset", "somewhere"], "takes no directory"),
        (["painted"], "needs the .npz"),
        (["pure", ".", "--clips", "3"], "for the layouts testset and painted only"),
        (["pure", ".", "--methods", "magic"], "unknown method"),
        (["testset", "--clips", "0"], "--clips 0"),
        (["testset", "--limit", "0"], "--limit 0"),
        (["testset", "--workers", "0"], "--workers 0"),
        (["painted", "x.npz", "--difficulty", "hard"], "for the layout testset only"),
    ],
)
def test_bad_usage(argv: List[str], match: str) -> None:
    args = parse(argv)
    with pytest.raises(UsageError, match=match):
        args.run(args)


def test_nothing_that_can_be_evaluated(ubfc: Path, tmp_path: Path) -> None:
    for name in ("subject1", "subject3"):
        (ubfc / name / "vid.avi").unlink()
    args = parse(["ubfc-rppg", str(ubfc), "--methods", "pos"])
    with pytest.raises(HrdError, match="none of the 4 recordings could be evaluated"):
        args.run(args)
    args = parse(["ubfc-rppg", str(tmp_path / "absent"), "--methods", "pos"])
    with pytest.raises(HrdError, match="absent is not a directory"):
        args.run(args)


def test_a_bad_recording_is_a_problem_and_no_end() -> None:
    def bad() -> Recording:
        raise HrdError("bad.avi is missing; copy it again")

    job = runner.Job((MethodSpec("GREEN", "green"),))
    results = list(runner.run_all([Entry("bad", bad), Entry("worse", bad)], job))
    assert [result.problem for result in results] == ["bad.avi is missing; copy it again"] * 2


def test_a_recording_that_is_odd_in_a_new_way_is_a_problem_and_no_end() -> None:
    def odd() -> Recording:
        raise ValueError("cannot convert float NaN to integer\nand more")

    job = runner.Job((MethodSpec("GREEN", "green"),))
    results = list(runner.run_all([Entry("a", odd), Entry("b", odd)], job))
    assert [result.problem for result in results] == [
        f"{name} is not laid out as expected (ValueError: cannot convert float NaN to integer); "
        "copy it again"
        for name in "ab"
    ]


def test_a_recording_whose_reference_is_elsewhere_is_a_problem() -> None:
    recording = skin_recording(72.0, seconds=3.0)
    late = replace(
        recording, reference=Reference(made.wave(np.arange(90) / 30, 72), np.arange(90) / 30 + 60)
    )
    late = replace(
        late, frames=None, tracked=lambda: track(recording, always(SKIN_FACE), TrackerConfig())
    )
    job = runner.Job((MethodSpec("GREEN", "green"),))
    (result,) = runner.run_all([Entry("late", lambda: late)], job)
    assert result.problem is not None
    assert "no reference" in result.problem


def test_pictures_that_end_early_are_noted() -> None:
    short = skin_recording(72.0, seconds=3.0)
    times_s = np.arange(300) / 30.0
    recording = replace(
        short,
        reference=Reference(made.wave(times_s, 72.0), times_s),
        frames=None,
        tracked=lambda: track(short, always(SKIN_FACE), TrackerConfig()),
    )
    job = runner.Job((MethodSpec("GREEN", "green"),))
    (result,) = runner.run_all([Entry("short", lambda: recording)], job)
    assert result.problem is None
    assert result.note == "a: its pictures end 7 s before its reference"


def test_live_rows_compare_with_the_last_eight_seconds() -> None:
    times_s = np.arange(0.0, 30.0, 1.0)
    rate = np.where(times_s < 15.0, 60.0, 90.0)
    recording = Recording("a", "a", Reference(bpm=rate, bpm_time_s=times_s))
    readings = [Reading(t, State.TRACKING, bpm=90.0, confidence=0.9) for t in (10.0, 21.0, 28.0)]
    done = Pass({"P": Output([], readings)}, 0.0, 30.0, 900, 1.0)
    rows = live_rows("", recording, done, ReferenceRate(recording.reference, "rate"), ["P"])
    assert rows[0].reference_bpm == 60.0
    assert rows[1].reference_bpm == pytest.approx(
        60.0 + 30.0 * 7 / 9
    )  # of the last 8 s, both ends in
    assert rows[2].reference_bpm == 90.0
