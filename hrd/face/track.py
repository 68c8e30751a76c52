"""From frames to RoiFrames: one face, kept by overlap, in a crop that keeps still.

Every jump of the crop is an artefact in the signal, and so is every jitter of the detector. The
crop square therefore stays where it is until the face has really left its middle, and says so
(``cut``) when it moves. Detection runs twice a second while the crop's picture changes and more
rarely while it does not; in between the crops themselves tell how the face moves.

This module is longer than 400 lines because finding, holding and following are one state.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import dataclass
from typing import Deque, List, Optional, Tuple

import numpy as np

from hrd.face.crop import GROWTH, CropSquare, extract, square_for
from hrd.face.detect import FaceDetector
from hrd.face.motion import shift_between
from hrd.face.options import TrackerConfig, parse_region
from hrd.face.search import (
    GRID,
    PART_MIN_SCORE,
    ChangeMeter,
    around,
    parts_of,
    smallest_part_px,
)
from hrd.picture import Region, layout_of, overview, thumbnail, whole
from hrd.skin import luma
from hrd.types import CROP_PX, Demand, FaceBox, Frame, RoiFrame

__all__ = ["FaceTracker", "TrackerConfig", "TrackerStatus"]

logger = logging.getLogger(__name__)

REDUCED = (8, 4, 2)
"""How much smaller a picture may be decoded, most first (what JPEG can do)."""

_PIXELS_PER_CELL = 1.4
"""Pixels across a cell of the crop that a smaller picture must leave it: they are means of 4 or 16
of the full one's, so the cell's noise stays what it was."""

_FAR = 0.2
"""A face smaller than this share of the picture's longer side is detected in a part of it..."""
_FAR_SIDES = 5.0  # ... of so many face widths

_STILL = 0.03
"""A crop that has changed less than this since the last detection shows a still face."""

_COMPARE_EVERY_S = 0.2

_SUSPECT = 0.3  # a score, too low for a face: look again soon
_LOOKS = 3  # at all of a picture that has changed, however few parts it has
_REST_S = 0.13
"""Seconds between looks at a room that has been seen to be empty: with 30 pictures a second every
fourth instead of every third."""
_UNCHANGED_S = 0.33
"""The same where the source can tell that the picture has not changed: one that has comes at once,
sooner than in ``_REST_S``."""
_SPARE_LOOKS = 20  # more of them where something might be a face


@dataclass(frozen=True)
class TrackerStatus:
    """Counts since the start, for STATUS and the bench."""

    detections: int
    faces_found: int
    faces_lost: int
    recentred: int


class FaceTracker:
    """``push`` frames in order; get the face's RoiFrame, or None while there is no face.

    ``demand``, after each push: what the tracker needs of the frames to come.
    """

    def __init__(self, detector: FaceDetector, config: Optional[TrackerConfig] = None) -> None:
        self._detector = detector
        self._config = config or TrackerConfig()
        self._shares = parse_region(self._config.region)
        self._scene = ChangeMeter()
        self._crop_change = ChangeMeter(_STILL, grid=6)
        self._detections = 0
        self._found = 0
        self._lost = 0
        self._recentred = 0
        self.reset()

    def reset(self) -> None:
        """Forget the face."""
        self._face: Optional[FaceBox] = None
        self._square: Optional[CropSquare] = None
        self._reduced = 1
        self._cut = True
        self._sizes: Deque[float] = deque(maxlen=5)
        self._gray: Optional[np.ndarray] = None
        self._moved = False
        self._compared_s = -np.inf
        self._last_time_s: Optional[float] = None
        self._last_detect_s: Optional[float] = None
        self._last_seen_s = 0.0
        self._missed_s: Optional[float] = None
        self._part = -1
        self._unseen = 0  # looks until everything has been looked at since the last change
        self._look_at_part = False
        self._spare = 0
        self._scene.reset()
        self.demand = Demand()

    @property
    def detector_name(self) -> str:
        return self._detector.name

    @property
    def face(self) -> Optional[FaceBox]:
        """The face that is followed, in pixels of the camera's picture; None without one."""
        return self._face

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
        if not _overlaps(self._square, whole(frame)):
            self._lose("it left the picture")
        if self._face is None:
            self._last_time_s = frame.time_s
        self._set_demand(frame)
        return self._face

    def crop(self, frame: Frame) -> RoiFrame:
        """The face just located, cut out of the same frame; call after ``locate`` found one.

        ``cut`` is True on a face's first frame and whenever the crop has moved.
        """
        if self._square is None:
            raise ValueError("no face was located in this frame")
        crop = extract(frame, self._square)
        reduced = layout_of(frame).reduced
        if reduced != self._reduced:  # the same square, decoded at another size
            self._reduced = reduced
            self._gray = None
            self._cut = True
        shift_px = self._follow(crop, frame.time_s)
        motion_per_s = 0.0
        if self._last_time_s is not None and frame.time_s > self._last_time_s:
            widths = math.hypot(*shift_px) * GROWTH / CROP_PX
            motion_per_s = widths / (frame.time_s - self._last_time_s)
        self._last_time_s = frame.time_s
        assert self._face is not None
        return RoiFrame(
            frame.time_s,
            crop,
            self._face,
            self._cut,
            motion_per_s,
            shift_px,
            frame.earlier_s,
        )

    # Detection.

    def _detect_if_due(self, frame: Frame) -> None:
        """Run the detector when its time has come."""
        time_s = frame.time_s
        since_s = np.inf if self._last_detect_s is None else time_s - self._last_detect_s
        if self._face is None:
            if since_s >= self._config.search_every_s - 1e-6:
                self._search(frame, since_s)
            return
        every_s = self._config.detect_every_s
        if self._missed_s is not None:
            every_s = self._config.search_every_s
        elif not self._moved and len(self._sizes) == self._sizes.maxlen:
            every_s = max(every_s, self._config.still_every_s)
        if since_s >= every_s - 1e-6:
            self._confirm(frame)

    def _search(self, frame: Frame, since_s: float) -> None:
        """Look for a face: in all of the picture and one part of it at each look until all parts
        have had their turn, then, while nothing changes, in one or the other now and then."""
        area = self._area(frame)
        if self._scene.push(overview(frame, area, GRID)):
            self._unseen = len(parts_of(area)) + _LOOKS
            self._spare = _SPARE_LOOKS
        elif self._unseen <= 0 and since_s < self._config.empty_every_s - 1e-6:
            return
        self._scene.keep()
        self._last_detect_s = frame.time_s
        resting, self._unseen = self._unseen <= 0, self._unseen - 1
        self._look_at_part = not self._look_at_part
        faces: List[FaceBox] = []
        suspect = False
        if not (resting and self._look_at_part):
            faces = self._detect(frame, area)
            suspect = self._detector.best_score >= _SUSPECT
        if not faces and not (resting and not self._look_at_part):
            parts = parts_of(area)
            if parts:
                self._part = (self._part + 1) % len(parts)
                faces = self._look_closer(frame, parts[self._part], area)
        if faces:
            self._take(max(faces, key=_area), frame.time_s)
        elif suspect and self._spare > 0:
            self._spare -= 1
            self._unseen = max(self._unseen, 1)

    def _look_closer(self, frame: Frame, part: Region, area: Region) -> List[FaceBox]:
        """Faces in a part of the picture; one that is not sure because it is small in the part
        too is looked at again from near, where it must be."""
        found = self._detect(frame, part)
        sure = [face for face in found if face.score >= PART_MIN_SCORE]
        if sure or not found:
            return sure
        best = found[0]
        side = _FAR_SIDES * max(best.w_px, best.h_px)
        if side >= part.width_px:
            return []
        near = self._detect(frame, around(*best.center_px, side, area))
        same = _most_overlapping(best, [face for face in near if face.score >= PART_MIN_SCORE])
        return [] if same is None else [same]

    def _confirm(self, frame: Frame) -> None:
        """See whether the face that is held is still there."""
        assert self._face is not None
        time_s = frame.time_s
        self._last_detect_s = time_s
        area = self._area(frame)
        size = max(self._face.w_px, self._face.h_px)
        if size < _FAR * max(area.width_px, area.height_px):
            area = around(*self._face.center_px, _FAR_SIDES * size, area)
        faces = self._detect(frame, area)
        same = _most_overlapping(self._face, faces)
        if same is not None:
            self._last_seen_s = time_s
            self._missed_s = None
            self._moved = False
            self._crop_change.reset()
            self._compared_s = -np.inf
            self._sizes.append(max(same.w_px, same.h_px))
            self._face = _blend(self._face, same, float(np.median(self._sizes)))
            return
        if self._missed_s is None:
            self._missed_s = time_s
        # as if it had been looked for all the while
        seen_s = max(self._last_seen_s, self._missed_s - self._config.detect_every_s)
        if time_s - seen_s < self._config.hold_s:
            return
        self._lose("the detector no longer sees it")
        if faces:
            self._take(max(faces, key=_area), time_s)

    def _detect(self, frame: Frame, region: Region) -> List[FaceBox]:
        """Faces in a region of the picture, in pixels of the picture."""
        self._detections += 1
        small = thumbnail(frame, region, self._detector.input_px)
        across, down = region.width_px / small.shape[1], region.height_px / small.shape[0]
        return [
            FaceBox(
                region.left_px + face.x_px * across,
                region.top_px + face.y_px * down,
                face.w_px * across,
                face.h_px * down,
                face.score,
            )
            for face in self._detector.detect(small)
        ]

    def _area(self, frame: Frame) -> Region:
        """Where faces are looked for."""
        picture = whole(frame)
        left, top, width, height = self._shares
        return Region(
            left * picture.width_px,
            top * picture.height_px,
            width * picture.width_px,
            height * picture.height_px,
        )

    def _set_demand(self, frame: Frame) -> None:
        """Ask for no larger pictures, and no more of them, than the next looks need."""
        area = self._area(frame)
        longest = max(area.width_px, area.height_px)
        face = self._face
        if face is None or self._square is None:
            resting = self._unseen <= 0
            due_s = self._config.empty_every_s - 2 * _UNCHANGED_S
            soon = self._last_detect_s is None or frame.time_s - self._last_detect_s >= due_s
            enough_px = longest if resting and not soon else smallest_part_px(longest)
            every_s = max(self._config.search_every_s, _REST_S if resting else 0.0)
            unchanged_s = _UNCHANGED_S if resting else 0.0
            wanted = [k for k in REDUCED if enough_px >= k * self._detector.input_px]
        else:
            every_s = unchanged_s = 0.0
            cells = self._square.side_px / (CROP_PX * _PIXELS_PER_CELL)
            enough_px = _FAR_SIDES * max(face.w_px, face.h_px)
            if enough_px >= _FAR_SIDES * _FAR * longest:
                enough_px = longest
            # a smaller picture once asked for is kept until the face is clearly too small for it
            margin = {self._reduced: 0.85}
            wanted = [
                k
                for k in REDUCED
                if cells >= k * margin.get(k, 1.0) and enough_px >= k * self._detector.input_px
            ]
        demand = Demand(max(wanted, default=1), every_s, unchanged_s=unchanged_s)
        if demand != self.demand:
            self.demand = demand

    # The face.

    def _take(self, face: FaceBox, time_s: float) -> None:
        self._found += 1
        size = max(face.w_px, face.h_px)
        center_x, center_y = face.center_px
        self._face = FaceBox(center_x - size / 2.0, center_y - size / 2.0, size, size, face.score)
        self._square = None
        self._gray = None
        self._moved = True
        self._sizes.clear()
        self._sizes.append(size)
        self._last_seen_s = time_s
        self._missed_s = None
        logger.info("face found: %.0f px wide, score %.2f", face.w_px, face.score)

    def _lose(self, why: str) -> None:
        self._lost += 1
        self._face = None
        self._square = None
        self._gray = None
        self._scene.reset()
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
        off = math.hypot(off_x, off_y) / now.side_px
        resized = abs(wanted.side_px / now.side_px - 1.0)
        if off <= self._config.deadband and resized <= self._config.size_deadband:
            return False
        self._square = wanted
        self._gray = None
        self._recentred += 1
        return True

    def _follow(self, crop: np.ndarray, time_s: float) -> Tuple[float, float]:
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
        if not self._moved and (self._cut or time_s - self._compared_s >= _COMPARE_EVERY_S):
            self._compared_s = time_s
            self._moved = self._has_changed(gray)
        return shift_px

    def _has_changed(self, gray: np.ndarray) -> bool:
        """Whether the crop shows something else than at the last detection."""
        if self._cut:
            return True
        changed = self._crop_change.push(gray)
        if self._crop_change.fresh:
            self._crop_change.keep()
            return False
        return changed


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


def _overlaps(square: Optional[CropSquare], picture: Region) -> bool:
    return square is None or (
        square.left_px < picture.width_px
        and square.top_px < picture.height_px
        and square.left_px + square.side_px > 0
        and square.top_px + square.side_px > 0
    )
