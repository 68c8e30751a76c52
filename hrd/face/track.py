"""From frames to RoiFrames: one face, kept by overlap, in a crop that keeps still.

Every jump of the crop is an artefact in the signal, and so is every jitter of the detector. The
crop square therefore stays where it is until the face has really left its middle, and says so
(``cut``) when it moves. Detection runs a few times a second; in between the crops themselves tell
how the face moves.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Deque, List, Optional, Tuple

import numpy as np

from hrd.face.crop import GROWTH, CropSquare, extract, square_for
from hrd.face.detect import FaceDetector
from hrd.face.motion import shift_between
from hrd.face.options import TrackerConfig
from hrd.skin import luma
from hrd.types import CROP_PX, FaceBox, Frame, RoiFrame

__all__ = ["FaceTracker", "TrackerConfig", "TrackerStatus"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackerStatus:
    """Counts since the start, for STATUS and the bench."""

    detections: int
    faces_found: int
    faces_lost: int
    recentred: int


class FaceTracker:
    """``push`` frames in order; get the face's RoiFrame, or None while there is no face."""

    def __init__(self, detector: FaceDetector, config: Optional[TrackerConfig] = None) -> None:
        self._detector = detector
        self._config = config or TrackerConfig()
        self._detections = 0
        self._found = 0
        self._lost = 0
        self._recentred = 0
        self.reset()

    def reset(self) -> None:
        """Forget the face."""
        self._face: Optional[FaceBox] = None
        self._square: Optional[CropSquare] = None
        self._cut = True
        self._sizes: Deque[float] = deque(maxlen=5)
        self._gray: Optional[np.ndarray] = None
        self._last_time_s: Optional[float] = None
        self._last_detect_s: Optional[float] = None
        self._last_seen_s = 0.0

    @property
    def detector_name(self) -> str:
        return self._detector.name

    @property
    def status(self) -> TrackerStatus:
        return TrackerStatus(self._detections, self._found, self._lost, self._recentred)

    def push(self, frame: Frame) -> Optional[RoiFrame]:
        """``locate`` and ``crop`` in one: the face of this frame, None if there is none."""
        return self.crop(frame) if self.locate(frame) is not None else None

    def locate(self, frame: Frame) -> Optional[FaceBox]:
        """Where the face is in this frame: by detection if that is due, else where it was."""
        if self._last_time_s is not None and frame.time_s < self._last_time_s:
            self._last_detect_s = None  # time ran backwards: a new stream
        self._detect_if_due(frame)
        self._cut = self._recentre_if_off()
        if not _overlaps(self._square, frame.image):
            self._lose("it left the picture")
        if self._face is None:
            self._last_time_s = frame.time_s
        return self._face

    def crop(self, frame: Frame) -> RoiFrame:
        """The face just located, cut out of the same frame; call after ``locate`` found one.

        ``cut`` is True on a face's first frame and whenever the crop has moved.
        """
        if self._square is None:
            raise ValueError("no face was located in this frame")
        crop = extract(frame.image, self._square)
        shift_px = self._follow(crop)
        motion_per_s = 0.0
        if self._last_time_s is not None and frame.time_s > self._last_time_s:
            widths = float(np.hypot(*shift_px)) * GROWTH / CROP_PX
            motion_per_s = widths / (frame.time_s - self._last_time_s)
        self._last_time_s = frame.time_s
        assert self._face is not None
        return RoiFrame(frame.time_s, crop, self._face, self._cut, motion_per_s, shift_px)

    def _detect_if_due(self, frame: Frame) -> None:
        """Run the detector when its time has come."""
        config = self._config
        face_held = self._face is not None and self._last_seen_s == self._last_detect_s
        every_s = config.detect_every_s if face_held else config.search_every_s
        due = self._last_detect_s is None or frame.time_s - self._last_detect_s >= every_s - 1e-6
        if not due:
            return
        self._last_detect_s = frame.time_s
        self._detections += 1
        faces = self._detector.detect(frame.image)
        if self._face is not None:
            same = _most_overlapping(self._face, faces)
            if same is not None:
                self._last_seen_s = frame.time_s
                self._sizes.append(max(same.w_px, same.h_px))
                self._face = _blend(self._face, same, float(np.median(self._sizes)))
                return
            if frame.time_s - self._last_seen_s < config.hold_s:
                return
            self._lose("the detector no longer sees it")
        if faces:
            self._take(max(faces, key=_area), frame.time_s)

    def _take(self, face: FaceBox, time_s: float) -> None:
        self._found += 1
        size = max(face.w_px, face.h_px)
        center_x, center_y = face.center_px
        self._face = FaceBox(center_x - size / 2.0, center_y - size / 2.0, size, size, face.score)
        self._square = None
        self._gray = None
        self._sizes.clear()
        self._sizes.append(size)
        self._last_seen_s = time_s
        logger.info("face found: %.0f px wide, score %.2f", face.w_px, face.score)

    def _lose(self, why: str) -> None:
        self._lost += 1
        self._face = None
        self._square = None
        self._gray = None
        logger.info("face lost: %s", why)

    def _recentre_if_off(self) -> bool:
        """Move the crop square if the face has left its middle; True if it moved."""
        if self._face is None:
            return False
        wanted = square_for(self._face)
        now = self._square
        if now is None:
            self._square = wanted
            return True
        half = (wanted.side_px - now.side_px) / 2.0
        off_x = wanted.left_px + half - now.left_px
        off_y = wanted.top_px + half - now.top_px
        off = float(np.hypot(off_x, off_y)) / now.side_px
        resized = abs(wanted.side_px / now.side_px - 1.0)
        if off <= self._config.deadband and resized <= self._config.size_deadband:
            return False
        self._square = wanted
        self._gray = None
        self._recentred += 1
        return True

    def _follow(self, crop: np.ndarray) -> Tuple[float, float]:
        """Carry the face box along with what the crop shows; by how much, in crop pixels."""
        gray = luma(crop)
        shift_px = (0.0, 0.0)
        if not self._cut and self._gray is not None:
            assert self._face is not None
            assert self._square is not None
            shift_px = shift_between(self._gray, gray)
            px = self._square.side_px / CROP_PX
            face = self._face
            self._face = FaceBox(
                face.x_px + shift_px[0] * px,
                face.y_px + shift_px[1] * px,
                face.w_px,
                face.h_px,
                face.score,
            )
        self._gray = gray
        return shift_px


def _area(face: FaceBox) -> float:
    return face.w_px * face.h_px


def _overlap(a: FaceBox, b: FaceBox) -> float:
    """Intersection over union."""
    w = min(a.x_px + a.w_px, b.x_px + b.w_px) - max(a.x_px, b.x_px)
    h = min(a.y_px + a.h_px, b.y_px + b.h_px) - max(a.y_px, b.y_px)
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / (_area(a) + _area(b) - w * h)


def _most_overlapping(face: FaceBox, others: List[FaceBox]) -> Optional[FaceBox]:
    best = max(others, key=lambda other: _overlap(face, other), default=None)
    return best if best is not None and _overlap(face, best) > 0.2 else None


def _blend(face: FaceBox, seen: FaceBox, size: float) -> FaceBox:
    """Half the way to what the detector saw: its jitter is halved, drift dies within a second."""
    old_x, old_y = face.center_px
    new_x, new_y = seen.center_px
    center_x, center_y = (old_x + new_x) / 2.0, (old_y + new_y) / 2.0
    return FaceBox(center_x - size / 2.0, center_y - size / 2.0, size, size, seen.score)


def _overlaps(square: Optional[CropSquare], image: np.ndarray) -> bool:
    height, width = image.shape[:2]
    return square is None or (
        square.left_px < width
        and square.top_px < height
        and square.left_px + square.side_px > 0
        and square.top_px + square.side_px > 0
    )
