"""The capture side of the daemon: keeps frames coming from a source, or says that none do."""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import Callable, List, Optional

import numpy as np

from hrd import picture
from hrd.capture.paced import PacedSource
from hrd.capture.queue import FrameQueue, capture_worker
from hrd.capture.source import FrameSource, SourceError, SourceInfo
from hrd.errors import HrdError
from hrd.rate import FrameRateMeter
from hrd.types import Demand, Frame

logger = logging.getLogger(__name__)

BACK_OFF_S = (1.0, 2.0, 5.0, 10.0)
"""Waits between attempts to open a lost camera; the last one is repeated."""

OpenSource = Callable[[threading.Event], FrameSource]
"""Opens the source; may take its time, but should give up (``SourceError``) at the event."""

_STEADY_S = 5.0  # frames for so long: the next loss starts from the first back-off again
_MAX_ABANDONED = 3  # threads left behind in a driver before the whole process gives up
_SAMPLE_STEP = 16
_COMPARE_EVERY_S = 0.25  # pictures, to tell whether the camera stands still


class Camera:
    """Runs a source in a thread of its own, and opens it again in a new one when it is lost.

    Unless it is to ``persist``, the constructor waits until the source has been opened the first
    time, so that one that never worked is an error at once (``SourceError``). A camera or stream
    that fails later, falls silent (``wedged_s``; ``opening_s`` while it is being opened) or shows
    the very same picture for ``frozen_s`` is tried again with back-off. A file that ends is the
    end: ``ended`` becomes True. Everything but the capture itself happens in the caller's thread,
    inside ``get``. ``stop``: set from outside to cut the wait in the constructor short.
    """

    def __init__(
        self,
        open_one: OpenSource,
        queue_frames: int = 8,
        loop: bool = False,
        wedged_s: float = 8.0,
        opening_s: float = 30.0,
        frozen_s: float = 10.0,
        persist: bool = False,
        spec: str = "camera",
        stop: Optional[threading.Event] = None,
    ) -> None:
        self._open_one = open_one
        self._queue_frames = queue_frames
        self._loop = loop
        self._wedged_s = wedged_s
        self._opening_s = opening_s
        self._frozen_s = frozen_s
        self._dropped_before = 0
        self._attempts = 0
        self._retry_s: Optional[float] = None
        self._source: Optional[FrameSource] = None
        self._abandoned: List[threading.Thread] = []
        self._sample: Optional[np.ndarray] = None  # of the last picture
        self._compared_s = 0.0
        self._changed_s = 0.0  # when it last differed from the one before
        self._standing = False  # given up because it showed the same picture
        self.rate = FrameRateMeter()
        self.failure: Optional[str] = None
        self.ended = False
        self.lost_count = 0
        self.info = SourceInfo(spec, "unknown", 0, 0, None, None)
        self._endless = persist
        self._began_s = time.monotonic()
        self._launch()
        if not persist:
            self._await_first(stop)

    @property
    def dropped(self) -> int:
        """Frames dropped since the start because the pipeline was too slow."""
        source = self._source
        in_source = source.dropped if source is not None else 0
        return self._dropped_before + self._frames.dropped + in_source

    @property
    def depth(self) -> int:
        """Frames waiting for the pipeline."""
        return self._frames.depth

    def ask(self, demand: Demand) -> None:
        """Say what is needed of the frames to come; call it again after every frame."""
        source = self._source
        if source is not None and source.demand != demand:
            source.ask(demand)

    def silent_s(self, now_s: float) -> float:
        """Seconds since the last frame (since the last start, if there was none)."""
        return now_s - self._last_frame_s

    def get(self, timeout_s: float) -> Optional[Frame]:
        """The next frame; None if none came in time (look at ``failure`` and ``ended``).

        Raises ``SourceError`` where a file fails: unlike a camera it is not tried again. Raises
        ``HrdError`` when so many threads hang in a driver that only a new process can help.
        """
        now_s = time.monotonic()
        if self._retry_s is not None:
            if now_s < self._retry_s:
                self._stop.wait(min(timeout_s, self._retry_s - now_s))
                return None
            self._retry_s = None
            self._launch()
        try:
            frame = self._frames.get(timeout_s)
        except queue.Empty:
            self._look_for_wedge()
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
        now_s = time.monotonic()
        if self._endless and self._stands_still(frame, now_s):
            return None
        if self.failure is not None:
            logger.info("camera back: %s", self.info.spec)
            self.failure = None
        if now_s - self._began_s > _STEADY_S:
            self._attempts = 0
        self._last_frame_s = now_s
        return frame

    def close(self, timeout_s: float = 1.4) -> bool:
        """End the capture thread. False if it hangs in its driver and is left behind."""
        self._stop.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.warning("the capture thread hangs in the driver of %s", self.info.spec)
            return False
        return True

    def _await_first(self, stop: Optional[threading.Event]) -> None:
        while not self._opened.wait(0.1):
            if stop is not None and stop.is_set():
                return
            if time.monotonic() - self._began_s > self._opening_s:
                self._stop.set()
                raise SourceError(
                    f"{self.info.spec} could not be opened within {self._opening_s:g} s: check "
                    "the camera."
                )
        error = self._opening_error
        if error is not None:
            raise error

    def _launch(self) -> None:
        """Start a thread that opens the source and captures from it."""
        self._stop = threading.Event()
        self._opened = threading.Event()
        self._opening_error: Optional[BaseException] = None
        self._frames = FrameQueue(self._queue_frames)
        self._began_s = self._last_frame_s = self._changed_s = time.monotonic()
        self._thread = threading.Thread(
            target=self._capture,
            args=(self._frames, self._stop, self._opened),
            name="hrd-capture",
            daemon=True,  # a driver that hangs in the kernel must not keep the process alive
        )
        self._thread.start()

    def _capture(self, frames: FrameQueue, stop: threading.Event, opened: threading.Event) -> None:
        try:
            source = self._open_one(stop)
        except BaseException as error:  # to the reader: a thread has nobody else to tell
            if not stop.is_set():
                self._opening_error = error
            frames.close(error if isinstance(error, SourceError) else _as_source_error(error))
            opened.set()
            return
        if not stop.is_set():  # else somebody else has taken over
            self.info = source.info
            self._endless = source.live or self._endless and not _is_file(source)
            self._source = source
        opened.set()
        live = source if source.live else PacedSource(source, stop, loop=self._loop)
        capture_worker(live, frames, stop, self.rate)

    def _look_for_wedge(self) -> None:
        opening = not self._opened.is_set()
        patience_s = self._opening_s if opening else self._wedged_s
        if time.monotonic() - self._last_frame_s > patience_s:
            what = "could not be opened" if opening else "has delivered no frame"
            self._lose(f"{self.info.spec} {what} for {patience_s:g} s")

    def _stands_still(self, frame: Frame, now_s: float) -> bool:
        """Whether to withhold the frame because the camera has hung up on one picture.

        A living sensor has noise: even a still scene changes some pixel of a sparse sample. A
        picture of a single colour (a covered lens) may well be the truth and is let through.
        """
        if self._sample is not None and now_s - self._compared_s < _COMPARE_EVERY_S:
            return self._standing
        self._compared_s = now_s
        sample = picture.sample(frame, max(1, _SAMPLE_STEP // picture.layout_of(frame).reduced))
        last, self._sample = self._sample, sample
        if last is None or not np.array_equal(last, sample) or sample.min() == sample.max():
            self._changed_s = now_s
            self._standing = False
        elif now_s - self._changed_s > self._frozen_s:
            self._standing = True
            self._lose(f"{self.info.spec} has shown the same picture for {self._frozen_s:g} s")
        return self._standing

    def _lose(self, why: str) -> None:
        if why != self.failure:
            logger.warning("camera lost: %s", why, extra={"fields": {"HRD_CAMERA": "lost"}})
        self.failure = why
        self.lost_count += 1
        self._dropped_before = self.dropped
        self._source = None
        self._stop.set()
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        if self._thread.is_alive():
            self._abandoned.append(self._thread)
        if len(self._abandoned) > _MAX_ABANDONED:
            raise HrdError(
                f"{self.info.spec} hangs in its driver again and again: unplug it and plug it in "
                "again, or restart the machine."
            )
        wait_s = BACK_OFF_S[min(self._attempts, len(BACK_OFF_S) - 1)]
        self._attempts += 1
        self._retry_s = time.monotonic() + wait_s
        self._stop = threading.Event()  # the wait before the next attempt


def _is_file(source: FrameSource) -> bool:
    return source.info.kind == "file"


def _as_source_error(error: BaseException) -> SourceError:
    return SourceError(f"the camera cannot be opened: {type(error).__name__}: {error}")
