"""A file played as if it were a camera: each frame at its own time."""

from __future__ import annotations

import logging
import threading
import time
from typing import Optional, Protocol, runtime_checkable

from hrd.capture.source import FrameSource
from hrd.types import GAP_S, Frame

logger = logging.getLogger(__name__)

SEAM_S = GAP_S + 0.05
"""Silence between two rounds of a loop: long enough to count as a gap, so that the jump from the
last picture to the first is never taken for a change of the skin."""

_LATE_S = 1.0


@runtime_checkable
class _Rewinds(Protocol):
    def rewind(self) -> None: ...


class PacedSource(FrameSource):
    """Makes a live source of one that is not: frames are released at their own times.

    Frames are stamped on the ``time.monotonic()`` axis: the moment the first one was released
    plus the time since then by the source's own stamps, so intervals stay exact however late the
    thread wakes. ``read`` returns None at the end and as soon as ``stop`` is set. With ``loop``
    the source starts again at its end after a short silence; it must have ``rewind()``. Nothing
    is skipped: a source slower than its own times falls behind, and a warning says so once.
    """

    live = True

    def __init__(self, source: FrameSource, stop: threading.Event, loop: bool = False) -> None:
        if loop and not isinstance(source, _Rewinds):
            raise ValueError(f"{source.info.spec} cannot be played in a loop")
        self.info = source.info
        self._source = source
        self._stop = stop
        self._loop = loop
        self._shift_s: Optional[float] = None
        self._last_s = 0.0
        self._index = 0
        self._late = False

    def read(self) -> Optional[Frame]:
        if self._stop.is_set():
            return None
        frame = self._source.read()
        if frame is None and self._loop and self._index > 0:
            assert isinstance(self._source, _Rewinds)
            self._source.rewind()
            frame = self._source.read()
            if frame is not None:
                self._shift_s = self._last_s + SEAM_S - frame.time_s
        if frame is None:
            return None
        now_s = time.monotonic()
        if self._shift_s is None:
            self._shift_s = now_s - frame.time_s
        time_s = frame.time_s + self._shift_s
        if time_s > now_s:
            if self._stop.wait(time_s - now_s):
                return None
        elif now_s - time_s > _LATE_S and not self._late:
            self._late = True
            logger.warning("%s cannot be read as fast as it should play", self.info.spec)
        self._last_s = time_s
        frame = Frame(frame.image, time_s, self._index, frame.layout, cut=frame.cut)
        self._index += 1
        return frame

    def close(self) -> None:
        self._source.close()
