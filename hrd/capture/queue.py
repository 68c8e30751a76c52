"""Between the camera thread and the pipeline: a bounded queue that drops the oldest frame."""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
import time
from collections import deque
from typing import Deque, Optional

from hrd.capture.source import FrameSource
from hrd.rate import FrameRateMeter
from hrd.types import Frame

logger = logging.getLogger(__name__)


class FrameQueue:
    """Hands frames from one thread to another; when full, the oldest makes room and is counted.

    The newest picture of the face is worth more than an old one, and a camera cannot wait.
    """

    def __init__(self, maxsize: int = 8) -> None:
        if maxsize < 1:
            raise ValueError(f"maxsize must be at least 1, not {maxsize}")
        self.maxsize = maxsize
        self._frames: Deque[Frame] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._cut_dropped = False  # whether the oldest frame has to say it in a dropped one's place
        self._closed = False
        self._error: Optional[BaseException] = None

    @property
    def depth(self) -> int:
        """Frames waiting."""
        with self._changed:
            return len(self._frames)

    @property
    def dropped(self) -> int:
        """Frames dropped so far because nobody took them in time."""
        with self._changed:
            return self._dropped

    @property
    def closed(self) -> bool:
        with self._changed:
            return self._closed

    def put(self, frame: Frame) -> None:
        """Append a frame, never waiting. After ``close`` it is ignored."""
        with self._changed:
            if self._closed:
                return
            if len(self._frames) >= self.maxsize:
                self._cut_dropped |= self._frames.popleft().cut
                self._dropped += 1
            self._frames.append(frame)
            self._changed.notify()

    def get(self, timeout_s: Optional[float] = None) -> Optional[Frame]:
        """The oldest waiting frame; None once the queue is closed and empty.

        Raises ``queue.Empty`` when ``timeout_s`` passes without a frame, and, after the frames
        that came before it, the exception that the queue was closed with.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._frames and not self._closed:
                wait_s = None if deadline_s is None else deadline_s - time.monotonic()
                if wait_s is not None and wait_s <= 0.0:
                    raise queue.Empty
                self._changed.wait(wait_s)
            if self._frames:
                frame = self._frames.popleft()
                if self._cut_dropped:
                    self._cut_dropped = False
                    frame = dataclasses.replace(frame, cut=True)
                return frame
            if self._error is not None:
                raise self._error
            return None

    def close(self, error: Optional[BaseException] = None) -> None:
        """No more frames will come; with ``error``, the reader is to get it. The first counts."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
            self._changed.notify_all()


def capture_worker(
    source: FrameSource,
    frames: FrameQueue,
    stop: threading.Event,
    meter: Optional[FrameRateMeter] = None,
) -> None:
    """Carry frames from ``source`` to ``frames`` until the end, a failure or ``stop``.

    Runs in a thread of its own. It owns the source from here on: nobody else may read or close
    it, and it closes it before it closes the queue. A failure, of whatever kind, is raised by
    the reader's ``frames.get()``. ``meter`` sees every captured frame, dropped ones too.
    """
    error: Optional[BaseException] = None
    count = 0
    logger.info("capture from %s started", source.info.spec)
    try:
        while not stop.is_set():
            frame = source.read()
            if frame is None:
                break
            if meter is not None:
                for time_s in frame.earlier_s:
                    meter.push(time_s)
                meter.push(frame.time_s)
            frames.put(frame)
            count += 1
    except BaseException as caught:  # to the reader: a thread has nobody else to tell
        error = caught
    try:
        source.close()
    except Exception as caught:
        error = error or caught
    frames.close(error)
    logger.info("capture from %s ended after %d frames", source.info.spec, count)
