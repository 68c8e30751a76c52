"""A drawn face in the picture, and the box that a detector would put round it.

Drawing a picture no larger than what the tracker looks at, and telling the tracker where the face
is instead of searching for it, makes clips many times cheaper; this module makes both like the
real thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from hrd.face.crop import GROWTH, RISE
from hrd.face.detect import FaceDetector
from hrd.sim.motion import Motion
from hrd.types import FaceBox

# Where MediaPipe's short-range detector (0.10.9) puts its box on drawn faces, in face units from
# the face's origin: mean and spread over 60 faces; tests/test_sim_face.py holds them to it.
BOX_CENTER_X = 0.0
BOX_CENTER_Y = 0.122
BOX_SIZE = 1.027
BOX_CENTER_X_SPREAD = 0.010
BOX_CENTER_Y_SPREAD = 0.019
BOX_SIZE_SPREAD = 0.038
# how far it goes with the nose when the head turns or nods, face units per radian (14 faces)
BOX_PER_YAW = 0.10
BOX_PER_PITCH = 0.17


class KnowingDetector(FaceDetector):
    """Stands in for MediaPipe: knows where the face is, and errs as it does.

    ``boxes``: the true box of every frame; ``index`` must be set to the frame's before a call.
    ``jitter``: standard deviation of position and size from one call to the next, in box widths.
    Two calls in a hundred find nothing.
    """

    name = "simulated"

    def __init__(self, boxes: List[FaceBox], rng: np.random.Generator, jitter: float) -> None:
        self._boxes = boxes
        self._rng = rng
        self._jitter = jitter
        self.index = 0

    def detect(self, image: np.ndarray) -> List[FaceBox]:
        box = self._boxes[self.index]
        dx, dy, ds = self._rng.normal(0.0, self._jitter, 3) * box.w_px
        if self.index > 0 and self._rng.random() < 0.02:
            return []
        side = box.w_px + ds
        center_x, center_y = box.center_px
        return [
            FaceBox(center_x + dx - side / 2.0, center_y + dy - side / 2.0, side, side, box.score)
        ]


@dataclass(frozen=True)
class Geometry:
    """``size``: (width, height) of the picture; ``origin_px``: where the face's origin rests in
    it; ``boxes``: the detector's true box at every time."""

    size: Tuple[int, int]
    origin_px: Tuple[float, float]
    boxes: List[FaceBox]


def lay_out(
    rng: np.random.Generator, motion: Motion, times_s: np.ndarray, unit_px: float
) -> Geometry:
    """Place a face in a picture just large enough for all it does; one in ten is cut by an edge.

    ``unit_px``: pixels per face width.
    """
    roll, zoom = motion.roll(times_s), 1.0 + motion.zoom(times_s)
    yaw, pitch = motion.yaw(times_s), motion.pitch(times_s)
    x = motion.x(times_s) + motion.shake_x(times_s)
    y = motion.y(times_s) + motion.shake_y(times_s)
    off_x = BOX_CENTER_X + rng.normal(0.0, BOX_CENTER_X_SPREAD)
    off_y = BOX_CENTER_Y + rng.normal(0.0, BOX_CENTER_Y_SPREAD)
    size = BOX_SIZE + rng.normal(0.0, BOX_SIZE_SPREAD)
    # a turned head's box goes with the nose
    center_x = x + zoom * (np.cos(roll) * off_x - np.sin(roll) * off_y) + BOX_PER_YAW * yaw
    center_y = y + zoom * (np.sin(roll) * off_x + np.cos(roll) * off_y) - BOX_PER_PITCH * pitch
    side = GROWTH * size * zoom.max()
    rise = RISE * size
    margin = 0.06 * side  # the crop may lag behind the face by about this much
    left = center_x.min() - side / 2 - margin
    right = center_x.max() + side / 2 + margin
    top = center_y.min() - rise - side / 2 - margin
    bottom = center_y.max() - rise + side / 2 + margin
    if rng.random() < 0.1:  # the picture's edge cuts the crop, as it does when sitting close
        cut = float(rng.uniform(0.03, 0.2)) * side
        edge = rng.choice(["left", "right", "top", "bottom"])
        left, right = left + cut * (edge == "left"), right - cut * (edge == "right")
        top, bottom = top + cut * (edge == "top"), bottom - cut * (edge == "bottom")
    # whole blocks of a codec
    width = max(48, int(np.ceil((right - left) * unit_px / 16.0)) * 16)
    height = max(48, int(np.ceil((bottom - top) * unit_px / 16.0)) * 16)
    origin_px = (-left * unit_px, -top * unit_px)
    box_px = size * zoom * unit_px
    center_x_px = origin_px[0] + center_x * unit_px
    center_y_px = origin_px[1] + center_y * unit_px
    boxes = [
        FaceBox(cx - side_px / 2, cy - side_px / 2, side_px, side_px, 0.9)
        for cx, cy, side_px in zip(center_x_px, center_y_px, box_px)
    ]
    return Geometry((width, height), origin_px, boxes)
