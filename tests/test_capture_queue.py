from __future__ import annotations

import logging
import queue
import threading
from typing import Iterable, List, Optional

import numpy as np
import pytest

from hrd.capture.paced import SEAM_S, PacedSource
from hrd.capture.queue import FrameQueue, capture_worker
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.rate import FrameRateMeter
from hrd.types import GAP_S, Frame

IMAGE = np.zeros((2, 2, 3), np.uint8)


def frame(index: int, time_s: Optional[float] = None) -> Frame:
    return Frame(IMAGE, index / 30 if time_s is None else time_s, index)


class ListSource(FrameSource):
    """Frames at given times, then the end or a failure; no camera, no waiting."""

    live = False

    def __init__(
        self,
        times_s: Iterable[float],
        failure: Optional[BaseException] = None,
        on_read: Optional[threading.Event] = None,
    ) -> None:
        self.info = SourceInfo("list", "list", 2, 2, None, None)
        self.times_s = list(times_s)
        self.failure = failure
        self.closed = 0
        self.next = 0

    def read(self) -> Optional[Frame]:
        if self.next >= len(self.times_s):
            if self.failure is not None:
                raise self.failure
            return None
        self.next += 1
        return frame(self.next - 1, self.times_s[self.next - 1])

    def close(self) -> None:
        self.closed += 1


class RewindableSource(ListSource):
    def rewind(self) -> None:
        self.next = 0


# FrameQueue


def test_queue_keeps_order():
    frames = FrameQueue(maxsize=4)
    for i in range(3):
        frames.put(frame(i))
    assert frames.depth == 3
    got = [frames.get(timeout_s=0) for _ in range(3)]
    assert [f.index for f in got if f is not None] == [0, 1, 2]
    assert (frames.depth, frames.dropped) == (0, 0)


def test_queue_drops_the_oldest_and_counts_it():
    frames = FrameQueue(maxsize=3)
    for i in range(10):
        frames.put(frame(i))
    assert (frames.depth, frames.dropped) == (3, 7)
    got = [frames.get(timeout_s=0) for _ in range(3)]
    assert [f.index for f in got if f is not None] == [7, 8, 9]


def test_queue_get_times_out():
    with pytest.raises(queue.Empty):
        FrameQueue().get(timeout_s=0.0)
    with pytest.raises(queue.Empty):
        FrameQueue().get(timeout_s=0.01)


def test_closed_queue_gives_what_is_left_then_none():
    frames = FrameQueue()
    frames.put(frame(0))
    frames.close()
    frames.put(frame(1))
    left = frames.get()
    assert left is not None
    assert left.index == 0
    assert frames.get() is None
    assert frames.get(timeout_s=0) is None


def test_closed_queue_raises_the_error_after_what_is_left():
    frames = FrameQueue()
    frames.put(frame(0))
    frames.close(SourceError("the camera was unplugged."))
    frames.close(SourceError("too late."))
    assert frames.get() is not None
    for _ in range(2):
        with pytest.raises(SourceError, match="was unplugged"):
            frames.get()


def test_close_wakes_a_waiting_reader():
    frames = FrameQueue()
    got: List[object] = []
    reader = threading.Thread(target=lambda: got.append(frames.get(timeout_s=30)))
    reader.start()
    frames.close()
    reader.join(10)
    assert not reader.is_alive()
    assert got == [None]


def test_nothing_is_lost_uncounted_between_threads():
    frames = FrameQueue(maxsize=5)
    got: List[int] = []

    def take() -> None:
        while True:
            taken = frames.get(timeout_s=30)
            if taken is None:
                return
            got.append(taken.index)

    reader = threading.Thread(target=take)
    reader.start()
    for i in range(20_000):
        frames.put(frame(i))
    frames.close()
    reader.join(30)
    assert not reader.is_alive()
    assert got == sorted(set(got))
    assert len(got) + frames.dropped == 20_000


def test_queue_needs_room():
    with pytest.raises(ValueError, match="maxsize"):
        FrameQueue(0)


# capture_worker


def test_worker_carries_all_frames_and_closes_everything():
    source, frames, meter = ListSource([0.0, 0.1, 0.2]), FrameQueue(), FrameRateMeter()
    capture_worker(source, frames, threading.Event(), meter)
    got = [frames.get(timeout_s=0) for _ in range(4)]
    assert [f and f.time_s for f in got] == [0.0, 0.1, 0.2, None]
    assert source.closed == 1
    assert meter.measure().fps == pytest.approx(10.0)


def test_worker_measures_dropped_frames_too():
    source, frames, meter = ListSource(np.arange(31) / 30), FrameQueue(2), FrameRateMeter()
    capture_worker(source, frames, threading.Event(), meter)
    assert frames.dropped == 29
    assert meter.measure().fps == pytest.approx(30.0)


@pytest.mark.parametrize("failure", [SourceError("gone."), ValueError("a bug"), MemoryError()])
def test_worker_hands_any_failure_to_the_reader(failure):
    source, frames = ListSource([0.0], failure), FrameQueue()
    worker = threading.Thread(target=capture_worker, args=(source, frames, threading.Event()))
    worker.start()
    assert frames.get(timeout_s=10) is not None
    with pytest.raises(type(failure)) as caught:
        frames.get(timeout_s=10)
    assert caught.value is failure
    worker.join(10)
    assert not worker.is_alive()
    assert source.closed == 1


def test_worker_ends_when_told():
    stop = threading.Event()

    class Endless(ListSource):
        def read(self) -> Optional[Frame]:
            self.next += 1
            if self.next == 5:
                stop.set()
            return frame(self.next)

    source, frames = Endless([]), FrameQueue(100)
    capture_worker(source, frames, stop)
    assert frames.depth == 5
    assert frames.closed
    assert source.closed == 1


# PacedSource


class FakeTime:
    """time.monotonic and Event.wait that agree with each other."""

    def __init__(self, monkeypatch, now_s: float = 777.0) -> None:
        self.now_s = now_s
        self.waits: List[float] = []
        self.stop_after_waits: Optional[int] = None
        self.stopped = False
        monkeypatch.setattr("hrd.capture.paced.time.monotonic", lambda: self.now_s)

    def is_set(self) -> bool:
        return self.stopped

    def wait(self, timeout: float) -> bool:
        self.waits.append(timeout)
        if self.stop_after_waits is not None and len(self.waits) > self.stop_after_waits:
            self.stopped = True
            return True
        self.now_s += timeout + 0.003  # a scheduler always wakes late
        return False


def test_paced_frames_come_at_their_own_times(monkeypatch):
    clock = FakeTime(monkeypatch)
    times_s = [5.0, 5.04, 5.05, 6.0, 6.001]
    paced = PacedSource(ListSource(times_s), clock)  # type: ignore[arg-type]
    assert paced.live
    released = []
    stamps = []
    for got in paced:
        stamps.append(got.time_s)
        released.append(clock.now_s)
    assert stamps == pytest.approx([777.0 + t - 5.0 for t in times_s])  # exact, however late
    late_s = np.array(released) - np.array(stamps)
    assert (late_s >= 0).all()
    assert late_s.max() <= 0.0031


def test_paced_source_stops_in_the_middle_of_a_wait(monkeypatch):
    clock = FakeTime(monkeypatch)
    clock.stop_after_waits = 1
    source = ListSource([0.0, 1.0, 100.0, 101.0])
    paced = PacedSource(source, clock)  # type: ignore[arg-type]
    assert [f.index for f in paced] == [0, 1]
    assert paced.read() is None
    assert source.next == 3  # nothing was read after the stop
    paced.close()
    assert source.closed == 1


def test_paced_source_with_a_real_clock():
    stop = threading.Event()
    paced = PacedSource(ListSource([0.0, 0.02, 0.05]), stop)
    stamps = [f.time_s for f in paced]
    assert np.diff(stamps) == pytest.approx([0.02, 0.03])
    stop.set()
    assert paced.read() is None


def test_paced_loop_leaves_a_gap_at_the_seam(monkeypatch):
    clock = FakeTime(monkeypatch)
    paced = PacedSource(RewindableSource([0.0, 0.1, 0.2]), clock, loop=True)  # type: ignore[arg-type]
    frames = [paced.read() for _ in range(7)]
    stamps = [f.time_s for f in frames if f is not None]
    assert np.diff(stamps) == pytest.approx([0.1, 0.1, SEAM_S, 0.1, 0.1, SEAM_S])
    assert SEAM_S > GAP_S
    assert [f.index for f in frames if f is not None] == list(range(7))


def test_paced_loop_of_nothing_ends(monkeypatch):
    clock = FakeTime(monkeypatch)
    paced = PacedSource(RewindableSource([]), clock, loop=True)  # type: ignore[arg-type]
    assert paced.read() is None


def test_paced_loop_needs_rewind():
    with pytest.raises(ValueError, match="loop"):
        PacedSource(ListSource([0.0]), threading.Event(), loop=True)


def test_paced_source_says_once_that_it_falls_behind(monkeypatch, caplog):
    clock = FakeTime(monkeypatch)

    class Slow(ListSource):
        def read(self) -> Optional[Frame]:
            clock.now_s += 0.5
            return super().read()

    paced = PacedSource(Slow(np.arange(10) / 30), clock)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        stamps = [f.time_s for f in paced]
    assert np.diff(stamps) == pytest.approx([1 / 30] * 9)
    assert len(caplog.records) == 1
