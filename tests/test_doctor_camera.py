"""``hrd doctor --camera``: what it says of cameras whose faults are known."""

from __future__ import annotations

import dataclasses
import json
from typing import Dict, List, Optional

import pytest

from hrd.capture.options import CaptureOptions
from hrd.capture.simulated import SimulatedSource
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.cli.main import main
from hrd.config import Config, from_table
from hrd.doctor import watching
from hrd.doctor.advice import advise
from hrd.doctor.finding import Finding, Verdict
from hrd.doctor.sight import Sight, watch
from hrd.engine.pos import PosEngine
from hrd.face.detect import open_detector
from hrd.pipeline import Pipeline
from hrd.quality import FaceQuality
from hrd.types import Frame, Reading, Reason, State
from tests.test_capture_v4l2 import FakeCamera, open_fake

CONFIG = from_table({})
GOOD = Sight(
    info=SourceInfo("/dev/video0", "v4l2", 640, 480, 30.0, "YUYV"),
    seconds=10.0,
    frames=300,
    fps=30.0,
    jitter_ms=1.0,
    longest_s=0.04,
    too_late=0,
    brightness=100.0,
    frozen=False,
    wander_percent=0.5,
    flicker_percent=0.05,
    with_face=1.0,
    quality=FaceQuality(luma=120.0, saturated=0.0, motion_per_s=0.02, face_px=150.0),
    reading=Reading(10.0, State.TRACKING, bpm=72.0, confidence=0.95, snr_db=8.0),
    exposure_locked=True,
)


def topics(findings: List[Finding]) -> Dict[str, Finding]:
    return {finding.topic: finding for finding in findings}


def face(**changes: float) -> FaceQuality:
    assert GOOD.quality is not None
    return dataclasses.replace(GOOD.quality, **changes)


def test_a_good_camera_needs_no_change() -> None:
    findings = advise(GOOD, CONFIG)
    assert [finding.topic for finding in findings] == [
        "rate",
        "exposure",
        "light",
        "face",
        "signal",
    ]
    assert {finding.verdict for finding in findings} == {Verdict.OK}
    said = topics(findings)
    assert said["exposure"].text.startswith("locked; brightness moves by 0.5 %")
    assert said["signal"].text == "72.0 bpm, confidence 0.95, SNR 8.0 dB"
    assert said["rate"].values == {
        "fps": 30.0,
        "jitter_ms": 1.0,
        "longest_ms": 40.0,
        "too_late": 0.0,
    }


@pytest.mark.parametrize(
    ("changes", "topic", "text", "remedy"),
    [
        ({"fps": 8.0}, "rate", "too few (12 are needed)", "more light"),
        ({"fps": 20.0}, "rate", "of 30 asked for", "exposure_dynamic_framerate"),
        ({"longest_s": 0.4}, "rate", "longest silence 400 ms: a gap", "another cable"),
        ({"too_late": 90}, "rate", "this machine was too slow for 90 of them", "fps lower"),
        ({"wander_percent": 9.0}, "exposure", "moves by 9.0 %", "auto_exposure=1"),
        ({"flicker_percent": 2.0}, "exposure", "it flickers", "power_line_frequency"),
        ({"frozen": True}, "exposure", "the very same", "plug it in again"),
        ({"quality": face(luma=12.0)}, "light", "skin at 12 of 255", "turn on a light"),
        ({"quality": face(saturated=0.5)}, "light", "50 % of it burnt out", "less light"),
        ({"quality": face(face_px=30.0)}, "face", "30 pixels wide (48 are needed)", "come closer"),
        ({"quality": face(motion_per_s=2.0)}, "face", "moving too fast", "sit still"),
        ({"with_face": 0.5}, "face", "in 50 % of the frames", "face the camera"),
        ({"with_face": 0.0}, "face", "nobody is to be seen", "in front of the camera"),
        ({"with_face": 0.0, "brightness": 4.0}, "face", "4 of 255", "covered"),
        (
            {"reading": Reading(10.0, State.UNSURE, reason=Reason.WEAK_SIGNAL)},
            "signal",
            "no bpm: the pulse is too weak to be sure",
            "even light",
        ),
    ],
)
def test_each_fault_has_its_remedy(
    changes: Dict[str, object], topic: str, text: str, remedy: str
) -> None:
    finding = topics(advise(dataclasses.replace(GOOD, **changes), CONFIG))[topic]  # type: ignore
    assert finding.verdict is Verdict.WARN
    assert text in finding.text
    assert remedy in str(finding.remedy)


def test_no_frames_is_a_failure() -> None:
    nothing = dataclasses.replace(GOOD, fps=None, jitter_ms=None, frames=1)
    assert topics(advise(nothing, CONFIG))["rate"].verdict is Verdict.FAIL


def look(source: FrameSource, seconds: float = 10.0) -> Sight:
    detector = open_detector(CONFIG.face.detector)
    try:
        shape = CONFIG.pipeline()
        return watch(source, Pipeline(detector, PosEngine(), shape), seconds)
    finally:
        detector.close()


def test_what_a_simulated_camera_shows() -> None:
    source = SimulatedSource.parse("sim:bpm=72,variability=0,size=320x240,jitter=0.2,drops=0.1")
    sight = look(source)
    assert sight.seconds == pytest.approx(10.0, abs=0.1)
    assert sight.fps == pytest.approx(27.0, abs=1.5)  # a tenth is dropped
    assert sight.jitter_ms is not None
    assert sight.jitter_ms > 5.0
    assert sight.with_face == 1.0
    assert sight.exposure_locked is None
    assert sight.reading is not None
    assert sight.reading.bpm == pytest.approx(72.0, abs=2.0)


def test_a_frozen_camera_and_an_empty_room() -> None:
    frozen = look(SimulatedSource.parse("sim:size=320x240,freeze=0.5"), 4.0)
    assert not frozen.frozen  # it moved for half a second
    assert frozen.reading is None or frozen.reading.bpm is None
    empty = look(SimulatedSource.parse("sim:size=320x240,kind=noface"), 4.0)
    assert (empty.with_face, empty.quality) == (0.0, None)


class Wandering(FakeCamera):
    """Its automatic exposure goes up and down by ten per cent, two seconds each."""

    def retrieve(self):
        self.level = 110 if int(self.now_s / 2.0) % 2 else 100
        return super().retrieve()


@pytest.mark.parametrize(("camera", "wanders"), [(FakeCamera(), False), (Wandering(), True)])
def test_exposure_of_a_v4l2_camera(camera: FakeCamera, wanders: bool) -> None:
    source = open_fake(camera, lock_exposure=True)
    source.live = False  # its time is its own: nothing may be dropped
    sight = look(source, 6.0)
    assert sight.exposure_locked is True
    assert camera.released == 1
    finding = topics(advise(sight, CONFIG))["exposure"]
    if wanders:
        assert sight.wander_percent == pytest.approx(9.5, abs=1.0)
        assert finding.verdict is Verdict.WARN
    else:
        assert sight.frozen
        assert sight.wander_percent == 0.0


class Broken(FrameSource):
    """Fails after a second."""

    live = True
    info = SourceInfo("/dev/video7", "v4l2", 64, 64, 30.0, "YUYV")

    def __init__(self) -> None:
        self._source = SimulatedSource.parse("sim:size=64x64,seconds=1")

    def read(self) -> Optional[Frame]:
        frame = self._source.read()
        if frame is None:
            raise SourceError("/dev/video7 was unplugged: plug the camera in again.")
        return frame

    def close(self) -> None:
        pass


def test_one_that_is_unplugged_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(spec: str, options: CaptureOptions) -> FrameSource:
        return Broken()

    monkeypatch.setattr(watching, "open_source", opened)
    first, failed = watching.chosen_camera(from_table({"source": {"spec": "/dev/video7"}}))
    assert first.verdict is Verdict.OK
    assert failed.verdict is Verdict.FAIL
    assert "was unplugged" in failed.text


def test_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hrd.service.sources.first_camera", lambda: None)
    (finding,) = watching.chosen_camera(Config())
    assert finding.verdict is Verdict.FAIL
    assert "There is no camera" in finding.text


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    source = "sim:bpm=72,variability=0,size=320x240"
    assert main(["doctor", "--camera", "--json", "--engine", "pos", "--source", source]) == 0
    findings = {finding["topic"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert list(findings) == ["camera", "rate", "exposure", "light", "face", "signal"]
    assert findings["rate"]["values"]["fps"] == pytest.approx(30.0, abs=0.1)
    assert findings["signal"]["values"]["bpm"] == pytest.approx(72.0, abs=2.0)
    assert main(["doctor", "--camera", "--source", "sim:kind=noface,size=320x240"]) == 0
    text = capsys.readouterr().out
    assert "nobody is to be seen" in text
    assert text.endswith("change what is marked\n")
