"""The face stage: frames in, the face of each out, or why there is none."""

from __future__ import annotations

import dataclasses
from typing import Optional

from hrd.face.cuts import CutDetector
from hrd.face.detect import FaceDetector
from hrd.face.track import FaceTracker, TrackerConfig
from hrd.stopwatch import Timed, untimed
from hrd.types import FaceView, Frame, NoFace, RoiFrame

STAGES = ("face", "roi")
"""Names under which the stage's work is timed: finding the face, and cutting it out."""


class FaceStage:
    """``push`` frames in order; each gives a RoiFrame or a NoFace of the same time.

    A hard cut, found in the picture or the face or told by the source (``Frame.cut``), begins the
    stream anew: the face is looked for again, and the view says so (``anew``).
    """

    def __init__(
        self,
        detector: FaceDetector,
        config: Optional[TrackerConfig] = None,
        timed: Timed = untimed,
    ) -> None:
        self.tracker = FaceTracker(detector, config)
        self._cuts = CutDetector()
        self._timed = timed
        self._last_s: Optional[float] = None

    def push(self, frame: Frame) -> FaceView:
        """Look at one frame. A step back in time is another stream: the face is forgotten."""
        anew = self._cuts.in_picture(frame) or frame.cut
        if anew:
            self.reset()
        view = self._look(frame)
        if isinstance(view, RoiFrame) and self._cuts.in_face(view):
            anew = True
            self.reset()
            view = self._look(frame)
        if anew:
            view = dataclasses.replace(view, anew=True)
        if frame.unreliable_time and isinstance(view, RoiFrame):
            view = dataclasses.replace(view, unreliable_time=True)
        return view

    def _look(self, frame: Frame) -> FaceView:
        if self._last_s is not None and frame.time_s < self._last_s:
            self.tracker.reset()
        self._last_s = frame.time_s
        with self._timed("face"):
            face = self.tracker.locate(frame)
        if face is None:
            return NoFace(frame.time_s, earlier_s=frame.earlier_s)
        with self._timed("roi"):
            return self.tracker.crop(frame)

    def reset(self) -> None:
        """Forget the face: the next frame is of another stream."""
        self._cuts.reset()
        self.tracker.reset()
        self._last_s = None
