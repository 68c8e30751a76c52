"""Where skin is in a crop, and the mean colours that every colour method starts from.

Shared by the face stage, the engines and the quality checks; imports nothing of them.
"""

from __future__ import annotations

import numpy as np

from hrd.types import CROP_PX

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def _ellipse_radius2() -> np.ndarray:
    """(CROP_PX, CROP_PX) float32: 1 on the ellipse of the face, less inside it."""
    axis = (np.arange(CROP_PX, dtype=np.float32) + 0.5) / CROP_PX * 2.0 - 1.0
    return (axis[None, :] / 0.62) ** 2 + ((axis[:, None] - 0.08) / 0.8) ** 2


FACE_WEIGHT: np.ndarray = np.clip(1.5 - _ellipse_radius2(), 0.0, 1.0).astype(np.float32)
"""(CROP_PX, CROP_PX): 1 on the face's ellipse, falling off towards the background."""

FACE_SHARE = FACE_WEIGHT / FACE_WEIGHT.sum()
"""The same, summing to 1: for means over the face."""


def luma(crop: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 RGB -> (H, W) float32 luma (ITU-R BT.601), the same scale."""
    return crop @ _LUMA


def mean_rgb(crops: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) float32 crops -> (T, 3) float64 mean colour of the face's ellipse."""
    return np.tensordot(crops, FACE_SHARE, axes=([1, 2], [0, 1])).astype(np.float64)


def bridge_cuts(
    levels: np.ndarray, cut: np.ndarray, last: np.ndarray, gain: np.ndarray
) -> np.ndarray:
    """Scale what follows each cut so that the traces are continuous across it.

    A moved crop shows another patch of skin: its level steps though the pulse does not.
    ``levels`` (T, C); ``cut`` (T,) bool; ``last`` (C,) the continuous traces' values before;
    ``gain`` (C,) in force, updated in place. Returns (T, C).
    """
    out = np.empty_like(levels)
    for t in range(len(levels)):
        if cut[t]:
            gain[:] = last / np.maximum(levels[t], 1e-6)
        out[t] = levels[t] * gain
        last = out[t]
    return out
