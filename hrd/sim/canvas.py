"""Layers of a face while they are being painted, and the texture that goes into them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Optional, Tuple

import cv2
import numpy as np


@dataclass(frozen=True)
class Patch:
    """A change of colour in a rectangle of the layers: closed lids, an open mouth."""

    rows: slice
    columns: slice
    change: np.ndarray  # (h, w, 3) float32, to be added to the albedo

    def moved(self, down_px: int, right_px: int) -> Patch:
        """The same patch in layers that begin elsewhere."""
        rows = slice(self.rows.start + down_px, self.rows.stop + down_px)
        columns = slice(self.columns.start + right_px, self.columns.stop + right_px)
        if rows.start < 0 or columns.start < 0:
            raise ValueError("the eyes or the mouth lie outside this part of the face")
        return replace(self, rows=rows, columns=columns)


def fractal(
    rng: np.random.Generator, shape: Tuple[int, int], coarse_px: float, octaves: int = 4
) -> np.ndarray:
    """(h, w) float32 cloudy texture of about unit standard deviation."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight, power = 1.0, 0.0
    for _ in range(octaves):
        grid = (
            max(2, int(np.ceil(width / max(coarse_px, 1.0))) + 1),
            max(2, int(np.ceil(height / max(coarse_px, 1.0))) + 1),
        )
        coarse = rng.standard_normal((grid[1], grid[0])).astype(np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        power += weight * weight
        weight *= 0.6
        coarse_px /= 2.0
        if coarse_px < 1.5:
            break
    return total / np.float32(np.sqrt(power) * 0.75)


class Canvas:
    """The layers while they are being painted."""

    def __init__(self, unit_px: float, half_width: float, up: float, down: float) -> None:
        width = int(np.ceil(2.0 * half_width * unit_px))
        height = int(np.ceil((up + down) * unit_px))
        self.shape = (height, width)
        self.center_px = (width / 2.0, up * unit_px)
        self.x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2.0) / unit_px)[None, :]
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / unit_px - up)[:, None]
        self.pixel = 1.0 / unit_px
        self.albedo = np.zeros((height, width, 3), np.float32)
        self.alpha = np.zeros(self.shape, np.float32)
        self.gain = np.zeros(self.shape, np.float32)
        self.gloss = np.zeros(self.shape, np.float32)

    def cover(self, distance: np.ndarray, soft: float = 0.0) -> np.ndarray:
        """Coverage 0..1 of a shape given its signed distance (negative inside)."""
        return np.clip(0.5 - distance / (max(soft, 0.0) + 1.5 * self.pixel), 0.0, 1.0)

    def ellipse(
        self, x: float, y: float, a: float, b: float, soft: float = 0.0, power: float = 2.0
    ) -> np.ndarray:
        radius = np.abs((self.x - x) / a) ** power + np.abs((self.y - y) / b) ** power
        return self.cover((radius ** (1.0 / power) - 1.0) * min(a, b), soft)

    def paint(
        self,
        mask: np.ndarray,
        rgb: Tuple[float, float, float],
        texture: Optional[np.ndarray] = None,
        gain: float = 0.0,
        gloss: float = 0.0,
        solid: bool = True,
    ) -> None:
        box = _box(mask)
        if box is None:
            return
        color = np.array(rgb, np.float32)
        part = mask[box]
        albedo = self.albedo[box]
        if texture is None:
            target: np.ndarray = color
        else:
            target = color * (1.0 + texture[box])[..., None]
        albedo += part[..., None] * (target - albedo)
        if solid:
            self.alpha[box] = np.maximum(self.alpha[box], part)
        self.gain[box] += part * (np.float32(gain) - self.gain[box])
        self.gloss[box] += part * (np.float32(gloss) - self.gloss[box])

    def tint(self, mask: np.ndarray, factor: Tuple[float, float, float]) -> None:
        """Multiply the colour where the mask is 1, less where it is less."""
        box = _box(mask)
        if box is not None:
            self.albedo[box] *= 1.0 + mask[box][..., None] * (np.array(factor, np.float32) - 1.0)

    def blob(self, x: float, y: float, a: float, b: float) -> np.ndarray:
        """A Gaussian of height 1."""
        across = np.exp(-0.5 * ((self.x - x) / a) ** 2)
        down = np.exp(-0.5 * ((self.y - y) / b) ** 2)
        return (across * down).astype(np.float32)

    def pair(self, draw: Callable[[float], np.ndarray]) -> np.ndarray:
        """The same shape at the left and at the right."""
        return np.maximum(draw(-1.0), draw(1.0))


def _box(mask: np.ndarray) -> Optional[Tuple[slice, slice]]:
    """The rectangle outside which a mask is nothing; None if it is nothing anywhere."""
    marked = mask > 0.002
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if len(rows) == 0:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
