from __future__ import annotations

from typing import Callable, Dict, List, Optional, Set

import numpy as np
import pytest

from hrd.engine.pos import PosEngine
from hrd.face.detect import FaceDetector
from hrd.pipeline import STAGES, TOGETHER_S, Pipeline
from hrd.stopwatch import stopwatch
from hrd.types import FaceBox, Frame, PulseChunk, Reading, Reason, State
from tests.fakes import SKIN_FACE, PlannedDetector, always, skin_frame


def play(
    frame_at: Callable[[int], Frame],
    count: int,
    detector: Optional[FaceDetector] = None,
    on_pulse: Optional[Callable[[PulseChunk], None]] = None,
) -> List[Reading]:
    pipeline = Pipeline(detector or always(SKIN_FACE), PosEngine(), on_pulse=on_pulse)
    readings = [pipeline.push(frame_at(i)) for i in range(count)]
    return [reading for reading in readings if reading is not None]


def well_formed(readings: List[Reading]) -> bool:
    return all(
        (r.state is State.TRACKING) == (r.bpm is not None) == (r.confidence is not None)
        and (r.state is State.TRACKING) == (r.reason is None)
        for r in readings
    )


def test_a_pulse_is_read_after_the_window_has_filled() -> None:
    readings = play(lambda i: skin_frame(i, i / 30, bpm=84), 450)
    assert well_formed(readings)
    assert readings[0].state is State.WARMING_UP
    assert readings[0].reason is Reason.FILLING_WINDOW
    tracking = [r for r in readings if r.state is State.TRACKING]
    assert tracking[0].time_s < 9.0
    assert all(r.bpm == pytest.approx(84, abs=1.5) for r in tracking)
    times = np.diff([r.time_s for r in readings[1:]])
    np.testing.assert_allclose(times, 1.0, atol=0.05)


@pytest.mark.parametrize("fps", [15.0, 22.0, 60.0])
def test_the_rate_is_measured_and_never_assumed(fps: float) -> None:
    rng = np.random.default_rng(1)
    jitter = rng.uniform(-0.2, 0.2, 2000) / fps
    readings = play(lambda i: skin_frame(i, i / fps + jitter[i], bpm=100), int(15 * fps))
    assert readings[-1].bpm == pytest.approx(100, abs=2)
    assert readings[-1].fps == pytest.approx(fps, rel=0.05)


def test_no_face_no_bpm() -> None:
    readings = play(lambda i: skin_frame(i, i / 30), 150, PlannedDetector(lambda call: []))
    assert {(r.state, r.reason) for r in readings} == {(State.NO_FACE, Reason.NO_FACE)}
    assert len(readings) == pytest.approx(5, abs=1)


def test_losing_the_face_takes_the_bpm_away_at_once_and_it_starts_again() -> None:
    there = {"face": True}
    seen = PlannedDetector(lambda call: [SKIN_FACE] if there["face"] else [])
    noise = np.random.default_rng(5).integers(90, 97, (160, 160, 3)).astype(np.uint8)

    def frame_at(i: int) -> Frame:
        there["face"] = not 450 <= i < 540
        if there["face"]:
            return skin_frame(i, i / 30, bpm=70)
        return Frame(np.roll(noise, i, axis=0), i / 30, i)

    readings = play(frame_at, 1200, seen)
    states = [r.state for r in readings]
    gone = states.index(State.NO_FACE)
    assert states[gone - 1] is State.TRACKING
    after = states[gone:]
    assert State.WARMING_UP in after
    assert after[-1] is State.TRACKING
    restart = readings[gone + after.index(State.WARMING_UP)]
    assert all(
        r.state is not State.TRACKING for r in readings if 0 <= r.time_s - restart.time_s < 3.9
    )


@pytest.mark.parametrize(
    ("frame_at", "reason"),
    [
        (lambda i: skin_frame(i, i / 30, level=12), Reason.TOO_DARK),
        (lambda i: skin_frame(i, i / 30, level=400), Reason.TOO_BRIGHT),
        (lambda i: skin_frame(i, i / 8), Reason.LOW_FRAME_RATE),
        # 14 a second, but a third of the time nothing at all
        (lambda i: skin_frame(i, i / 20 + 0.4 * (i // 20)), Reason.LOW_FRAME_RATE),
        (lambda i: skin_frame(i, i / 30, bpm=None, noise=3.0), Reason.WEAK_SIGNAL),
        (lambda i: skin_frame(i, i / 30, shift_px=6 * np.sin(i * 0.8)), Reason.MOTION),
    ],
)
def test_a_picture_without_a_readable_pulse_says_why(
    frame_at: Callable[[int], Frame], reason: Reason
) -> None:
    readings = play(frame_at, 600)
    assert well_formed(readings)
    assert readings[-1].state is State.UNSURE
    assert readings[-1].reason is reason
    assert sum(r.state is State.TRACKING for r in readings) <= 1


def test_light_that_burns_out_the_red_alone_is_not_too_bright() -> None:
    burnt = skin_frame(0, 0.0, level=230).image
    assert (burnt[..., 0] >= 250).mean() > 0.4
    assert (burnt[..., 1] >= 250).mean() == 0.0
    readings = play(lambda i: skin_frame(i, i / 30, bpm=84, level=230), 360)
    assert readings[-1].state is State.TRACKING
    assert readings[-1].bpm == pytest.approx(84, abs=1.5)


def test_a_face_too_small_is_said_to_be() -> None:
    small = FaceBox(80, 80, 30, 30, 0.9)
    readings = play(lambda i: skin_frame(i, i / 30), 300, always(small))
    assert readings[-1].reason is Reason.FACE_TOO_SMALL


def test_a_frozen_camera_is_no_camera() -> None:
    readings = play(lambda i: Frame(skin_frame(min(i, 400), 0).image, i / 30, i), 600)
    assert readings[-1].state is State.NO_CAMERA
    assert readings[-1].reason is Reason.CAMERA_LOST
    states = [reading.state for reading in readings]
    frozen = states[states.index(State.NO_CAMERA) :]
    assert set(frozen) == {State.NO_CAMERA}, "and nothing else is said until it moves again"


def test_waveform_is_continuous_across_chunks_and_starts_with_the_stream() -> None:
    pulses: List[PulseChunk] = []
    play(lambda i: skin_frame(i, 100 + i / 30, bpm=66), 450, on_pulse=pulses.append)
    assert pulses[0].start_s == pytest.approx(100.0, abs=1 / 30)
    for before, after in zip(pulses, pulses[1:]):
        assert after.start_s == pytest.approx(before.start_s + len(before.bvp) / 30)


def test_finish_reads_what_the_engine_still_held() -> None:
    pulses: List[PulseChunk] = []
    pipeline = Pipeline(always(SKIN_FACE), PosEngine(), on_pulse=pulses.append)
    for i in range(300):
        pipeline.push(skin_frame(i, i / 30, bpm=72))
    before_s = pulses[-1].start_s + len(pulses[-1].bvp) / 30
    last = pipeline.finish()
    end_s = pulses[-1].start_s + len(pulses[-1].bvp) / 30
    assert before_s == pytest.approx(10.0 - pipeline.pulse.engine.delay_frames / 30, abs=0.04)
    assert end_s == pytest.approx(10.0, abs=0.04)
    assert last is not None
    assert last.bpm == pytest.approx(72, abs=1.5)
    assert pipeline.pulse.whole_clip_bpm() == pytest.approx(72, abs=1.0)


def test_time_running_backwards_starts_again() -> None:
    pipeline = Pipeline(always(SKIN_FACE), PosEngine())
    for i in range(300):
        pipeline.push(skin_frame(i, 50 + i / 30))
    readings = [pipeline.push(skin_frame(i, i / 30)) for i in range(90)]
    assert all(r is None or r.state is State.WARMING_UP for r in readings)


def test_every_stage_is_timed() -> None:
    seen = set()
    timed = stopwatch(lambda stage, seconds: seen.add((stage, seconds > 0)))
    pipeline = Pipeline(always(SKIN_FACE), PosEngine(), timed=timed)
    for i in range(60):
        pipeline.push(skin_frame(i, i / 30))
    assert seen == {(stage, True) for stage in STAGES}


def test_frames_may_come_together_only_while_a_rate_is_followed() -> None:
    there = {"face": True}
    seen = PlannedDetector(lambda call: [SKIN_FACE] if there["face"] else [])
    pipeline = Pipeline(seen, PosEngine())
    together: Dict[Optional[State], Set[float]] = {}
    for i in range(600):
        there["face"] = i < 450
        frame = skin_frame(i, i / 30, bpm=70)
        if not there["face"]:
            frame = Frame(np.roll(frame.image, 7 * i, axis=0), i / 30, i)
        pipeline.push(frame)
        assert pipeline.demand.reduced == pipeline.face.tracker.demand.reduced
        together.setdefault(pipeline.pulse.state, set()).add(pipeline.demand.together_s)
    assert together[State.WARMING_UP] == together[State.NO_FACE] == {0.0}
    assert together[State.TRACKING] == {TOGETHER_S}
