"""SETUP: how the camera sees the face, for clients that ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional

import numpy as np
import pytest

from hrd.estimate.options import QualityConfig
from hrd.quality import QualityGate
from hrd.service import setup
from hrd.service.server import SocketServer
from hrd.types import CROP_PX, FaceBox, Frame, Reason, RoiFrame
from tests.socket_help import VALIDATOR, RawClient, eventually, hr

LIMITS = QualityConfig()


def roi(
    time_s: float, luma: float = 120.0, face_px: float = 200.0, motion: float = 0.0
) -> RoiFrame:
    crop = np.full((CROP_PX, CROP_PX, 3), luma, np.float32)
    return RoiFrame(time_s, crop, FaceBox(10.0, 20.0, face_px, face_px), False, motion)


class _Tracker:
    def __init__(self, face: Optional[FaceBox]) -> None:
        self.face = face


class _Rate:
    def fps(self) -> float:
        return 30.0

    def silent_share(self) -> float:
        return 0.0


class FakePipeline:
    """The parts of a pipeline that the report reads, after the given views of a face."""

    def __init__(self, *views: RoiFrame) -> None:
        self.quality = QualityGate(LIMITS)
        for view in views:
            self.quality.push(view)
        self.rate = _Rate()
        self.tracker = _Tracker(views[-1].face if views else None)
        self.face = self.pulse = self


def frame(time_s: float) -> Frame:
    return Frame(np.zeros((480, 640, 3), np.uint8), time_s, 0)


def message(*views: RoiFrame) -> Dict[str, Any]:
    made = setup.setup_message(frame(5.0), FakePipeline(*views), LIMITS, 1_700_000_005.0)  # type: ignore[arg-type]
    VALIDATOR.validate(made)
    return made


def test_a_good_face_is_described_and_nothing_is_in_the_way() -> None:
    said = message(roi(4.9, motion=0.1), roi(5.0, motion=0.3))
    assert said["box"] == {"x_px": 10.0, "y_px": 20.0, "w_px": 200.0, "h_px": 200.0}
    assert (said["width_px"], said["height_px"]) == (640, 480)
    assert said["luma"] == pytest.approx(120.0, abs=0.1)
    assert said["motion_per_s"] == pytest.approx(0.2)
    assert said["in_the_way"] == []


def test_a_clock_in_doubt_is_in_the_way() -> None:
    pipeline: Any = FakePipeline(roi(5.0, luma=10.0))
    unsure = replace(frame(5.0), unreliable_time=True)
    said = setup.setup_message(unsure, pipeline, LIMITS, 1_700_000_005.0)
    VALIDATOR.validate(said)
    assert said["in_the_way"] == ["UNRELIABLE_TIMESTAMPS", "TOO_DARK"]


@pytest.mark.parametrize(
    ("view", "reasons"),
    [
        (roi(5.0, luma=10.0), ["TOO_DARK"]),
        (roi(5.0, luma=255.0), ["TOO_BRIGHT"]),
        (roi(5.0, face_px=30.0), ["FACE_TOO_SMALL"]),
        (roi(5.0, motion=2.0), ["MOTION"]),
        (roi(5.0, luma=10.0, face_px=30.0, motion=2.0), ["FACE_TOO_SMALL", "TOO_DARK", "MOTION"]),
    ],
)
def test_what_is_in_the_way_is_what_the_quality_gate_refuses(
    view: RoiFrame, reasons: List[str]
) -> None:
    assert message(view)["in_the_way"] == reasons
    gate = QualityGate(LIMITS)
    gate.push(view)
    assert gate.verdict(30.0) is Reason[reasons[0]]


def test_without_a_face_nothing_describes_one() -> None:
    said = message()
    assert said["in_the_way"] == ["NO_FACE"]
    assert not {"box", "face_px", "luma", "saturated", "motion_per_s"} & set(said)


def test_it_is_made_for_those_who_ask_and_for_nobody_else(
    server: SocketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = setup.SetupReporter(server, lambda time_s: 1_700_000_000.0 + time_s)
    pipeline: Any = FakePipeline(roi(1.0))
    made: List[float] = []
    real = setup.setup_message

    def counted(*args: Any) -> Dict[str, Any]:
        made.append(args[0].time_s)
        return real(*args)

    monkeypatch.setattr(setup, "setup_message", counted)
    reporter.frame(frame(1.0), pipeline, LIMITS)
    assert made == []
    with RawClient(server.path) as asking, RawClient(server.path) as plain:
        asking.send(b'{"class":"WATCH","setup":true}\n')
        eventually(lambda: server.wanted("SETUP"), "it is wanted")
        for n in range(31):  # a second of video
            reporter.frame(frame(2.0 + n / 30.0), pipeline, LIMITS)
        assert made == pytest.approx([2.0, 2.2, 2.4, 2.6, 2.8, 3.0])
        reporter.no_camera(9.0)
        server.publish(hr(1))
        asked = [asking.read() for _ in range(9)]
        assert [m["class"] for m in asked] == ["VERSION"] + ["SETUP"] * 7 + ["HR"]
        assert asked[1]["time"] == 1_700_000_002.0
        assert asked[7]["in_the_way"] == ["CAMERA_LOST"]
        assert plain.read_classes(2) == ["VERSION", "HR"]
        asking.send(b'{"class":"WATCH"}\n')
        eventually(lambda: not server.wanted("SETUP"), "it is wanted no longer")
        asking.send(b'{"class":"WATCH","setup":true}\n')
        eventually(lambda: server.wanted("SETUP"), "it is wanted again")
    eventually(lambda: not server.wanted("SETUP"), "who asked has gone")
