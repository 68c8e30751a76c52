"""The capture side of the daemon: keeps frames coming from a source, or says that none do."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Callable, Optional

from hrd.capture.paced import PacedSource
from hrd.capture.queue import FrameQueue, capture_worker
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.rate import FrameRateMeter
from hrd.types import Frame

logger = logging.getLogger(__name__)

BACK_OFF_S = (1.0, 2.0, 5.0, 10.0)
"""Waits between attempts to open a lost camera; the last one is repeated."""


class Camera:
    """Runs a source in a thread of its own, and opens it again in a new one when it is lost.

    The constructor opens the source the first time, so that one that never worked is an error at
    once (``SourceError``). A camera or stream that fails later is tried again with back-off. A
    file that ends is the end: ``ended`` becomes True. Everything but the capture itself happens
    in the caller's thread, inside ``get``.
    """

    def __init__(
        self,
        open_one: Callable[[], FrameSource],
        queue_frames: int = 8,
        loop: bool = False,
        wedged_s: float = 20.0,
    ) -> None:
        self._open_one = open_one
        self._queue_frames = queue_frames
        self._loop = loop
        self._wedged_s = wedged_s
        self._dropped_before = 0
        self._attempts = 0
        self._retry_s: Optional[float] = None
        self.rate = FrameRateMeter()
        self.failure: Optional[str] = None
        self.ended = False
        self.lost_count = 0
        source = open_one()
        self._endless = source.live
        self.info: SourceInfo = source.info
        self._last_frame_s = time.monotonic()
        self._launch(source)

    @property
    def dropped(self) -> int:
        """Frames dropped since the start because the pipeline was too slow."""
        return self._dropped_before + self._frames.dropped

    @property
    def depth(self) -> int:
        """Frames waiting for the pipeline."""
        return self._frames.depth

    def silent_s(self, now_s: float) -> float:
        """Seconds since the last frame (since the last start, if there was none)."""
        return now_s - self._last_frame_s

    def get(self, timeout_s: float) -> Optional[Frame]:
        """The next frame; None if none came in time (look at ``failure`` and ``ended``).

        Raises ``SourceError`` where a file fails: unlike a camera it is not tried again.
        """
        now_s = time.monotonic()
        if self._retry_s is not None:
            if now_s < self._retry_s:
                self._stop.wait(min(timeout_s, self._retry_s - now_s))
                return None
            self._retry_s = None
            self._launch(None)
        try:
            frame = self._frames.get(timeout_s)
        except queue.Empty:
            if time.monotonic() - self._last_frame_s > self._wedged_s:
                self._lose(f"{self.info.spec} has delivered no frame for {self._wedged_s:g} s")
            return None
        except SourceError as error:
            if not self._endless:
                raise  # a file that breaks off will break off again
            self._lose(str(error))
            return None
        if frame is None:
            if self._endless:
                self._lose(f"{self.info.spec} ended")
            else:
                self.ended = True
            return None
        if self.failure is not None:
            logger.info("camera back: %s", self.info.spec)
            self.failure = None
        self._attempts = 0
        self._last_frame_s = time.monotonic()
        return frame

    def close(self, timeout_s: float = 1.5) -> None:
        """End the capture thread; one that hangs in its driver is left behind, and said so."""
        self._stop.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning("the capture thread hangs in the driver of %s", self.info.spec)

    def _launch(self, source: Optional[FrameSource]) -> None:
        """Start a capture thread; without a source it opens one first."""
        self._stop = threading.Event()
        self._frames = FrameQueue(self._queue_frames)
        self._last_frame_s = time.monotonic()
        self._thread = threading.Thread(
            target=self._capture,
            args=(source, self._frames, self._stop),
            name="hrd-capture",
            daemon=True,  # a driver that hangs in the kernel must not keep the process alive
        )
        self._thread.start()

    def _capture(
        self, source: Optional[FrameSource], frames: FrameQueue, stop: threading.Event
    ) -> None:
        if source is None:
            try:
                source = self._open_one()
            except Exception as error:  # to the reader: a thread has nobody else to tell
                frames.close(error)
                return
            self.info = source.info
        live = source if source.live else PacedSource(source, stop, loop=self._loop)
        capture_worker(live, frames, stop, self.rate)

    def _lose(self, why: str) -> None:
        if why != self.failure:
            logger.warning("camera lost: %s", why)
        self.failure = why
        self.lost_count += 1
        self._dropped_before += self._frames.dropped
        self._stop.set()
        wait_s = BACK_OFF_S[min(self._attempts, len(BACK_OFF_S) - 1)]
        self._attempts += 1
        self._retry_s = time.monotonic() + wait_s
        self._stop = threading.Event()  # the wait before the next attempt
