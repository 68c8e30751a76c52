"""Where to look for a face, and how often: all of the picture first, then parts of it in turns.

The detectors look at 128 pixels of whatever they are given, so a face of 60 pixels in a picture
of 1920 is lost on them until they are given a part of it. Looking costs time, and an empty room
stays empty for hours: while nothing in it changes it is looked at ever more rarely, and at once
when something does.
"""

from __future__ import annotations

from typing import List, Optional

import numpy as np

from hrd.picture import Region

SMALLEST_PART_PX = 320
"""Parts of the picture are no smaller: a face of 32 pixels is found in one."""

PART_MIN_SCORE = 0.75
"""A face found in a part must be surer than one in all of the picture: a part magnifies whatever
is in it, and is one of many tries."""

_STRIDE = 0.75  # of a part's side from one to the next, so that no face lies on every border
GRID = 24  # cells across and down that are compared to tell a change
_CHANGED = 0.035  # of the mean brightness, in some cell, against the mean of all cells
_DARK = 40.0  # a darker picture's noise is not to be taken for a change


def parts_of(area: Region) -> List[Region]:
    """Square parts that together cover ``area``, the larger ones first; empty for a small area."""
    longest = max(area.width_px, area.height_px)
    parts: List[Region] = []
    side = longest / 2.0
    while side >= smallest_part_px(longest):
        for top in _starts(area.top_px, area.height_px, side):
            for left in _starts(area.left_px, area.width_px, side):
                wide, tall = min(side, area.width_px), min(side, area.height_px)
                parts.append(Region(left, top, wide, tall))
        side /= 2.0
    return parts


def smallest_part_px(longest_px: float) -> float:
    """Side of the smallest part that a picture is looked at in."""
    side = longest_px
    while side / 2.0 >= SMALLEST_PART_PX:
        side /= 2.0
    return side


def _starts(begin: float, length: float, side: float) -> List[float]:
    if length <= side:
        return [begin]
    count = int(np.ceil((length - side) / (_STRIDE * side))) + 1
    return [begin + (length - side) * k / (count - 1) for k in range(count)]


def around(x_px: float, y_px: float, side: float, area: Region) -> Region:
    """A square of ``side`` round a point, moved and cut so that it lies within ``area``."""
    wide, tall = min(side, area.width_px), min(side, area.height_px)
    left = min(max(x_px - wide / 2.0, area.left_px), area.left_px + area.width_px - wide)
    top = min(max(y_px - tall / 2.0, area.top_px), area.top_px + area.height_px - tall)
    return Region(left, top, wide, tall)


class ChangeMeter:
    """Tells whether a picture differs from the one that was last ``keep``-t, noise aside.

    Pictures are (H, W) arrays; they are compared cell by cell of a coarse grid, each against the
    mean of all, so that a lamp that is dimmed is no change and a moved head is one.
    """

    def __init__(self, changed: float = _CHANGED, grid: int = GRID) -> None:
        self._changed = changed
        self._grid = grid
        self._kept: Optional[np.ndarray] = None
        self._seen: Optional[np.ndarray] = None

    def reset(self) -> None:
        """Whatever comes next is new."""
        self._kept = self._seen = None

    def push(self, picture: np.ndarray) -> bool:
        """Look at a picture; True if it differs from the kept one, or if there is none."""
        self._seen = self._cells(picture)
        kept = self._kept
        if kept is None or kept.shape != self._seen.shape:
            return True
        return bool(np.abs(self._seen - kept).max() > self._changed)

    @property
    def fresh(self) -> bool:
        """Nothing has been kept yet."""
        return self._kept is None

    def keep(self) -> None:
        """The picture last pushed is what the next ones are compared with."""
        self._kept = self._seen

    def _cells(self, picture: np.ndarray) -> np.ndarray:
        rows, columns = (max(1, size // self._grid) for size in picture.shape)
        means = picture
        if rows > 1 or columns > 1:
            tall, wide = picture.shape[0] // rows * rows, picture.shape[1] // columns * columns
            cells = picture[:tall, :wide].reshape(tall // rows, rows, wide // columns, columns)
            means = cells.mean(axis=(1, 3), dtype=np.float32)
        level = float(means.mean())
        return means / np.float32(max(level, _DARK)) - np.float32(level / max(level, _DARK))
