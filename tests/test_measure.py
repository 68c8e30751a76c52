"""``hrd measure`` over real and drawn video."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

from hrd.cli.main import main
from hrd.measure.clip import Measurement, confidence_in
from hrd.types import NEAR_BPM, Reading, State


def measure(capsys: pytest.CaptureFixture[str], *argv: str) -> Dict[str, Any]:
    assert main(["measure", "--json", *argv]) == 0
    result: Dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def retimed(source: Path, target: Path, times_s: List[float]) -> Path:
    """The frames of ``source`` nearest to these times, stamped with these times, lossless."""
    import av

    with av.open(str(source)) as container:
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    stamps = np.array([time for time, _ in frames])
    with av.open(str(target), "w") as container:
        stream = container.add_stream("ffv1", rate=1000)
        stream.height, stream.width = frames[0][1].shape[:2]
        stream.pix_fmt = "bgr0"
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_s in times_s:
            nearest = int(np.abs(stamps - time_s).argmin())
            picture = av.VideoFrame.from_ndarray(frames[nearest][1], format="rgb24")
            # the true time of that frame: a camera's clock does not lie about its own frames
            picture.pts = int(round(1000 * stamps[nearest]))
            picture.time_base = Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return target


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "pos"])
def test_the_real_clip(capsys, face_clip: Path, engine: str) -> None:
    result = measure(capsys, "--engine", engine, str(face_clip))
    assert result["bpm"] == pytest.approx(53, abs=3)
    assert result["confidence"] > 0.8
    assert result["engine"] == engine
    assert result["fps"] == pytest.approx(30, abs=0.01)
    assert result["seconds"] == pytest.approx(10.0, abs=0.1)
    tracking = [r for r in result["readings"] if r["state"] == "tracking"]
    assert tracking
    assert [r["bpm"] for r in tracking] == pytest.approx([53] * len(tracking), abs=NEAR_BPM)
    assert all("bpm" not in r and "reason" in r for r in result["readings"] if r not in tracking)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnx", "pos"])
def test_timestamps_count(capsys, face_clip: Path, tmp_path: Path, engine: str) -> None:
    rng = np.random.default_rng(0)
    steady = np.arange(0.0, 10.0, 1 / 22)
    jittery = sorted(set(np.round((steady + rng.uniform(-0.01, 0.01, len(steady))) * 30) / 30))
    clip = retimed(face_clip, tmp_path / "jittery.mkv", [max(0.0, t) for t in jittery])
    whole = measure(capsys, "--engine", engine, str(face_clip))
    result = measure(capsys, "--engine", engine, str(clip))
    assert result["fps"] == pytest.approx(22, abs=1)
    assert result["bpm"] == pytest.approx(whole["bpm"], abs=2)


@pytest.mark.slow
def test_drawn_face_with_waveform(capsys) -> None:
    result = measure(capsys, "--ppg", "-", "sim:bpm=95,seconds=15,seed=11")
    assert result["bpm"] == pytest.approx(95, abs=2)
    pulse = np.concatenate([chunk["bvp"] for chunk in result["ppg"]])
    assert len(pulse) == pytest.approx(15 * 30, abs=2)
    for before, after in zip(result["ppg"], result["ppg"][1:]):
        assert after["t"] == pytest.approx(before["t"] + len(before["bvp"]) / 30, abs=2e-3)
    spectrum = np.abs(np.fft.rfft(pulse - pulse.mean(), 8192))
    frequency = 60 * np.fft.rfftfreq(8192, 1 / 30)
    band = (frequency > 42) & (frequency < 240)
    assert frequency[band][spectrum[band].argmax()] == pytest.approx(95, abs=3)


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["kind=photo,seed=0", "kind=photo,seed=4", "kind=wall"])
def test_what_has_no_pulse_gets_no_bpm(capsys, spec: str) -> None:
    result = measure(capsys, f"sim:seconds=12,{spec}")
    assert "bpm" not in result
    assert {r["state"] for r in result["readings"]} <= {"warming_up", "unsure", "no_face"}


def test_text_output_is_for_people(capsys) -> None:
    assert main(["measure", "--engine", "pos", "sim:bpm=66,seconds=3,seed=2"]) == 0
    out = capsys.readouterr().out
    assert "warming_up: FILLING_WINDOW (collecting the first seconds)" in out
    assert "whole clip: no bpm" in out


def test_a_live_source_is_refused(capsys) -> None:
    assert main(["measure", "--engine", "pos", "csi://0"]) == 1
    assert capsys.readouterr().err.startswith("hrd: ")


def readings(*bpm: float) -> List[Reading]:
    return [Reading(float(i), State.TRACKING, one, 0.9) for i, one in enumerate(bpm)]


def test_a_whole_clip_has_no_rate_that_many_of_its_readings_are_far_from() -> None:
    """One person fades into another, or a heart runs up: the figure would be right of nobody."""
    two = readings(84, 84, 83, 77, 62, 62, 61, 62)
    assert confidence_in(62.4, two) is None
    assert confidence_in(62.4, two[3:]) == pytest.approx(0.9)
    assert confidence_in(70.0, readings(66, 74, 69, 79, 61, 72)) == pytest.approx(0.9)
    said = Measurement("a.mp4", 8.0, 240, 30.0, "onnx", "student", two, [], None, None)
    assert said.why_no_bpm == "its readings go from 61 to 84 bpm, which is no one rate"
