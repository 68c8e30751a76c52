"""The daemon's camera: frames while it works, words while it does not, and frames again."""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, List, Optional

import numpy as np
import pytest

from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.errors import HrdError
from hrd.service import camera as camera_module
from hrd.service.camera import Camera
from hrd.types import Frame
from tests.waiting import eventually


class ScriptedSource(FrameSource):
    """Delivers so many frames, then does what it is told. ``noisy``: no two pictures are alike."""

    def __init__(self, frames: int, then: str, live: bool = True, noisy: bool = True) -> None:
        self._rng = np.random.default_rng(1)
        self._noisy = noisy
        self.live = live
        self.info = SourceInfo("scripted", "test", 8, 8, 30.0, None)
        self.closed = threading.Event()
        self._left = frames
        self._then = then

    def read(self) -> Optional[Frame]:
        if self._left > 0:
            self._left -= 1
            if not self._noisy:
                self._rng = np.random.default_rng(1)
                self.closed.wait(0.001)  # a camera takes its time
            image = self._rng.integers(0, 255, (48, 64, 3), np.uint8)
            return Frame(image, time.monotonic(), 0)
        if self._then == "fail":
            raise SourceError("scripted was unplugged: plug it in again.")
        if self._then == "hang":
            self.closed.wait(30)
        return None

    def close(self) -> None:
        self.closed.set()


def opener(*steps: object) -> Callable[[threading.Event], FrameSource]:
    """Opens the sources in turn; a SourceError in the list is raised instead."""
    left: List[object] = list(steps)

    def open_one(stop: threading.Event) -> FrameSource:
        step = left.pop(0)
        if isinstance(step, SourceError):
            raise step
        assert isinstance(step, FrameSource)
        return step

    return open_one


def until(camera: Camera, done: Callable[[Camera], bool]) -> int:
    """Take frames until something is so; how many came."""
    frames = 0

    def look() -> bool:
        nonlocal frames
        if done(camera):
            return True
        frames += camera.get(0.05) is not None
        return False

    eventually(look, "what was waited for")
    return frames


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "BACK_OFF_S", (0.01, 0.02))


def test_a_lost_camera_is_tried_again_until_it_is_back(caplog) -> None:
    first, second = ScriptedSource(3, "fail"), ScriptedSource(4, "hang")
    gone = SourceError("no such device: plug it in.")
    camera = Camera(opener(first, gone, gone, second))
    before = until(camera, lambda c: c.failure is not None)
    assert before == 3
    assert first.closed.is_set()
    after = 0
    while after < 4:
        after += camera.get(0.05) is not None
    assert camera.failure is None
    assert camera.lost_count == 3
    second.closed.set()
    camera.close()
    assert "camera lost: scripted was unplugged" in caplog.text


def test_a_source_that_never_worked_is_an_error_at_once() -> None:
    with pytest.raises(SourceError, match="never there"):
        Camera(opener(SourceError("never there")))


def test_a_file_ends_and_a_broken_one_is_not_tried_again() -> None:
    camera = Camera(opener(ScriptedSource(2, "end", live=False)))
    assert until(camera, lambda c: c.ended) == 2
    camera.close()
    camera = Camera(opener(ScriptedSource(2, "fail", live=False)))
    with pytest.raises(SourceError, match="unplugged"):
        until(camera, lambda c: c.ended)
    camera.close()


def test_a_camera_that_says_nothing_is_given_up_and_opened_anew() -> None:
    wedged, fresh = ScriptedSource(1, "hang"), ScriptedSource(1, "hang")
    camera = Camera(opener(wedged, fresh), wedged_s=0.2)
    until(camera, lambda c: c.failure is not None)
    assert camera.failure == "scripted has delivered no frame for 0.2 s"
    frames = 0
    while frames == 0:
        frames += camera.get(0.05) is not None
    assert camera.failure is None
    wedged.closed.set()
    fresh.closed.set()
    camera.close()


def test_frames_that_nobody_takes_are_dropped_and_counted() -> None:
    source = ScriptedSource(20, "hang")
    camera = Camera(opener(source), queue_frames=4)
    eventually(lambda: camera.dropped == 16, "what does not fit is dropped")
    assert camera.depth == 4
    source.closed.set()
    camera.close()


def test_a_camera_that_shows_one_picture_for_ever_is_opened_anew(caplog) -> None:
    caplog.set_level(logging.INFO)
    still, again = (
        ScriptedSource(10**6, "hang", noisy=False),
        ScriptedSource(10**6, "hang", noisy=False),
    )
    fresh = ScriptedSource(10**6, "hang")
    camera = Camera(opener(still, again, fresh), frozen_s=0.2)
    before = until(camera, lambda c: c.failure is not None)
    assert before > 1
    assert camera.failure == "scripted has shown the same picture for 0.2 s"
    # opened anew, it still shows the same picture: nothing of it is passed on
    assert until(camera, lambda c: c.lost_count == 2) == 0
    until(camera, lambda c: c.failure is None)
    camera.close()
    assert caplog.text.count("camera lost") == 1
    assert caplog.text.count("camera back") == 1


def test_a_covered_lens_is_not_a_frozen_camera() -> None:
    class Covered(ScriptedSource):
        def read(self) -> Optional[Frame]:
            self.closed.wait(0.002)
            return Frame(np.zeros((48, 64, 3), np.uint8), time.monotonic(), 0)

    camera = Camera(opener(Covered(0, "hang")), frozen_s=0.05)
    frames = 0
    while frames < 100:  # four times as long as it may stand still
        frames += camera.get(0.05) is not None
    assert camera.lost_count == 0
    camera.close()


def test_as_a_service_it_waits_for_a_camera_that_is_not_there_yet() -> None:
    gone = SourceError("no such device: plug it in.")
    camera = Camera(opener(gone, gone, ScriptedSource(2, "hang")), persist=True, spec="/dev/video0")
    assert camera.info.spec == "/dev/video0"
    frames = 0
    while frames < 2:
        frames += camera.get(0.05) is not None
    assert camera.lost_count == 2
    assert camera.failure is None
    camera.close()


def test_opening_that_never_ends_is_given_up() -> None:
    release = threading.Event()

    def open_one(stop: threading.Event) -> FrameSource:
        release.wait(30)
        raise SourceError("too late")

    with pytest.raises(SourceError, match="could not be opened within"):
        Camera(open_one, opening_s=0.1, spec="rtsp://camera/")
    stop = threading.Event()
    stop.set()
    camera = Camera(open_one, opening_s=30.0, stop=stop)  # told to stop, it waits for nothing
    assert not camera.close(0.05)
    release.set()


def test_too_many_threads_left_in_a_driver_end_the_process() -> None:
    release = threading.Event()

    class Hung(ScriptedSource):
        def read(self) -> Optional[Frame]:
            release.wait(30)
            return None

    camera = Camera(lambda stop: Hung(0, "hang"), wedged_s=0.05)
    with pytest.raises(HrdError, match="hangs in its driver"):
        until(camera, lambda c: False)
    release.set()
    camera.close()
