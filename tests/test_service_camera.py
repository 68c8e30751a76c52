"""The daemon's camera: frames while it works, words while it does not, and frames again."""

from __future__ import annotations

import threading
import time
from typing import Callable, List, Optional

import numpy as np
import pytest

from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.service import camera as camera_module
from hrd.service.camera import Camera
from hrd.types import Frame


class ScriptedSource(FrameSource):
    """Delivers so many frames, then does what it is told."""

    def __init__(self, frames: int, then: str, live: bool = True) -> None:
        self.live = live
        self.info = SourceInfo("scripted", "test", 8, 8, 30.0, None)
        self.closed = threading.Event()
        self._left = frames
        self._then = then

    def read(self) -> Optional[Frame]:
        if self._left > 0:
            self._left -= 1
            return Frame(np.zeros((8, 8, 3), np.uint8), time.monotonic(), 0)
        if self._then == "fail":
            raise SourceError("scripted was unplugged: plug it in again.")
        if self._then == "hang":
            self.closed.wait(30)
        return None

    def close(self) -> None:
        self.closed.set()


def opener(*steps: object) -> Callable[[], FrameSource]:
    """Opens the sources in turn; a SourceError in the list is raised instead."""
    left: List[object] = list(steps)

    def open_one() -> FrameSource:
        step = left.pop(0)
        if isinstance(step, SourceError):
            raise step
        assert isinstance(step, FrameSource)
        return step

    return open_one


def until(camera: Camera, done: Callable[[Camera], bool]) -> int:
    """Take frames until something is so; how many came."""
    frames = 0
    deadline_s = time.monotonic() + 20
    while not done(camera):
        assert time.monotonic() < deadline_s
        frames += camera.get(0.05) is not None
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
    deadline_s = time.monotonic() + 20
    while camera.dropped < 16:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert camera.depth == 4
    source.closed.set()
    camera.close()
