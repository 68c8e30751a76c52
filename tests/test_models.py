"""The models that hrd comes with: loadable, what their cards say, and right about a real face."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from hrd import normalise
from hrd.engine.card import NAMES, model_path, models_dir
from hrd.engine.onnx import OnnxEngine
from hrd.types import RoiChunk

PARAMS = {"student": 24_769, "teacher": 795_811}


def shipped() -> list:
    return [name for name in NAMES if (models_dir() / f"{name}.onnx").exists()]


def card_of(name: str) -> dict:
    return json.loads(model_path(name).with_suffix(".json").read_text())


def test_the_default_model_is_there():
    assert "student" in shipped()


@pytest.mark.parametrize("name", shipped())
def test_the_card_is_of_this_very_file(name):
    card = card_of(name)
    assert card["sha256"] == hashlib.sha256(model_path(name).read_bytes()).hexdigest()
    assert card["normalisation"] == normalise.NAME
    assert card["params"] == pytest.approx(PARAMS[name], rel=0.02)
    assert card["training"]["command"].startswith("hrd train")


@pytest.mark.parametrize("name", shipped())
def test_any_chunking_of_a_stream_gives_one_signal(name):
    rng = np.random.default_rng(5)
    picture = rng.uniform(60, 200, (36, 36, 3))
    crops = (picture + rng.normal(0.0, 1.0, (120, 36, 36, 3))).astype(np.float32)
    cut = np.zeros(120, bool)
    cut[70] = True

    def signal(lengths):
        engine = OnnxEngine(name)
        parts, start = [], 0
        for length in lengths:
            part = slice(start, start + length)
            still = np.zeros((len(crops[part]), 2), np.float32)
            chunk = RoiChunk(start / 30.0, 30.0, crops[part], cut[part], still)
            parts.append(engine.process(chunk).bvp)
            start += length
        return np.concatenate(parts)

    whole = signal([120])
    assert whole.std() > 1e-3
    for lengths in ([30] * 4, [1] * 120, [7, 64, 49]):
        np.testing.assert_allclose(signal(lengths), whole, atol=1e-4)


@pytest.mark.parametrize("name", shipped())
@pytest.mark.slow
def test_a_real_face_reads_53(name, face_clip: Path):
    from hrd.capture.video import VideoFileSource
    from hrd.face.detect import open_detector
    from hrd.face.track import FaceTracker
    from hrd.window import SlidingWindow

    window = SlidingWindow(10_000)
    detector = open_detector("auto")
    tracker = FaceTracker(detector)
    with VideoFileSource(str(face_clip)) as source:
        for frame in source:
            roi = tracker.push(frame)
            if roi is not None:
                window.push(roi)
    detector.close()
    chunk = window.flush()
    assert chunk is not None
    engine = OnnxEngine(name)
    signal = engine.process(chunk).bvp[engine.delay_frames + 15 :]
    power = np.abs(np.fft.rfft(signal - signal.mean(), 8192)) ** 2
    bpm = np.fft.rfftfreq(8192, 1 / 30.0) * 60.0
    band = (bpm >= 40) & (bpm <= 200)
    assert bpm[band][np.argmax(power[band])] == pytest.approx(53.0, abs=1.5)
