"""The pulse stage by itself: fed with faces, not with pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import List

from hrd.engine.pos import PosEngine
from hrd.estimate.estimator import Estimate
from hrd.face.stage import FaceStage
from hrd.pulse import PulseStage
from hrd.types import FaceView, NoFace, Reading, Reason, RoiFrame, State
from hrd.window import RESTART_GAP_S
from tests.fakes import SKIN_FACE, PlannedDetector, always, skin_frame


def faces(count: int, bpm: float) -> List[FaceView]:
    stage = FaceStage(always(SKIN_FACE))
    return [stage.push(skin_frame(i, i / 30, bpm=bpm)) for i in range(count)]


def unreliable(view: FaceView) -> FaceView:
    assert isinstance(view, RoiFrame)
    return replace(view, unreliable_time=True)


def read(stage: PulseStage, views: List[FaceView]) -> List[Reading]:
    return [reading for reading in map(stage.push, views) if reading is not None]


def test_the_face_stage_gives_a_view_of_every_frame() -> None:
    seen = PlannedDetector(lambda call: [] if call < 1 else [SKIN_FACE])
    stage = FaceStage(seen)
    views = [stage.push(skin_frame(i, i / 30)) for i in range(120)]
    assert [view.time_s for view in views] == [i / 30 for i in range(120)]
    assert views[0] == NoFace(0.0, Reason.NO_FACE)
    assert isinstance(views[-1], RoiFrame)
    assert views[-1].crop.shape == (36, 36, 3)


def test_two_faces_are_two_stages_that_know_nothing_of_each_other() -> None:
    one, two = faces(450, 66.0), faces(450, 96.0)
    first, second = PulseStage(PosEngine()), PulseStage(PosEngine())
    readings: List[Reading] = []
    others: List[Reading] = []
    for left, right in zip(one, two):
        readings += read(first, [left])
        others += read(second, [right])
    assert readings == read(PulseStage(PosEngine()), one)
    assert others == read(PulseStage(PosEngine()), two)
    assert readings[-1].bpm is not None
    assert others[-1].bpm is not None
    assert abs(readings[-1].bpm - 66.0) < 1.5
    assert abs(others[-1].bpm - 96.0) < 1.5


def test_a_face_too_small_to_follow_is_said_as_such() -> None:
    readings = read(PulseStage(PosEngine()), [NoFace(0.0, Reason.FACE_TOO_SMALL), NoFace(0.1)])
    assert [(r.state, r.reason) for r in readings] == [
        (State.UNSURE, Reason.FACE_TOO_SMALL),
        (State.NO_FACE, Reason.NO_FACE),
    ]


def test_every_estimate_is_handed_out_before_the_gate() -> None:
    """What calibration collects: at each time that a reading was judged, said or refused."""
    seen: List[float] = []

    def note(time_s: float, estimate: Estimate) -> None:
        assert 0.0 <= estimate.confidence <= 1.0
        seen.append(time_s)

    readings = read(PulseStage(PosEngine(), on_estimate=note), faces(300, 72.0))
    judged = [r.time_s for r in readings if r.snr_db is not None]
    assert seen == judged
    assert len(seen) >= 5


def test_a_view_that_begins_anew_ends_what_was_said_before() -> None:
    stage = PulseStage(PosEngine())
    first = read(stage, faces(450, 66.0))
    assert first[-1].state is State.TRACKING
    second = [replace(view, time_s=view.time_s + 15.0) for view in faces(450, 96.0)]
    readings = read(stage, [replace(second[0], anew=True), *second[1:]])
    assert stage.cuts_s == [15.0]
    assert readings[0].state is State.WARMING_UP
    said = [reading.bpm for reading in readings if reading.bpm is not None]
    assert said
    assert all(abs(bpm - 96.0) < 2.0 for bpm in said), "nothing of the face before"


def test_nothing_is_read_while_times_are_unreliable_and_it_is_said_at_the_usual_pace() -> None:
    stage = PulseStage(PosEngine())
    views = faces(900, 66.0)
    for index in range(450, 600):  # from 15 to 20 s
        views[index] = unreliable(views[index])
    readings = read(stage, views)
    doubted = [reading for reading in readings if 15.0 <= reading.time_s < 20.0]
    assert {(one.state, one.reason) for one in doubted} == {
        (State.UNSURE, Reason.UNRELIABLE_TIMESTAMPS)
    }
    assert [round(one.time_s, 2) for one in doubted] == [15.0, 16.0, 17.0, 18.0, 19.0]
    after = [reading for reading in readings if reading.time_s >= 20.0]
    assert after[0].reason is Reason.FILLING_WINDOW, "said at once"
    assert after[0].time_s < 20.1
    first = next(reading.time_s for reading in after if reading.bpm is not None)
    assert first > 22.0, "of nothing that came before"
    assert after[-1].bpm is not None
    assert abs(after[-1].bpm - 66.0) < 1.5


def test_a_frozen_camera_is_called_that_also_while_times_are_unreliable() -> None:
    still = faces(2, 66.0)[1]
    views = [replace(unreliable(still), time_s=i / 30) for i in range(300)]
    assert read(PulseStage(PosEngine()), views)[-1].reason is Reason.CAMERA_LOST


def test_the_face_stage_says_that_a_time_is_unreliable() -> None:
    stage = FaceStage(always(SKIN_FACE))
    views = [stage.push(replace(skin_frame(i, i / 30), unreliable_time=i > 5)) for i in range(9)]
    assert [view.unreliable_time for view in views if isinstance(view, RoiFrame)] == [
        index > 5 for index in range(9)
    ]
    unseen = FaceStage(PlannedDetector(lambda call: []))
    assert unseen.push(replace(skin_frame(0, 0.0), unreliable_time=True)) == NoFace(0.0)


def test_the_face_stage_says_where_a_source_was_cut() -> None:
    stage = FaceStage(always(SKIN_FACE))
    views = [stage.push(replace(skin_frame(i, i / 30), cut=i == 20)) for i in range(30)]
    assert [view.time_s for view in views if view.anew] == [20 / 30]


def test_frames_too_rare_to_make_a_signal_of_are_said_to_be_all_the_same() -> None:
    """So far apart each begins the signal anew, and no chunk is ever complete."""
    step_s = RESTART_GAP_S + 0.1
    face = FaceStage(always(SKIN_FACE))
    times_s = [i / 30 for i in range(240)] + [8.0 + step_s * i for i in range(30)]
    readings = read(
        PulseStage(PosEngine()),
        [face.push(skin_frame(i, time_s, bpm=66.0)) for i, time_s in enumerate(times_s)],
    )
    assert readings[-1].reason is Reason.LOW_FRAME_RATE
    rare = [reading for reading in readings if reading.time_s > 9.0]
    assert all(reading.bpm is None for reading in rare)
    steps_s = [b.time_s - a.time_s for a, b in zip(rare, rare[1:])]
    assert max([*steps_s, times_s[-1] - rare[-1].time_s]) < 2.5 + step_s
