"""How far a face has moved between two crops: one Gauss-Newton step of Lucas & Kanade (1981)."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from hrd.skin import FACE_WEIGHT, luma

_MAX_SHIFT_PX = 3.0  # beyond this the linearisation says nothing

_INNER_WEIGHT = FACE_WEIGHT[1:-1, 1:-1]


def shift_between(before: np.ndarray, after: np.ndarray) -> Tuple[float, float]:
    """Translation (dx, dy) of the picture from ``before`` to ``after``, in crop pixels.

    Both (CROP_PX, CROP_PX) float32 luma. Sub-pixel; good to about +-2 px, clipped at +-3.
    (0, 0) where the picture has no texture to tell by.
    """
    mean = 0.5 * (before + after)
    gradient_x = 0.5 * (mean[1:-1, 2:] - mean[1:-1, :-2])
    gradient_y = 0.5 * (mean[2:, 1:-1] - mean[:-2, 1:-1])
    difference = (after - before)[1:-1, 1:-1]
    # a change of light moves every pixel together; it is no motion
    difference = difference - float((difference * _INNER_WEIGHT).sum() / _INNER_WEIGHT.sum())
    weighted_x = gradient_x * _INNER_WEIGHT
    weighted_y = gradient_y * _INNER_WEIGHT
    xx = float((weighted_x * gradient_x).sum())
    xy = float((weighted_x * gradient_y).sum())
    yy = float((weighted_y * gradient_y).sum())
    bx = float((weighted_x * difference).sum())
    by = float((weighted_y * difference).sum())
    determinant = xx * yy - xy * xy
    if determinant <= 1e-6 * (xx + yy) ** 2 or xx + yy < 1.0:
        return 0.0, 0.0
    dx = -(yy * bx - xy * by) / determinant
    dy = -(xx * by - xy * bx) / determinant
    return (
        float(np.clip(dx, -_MAX_SHIFT_PX, _MAX_SHIFT_PX)),
        float(np.clip(dy, -_MAX_SHIFT_PX, _MAX_SHIFT_PX)),
    )


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
