"""Pictures the right way up: the display matrix that phones write instead of turning pixels."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Orientation:
    """What to do to a stored picture to show it: mirror it first, then turn it clockwise."""

    mirror: bool = False
    quarter_turns_cw: int = 0

    def apply(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 in, the same upright out, contiguous (W and H may swap)."""
        if self.mirror:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -self.quarter_turns_cw))


UPRIGHT = Orientation()


def orientation_from_matrix(matrix: bytes) -> Orientation:
    """The orientation that a display matrix asks for.

    ``matrix``: nine native int32 as FFmpeg delivers them (ISO/IEC 14496-12 ``tkhd``):
    a b u, c d v, x y w, with a stored pixel (p, q) shown at (a p + c q, b p + d q), y pointing
    down. Angles between the quarter turns snap to the nearest one, as nothing here resamples.
    Anything malformed is taken as upright.
    """
    if len(matrix) < 36:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=9i", matrix[:36])[:5]
    if a * d - b * c == 0:
        return UPRIGHT
    mirror = a * d - b * c < 0
    if mirror:
        a, b = -a, -b  # undo the mirroring, which is done before the turn
    # the image of the x axis tells the turn: (a, b) = right, down, left or up
    if abs(a) >= abs(b):
        quarter_turns_cw = 0 if a > 0 else 2
    else:
        quarter_turns_cw = 1 if b > 0 else 3
    return Orientation(mirror, quarter_turns_cw)
