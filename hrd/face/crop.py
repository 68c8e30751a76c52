"""The crop that engines read: a square round the face, averaged down to CROP_PX."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from hrd.types import CROP_PX, FaceBox

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


def extract(image: np.ndarray, square: CropSquare) -> np.ndarray:
    """Area-average the square of ``image`` ((H, W, 3) uint8) to (CROP_PX, CROP_PX, 3) float32.

    Not rounded to 8 bits. Where the square hangs over the edge, the edge's pixels are repeated.
    Raises ``ValueError`` if the square lies wholly outside the image.
    """
    height, width = image.shape[:2]
    left, top = square.left_px, square.top_px
    right, bottom = left + square.side_px, top + square.side_px
    inner = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    if inner.size == 0:
        raise ValueError(f"{square} lies outside the {width}x{height} image")
    patch = inner.astype(np.float32)
    if inner.shape[:2] != (square.side_px, square.side_px):
        patch = cv2.copyMakeBorder(
            patch,
            max(0, -top),
            max(0, bottom - height),
            max(0, -left),
            max(0, right - width),
            cv2.BORDER_REPLICATE,
        )
    interpolation = cv2.INTER_AREA if square.side_px >= CROP_PX else cv2.INTER_LINEAR
    return cv2.resize(patch, (CROP_PX, CROP_PX), interpolation=interpolation)
