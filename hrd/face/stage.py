"""The face stage: frames in, the face of each out, or why there is none."""

from __future__ import annotations

from typing import Optional

from hrd.face.detect import FaceDetector
from hrd.face.track import FaceTracker, TrackerConfig
from hrd.stopwatch import Timed, untimed
from hrd.types import FaceView, Frame, NoFace

STAGES = ("face", "roi")
"""Names under which the stage's work is timed: finding the face, and cutting it out."""


class FaceStage:
    """``push`` frames in order; each gives a RoiFrame or a NoFace of the same time."""

    def __init__(
        self,
        detector: FaceDetector,
        config: Optional[TrackerConfig] = None,
        timed: Timed = untimed,
    ) -> None:
        self.tracker = FaceTracker(detector, config)
        self._timed = timed
        self._last_s: Optional[float] = None

    def push(self, frame: Frame) -> FaceView:
        """Look at one frame. A step back in time is another stream: the face is forgotten."""
        if self._last_s is not None and frame.time_s < self._last_s:
            self.reset()
        self._last_s = frame.time_s
        with self._timed("face"):
            face = self.tracker.locate(frame)
        if face is None:
            return NoFace(frame.time_s, earlier_s=frame.earlier_s)
        with self._timed("roi"):
            return self.tracker.crop(frame)

    def reset(self) -> None:
        """Forget the face: the next frame is of another stream."""
        self.tracker.reset()
        self._last_s = None
