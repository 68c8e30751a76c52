"""How far a face has moved between two crops: one Gauss-Newton step of Lucas & Kanade (1981)."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from hrd.skin import FACE_WEIGHT, luma

_MAX_SHIFT_PX = 3.0  # beyond this the linearisation says nothing

_INNER_WEIGHT = np.ascontiguousarray(FACE_WEIGHT[1:-1, 1:-1])
_INNER_SHARE = _INNER_WEIGHT / _INNER_WEIGHT.sum()
_QUARTER = np.float32(0.25)


def shift_between(before: np.ndarray, after: np.ndarray) -> Tuple[float, float]:
    """Translation (dx, dy) of the picture from ``before`` to ``after``, in crop pixels.

    Both (CROP_PX, CROP_PX) float32 luma. Sub-pixel; good to about +-2 px, clipped at +-3.
    (0, 0) where the picture has no texture to tell by.
    """
    twice = before + after  # the mean's gradient is a quarter of this one's difference
    gradient_x = twice[1:-1, 2:] - twice[1:-1, :-2]
    gradient_x *= _QUARTER
    gradient_y = twice[2:, 1:-1] - twice[:-2, 1:-1]
    gradient_y *= _QUARTER
    difference = after[1:-1, 1:-1] - before[1:-1, 1:-1]
    # a change of light moves every pixel together; it is no motion
    difference -= np.vdot(difference, _INNER_SHARE)
    weighted_x = gradient_x * _INNER_WEIGHT
    weighted_y = gradient_y * _INNER_WEIGHT
    xx = float(np.vdot(weighted_x, gradient_x))
    xy = float(np.vdot(weighted_x, gradient_y))
    yy = float(np.vdot(weighted_y, gradient_y))
    bx = float(np.vdot(weighted_x, difference))
    by = float(np.vdot(weighted_y, difference))
    determinant = xx * yy - xy * xy
    if determinant <= 1e-6 * (xx + yy) ** 2 or xx + yy < 1.0:
        return 0.0, 0.0
    dx = -(yy * bx - xy * by) / determinant
    dy = -(xx * by - xy * bx) / determinant
    return _clipped(dx), _clipped(dy)


def _clipped(shift_px: float) -> float:
    return min(_MAX_SHIFT_PX, max(-_MAX_SHIFT_PX, shift_px))


def movement(crops: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 crops -> (T, 2) float32 step of the face into each, in crop pixels.

    Zero for the first and at cuts. For stored crops; a live face's tracker knows its steps.
    """
    steps = np.zeros((len(crops), 2), np.float32)
    before: Optional[np.ndarray] = None
    for t, crop in enumerate(crops):
        after = luma(crop)
        if before is not None and not cut[t]:
            steps[t] = shift_between(before, after)
        before = after
    return steps
