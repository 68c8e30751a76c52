"""Hard cuts: from one picture to the next another scene, or another face in the same place.

What the skin did before a cut says nothing of who is seen after it. A cut changes the structure of
a picture within one frame; noise, light, compression and movement change it little by little.
"""

from __future__ import annotations

import functools
import math
from collections import deque
from typing import Deque, Optional, Tuple

import numpy as np

from hrd.types import Frame, Packing, RoiFrame

_PICTURE = 0.2
"""Least change (one minus the correlation) of the whole picture that is a cut. Recordings of
people at desks, 30 frames a second: 0.0002 in the median, 0.01 at most; drawn heads that turn fast
at 15: 0.03; from one scene to another: 0.6 to 1."""
_FACE = 0.25
"""The same of the face alone: 0.002 at most in recordings, 0.06 drawn; other faces: from 0.5."""
_RATIO = 4.0  # and it must stand out of the changes just before: fast movement does not
_MEMORY, _LEAST_MEMORY = 10, 2
_CONTRAST = 4.0  # grey levels, standard deviation
_COLUMNS, _ROWS = 32, 24


class CutDetector:
    """``in_picture`` and ``in_face`` take what follows one another and say whether it was cut."""

    def __init__(self) -> None:
        self._picture = _Change(_PICTURE)
        self._face = _Change(_FACE)
        self._size: Optional[Tuple[int, int]] = None

    def reset(self) -> None:
        """The next picture follows nothing."""
        self._picture.reset()
        self._face.reset()

    def in_picture(self, frame: Frame) -> bool:
        """Whether a frame shows another scene than the one before."""
        brightness = _brightness(frame)
        layout = frame.layout
        height, width = brightness.shape
        size = (layout.width_px, layout.height_px) if layout is not None else (width, height)
        resized = self._size is not None and size != self._size
        self._size = size
        return self._picture.push(brightness[_points(height, width)]) or resized

    def in_face(self, roi: RoiFrame) -> bool:
        """Whether the crop, where it has not moved, shows another face than the one before."""
        if roi.cut:
            self._face.reset()
        return self._face.push(roi.crop[..., 1])


@functools.lru_cache(maxsize=8)
def _points(height: int, width: int) -> Tuple[np.ndarray, ...]:
    """As many points of any picture: sources make pictures smaller when nobody minds."""
    rows = np.linspace(0, height - 1, _ROWS).astype(int)
    columns = np.linspace(0, width - 1, _COLUMNS).astype(int)
    return np.ix_(rows, columns)


def _brightness(frame: Frame) -> np.ndarray:
    """(H, W) uint8: green, or luma where that is what there is."""
    layout, image = frame.layout, frame.image
    if layout is None or layout.packing is Packing.RGB:
        return image[..., 1]
    if layout.packing is Packing.YUYV:
        return image[..., 0]
    luma = image[: layout.width_px * layout.height_px]
    return luma.reshape(layout.height_px, layout.width_px)


@functools.lru_cache(maxsize=8)
def _share(count: int) -> np.ndarray:
    return np.full(count, 1.0 / count, np.float32)


class _Change:
    def __init__(self, least: float) -> None:
        self._least = least
        self._last: Optional[np.ndarray] = None
        self._energy = np.float32(0.0)
        self._recent: Deque[float] = deque(maxlen=_MEMORY)

    def reset(self) -> None:
        self._last = None
        self._recent.clear()

    def push(self, values: np.ndarray) -> bool:
        """Whether the (H, W) values differ from the last ones as only a cut makes them."""
        now = values.astype(np.float32).ravel()
        now -= np.dot(now, _share(len(now)))  # the mean, at a twentieth of the call's cost
        energy = np.dot(now, now)
        last, self._last = self._last, now
        last_energy, self._energy = self._energy, energy
        if last is None:
            return False
        power = min(float(last_energy), float(energy))
        if power < _CONTRAST**2 * len(now):  # the dark, a wall: nothing but noise to compare
            self._recent.clear()
            return False
        scale = math.sqrt(float(last_energy) * float(energy))
        change = 1.0 - float(np.dot(last, now)) / scale
        stands_out = len(self._recent) >= _LEAST_MEMORY and change > _RATIO * max(self._recent)
        if stands_out and change > self._least:
            self._recent.clear()
            return True
        self._recent.append(change)
        return False
