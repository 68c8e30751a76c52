"""The crop that engines read: a square round the face, averaged down to CROP_PX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrd.picture import Region, average
from hrd.types import CROP_PX, FaceBox, Frame

GROWTH = 1.35
"""Side of the crop over the longer side of the face box (brows to chin): takes in the forehead."""

RISE = 0.08
"""How far the crop's centre lies above the box's, in box heights: more forehead, less neck."""


@dataclass(frozen=True)
class CropSquare:
    """A square in whole pixels of its frame; may hang over the frame's edge."""

    left_px: int
    top_px: int
    side_px: int


def square_for(face: FaceBox) -> CropSquare:
    """The crop square that belongs to a face box."""
    center_x, center_y = face.center_px
    side = GROWTH * max(face.w_px, face.h_px)
    center_y -= RISE * face.h_px
    return CropSquare(
        left_px=int(round(center_x - side / 2.0)),
        top_px=int(round(center_y - side / 2.0)),
        side_px=max(1, int(round(side))),
    )


def extract(frame: Frame, square: CropSquare) -> np.ndarray:
    """Area-average the square of the frame to (CROP_PX, CROP_PX, 3) float32 RGB.

    Not rounded to 8 bits. Where the square hangs over the edge, the edge's pixels are repeated.
    Raises ``ValueError`` if the square lies wholly outside the picture.
    """
    side = float(square.side_px)
    region = Region(float(square.left_px), float(square.top_px), side, side)
    return average(frame, region, CROP_PX, CROP_PX)
