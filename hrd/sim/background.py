"""The room behind a face: out of focus, and sometimes alive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple

import cv2
import numpy as np

from hrd.sim.canvas import fractal


@dataclass(frozen=True)
class Background:
    """``image``: (h, w, 3) float32, at least as large as the picture and fixed to the room.

    ``flicker``: per second rate, relative depth and rectangle (x, y, w, h in 0..1) of something
    that changes its brightness; ``mover``: a textured (h, w, 3) thing that crosses the picture
    ``mover_speed`` picture widths per second at height ``mover_y`` (0..1).
    """

    image: np.ndarray
    flicker_hz: float = 0.0
    flicker_depth: float = 0.0
    flicker_box: Tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    mover: Optional[np.ndarray] = None
    mover_speed: float = 0.2
    mover_y: float = 0.3
    _phase: float = field(default=0.0)

    @property
    def alive(self) -> bool:
        return self.flicker_depth > 0.0 or self.mover is not None

    def at(self, time_s: float) -> np.ndarray:
        """The background at a time; not to be written to."""
        if not self.alive:
            return self.image
        image = self.image.copy()
        height, width = image.shape[:2]
        if self.flicker_depth > 0.0:
            x, y, w, h = self.flicker_box
            rows = slice(int(y * height), int((y + h) * height))
            columns = slice(int(x * width), int((x + w) * width))
            angle = 2.0 * np.pi * self.flicker_hz * time_s + self._phase
            wave = np.sin(angle) + 0.5 * np.sign(np.sin(0.37 * angle))
            image[rows, columns] *= np.float32(1.0 + self.flicker_depth * wave)
        if self.mover is not None:
            h, w = self.mover.shape[:2]
            place = (self._phase + self.mover_speed * time_s) % 1.0
            left = int(place * (width + w)) - w
            top = int(self.mover_y * max(height - h, 0))
            x0, x1 = max(left, 0), min(left + w, width)
            if x1 > x0:
                image[top : top + h, x0:x1] = self.mover[: height - top, x0 - left : x1 - left]
        return image


def sample_background(rng: np.random.Generator, size: Tuple[int, int], alive: bool) -> Background:
    """A random room of (width, height) pixels, out of focus."""
    width, height = size
    scale = max(width, height)
    small = (max(8, height // 2), max(8, width // 2))  # drawn at half size: it is blurred anyway
    base = rng.uniform(15, 235) * np.exp(rng.normal(0.0, 0.18, 3))
    image = np.empty(small + (3,), np.float32)
    cloud = fractal(rng, small, rng.uniform(0.1, 0.5) * scale / 2, 5)
    contrast = rng.uniform(0.02, 0.25)
    image[:] = base * (1.0 + contrast * cloud)[..., None]
    ramp = np.linspace(-1.0, 1.0, small[1], dtype=np.float32) * rng.uniform(-0.3, 0.3)
    image *= 1.0 + ramp[None, :, None]
    for _ in range(int(rng.integers(0, 9))):  # shelves, windows, pictures, lamps
        w, h = (rng.uniform(0.05, 0.5, 2) * [small[1], small[0]]).astype(int) + 1
        x = int(rng.integers(-w // 2, small[1] - w // 2))
        y = int(rng.integers(-h // 2, small[0] - h // 2))
        rgb = np.clip(rng.uniform(0, 255) * np.exp(rng.normal(0.0, 0.3, 3)), 0, 255)
        if rng.random() < 0.3:
            cv2.ellipse(image, (x + w // 2, y + h // 2), (w // 2, h // 2), 0, 0, 360, rgb, -1)
        else:
            cv2.rectangle(image, (x, y), (x + w, y + h), rgb, -1)
    fine = fractal(rng, small, 6.0, 2) * rng.uniform(0.0, 0.08)
    image *= (1.0 + fine)[..., None]
    blur = rng.uniform(0.002, 0.02) * scale
    image = cv2.GaussianBlur(image, (0, 0), max(0.5, blur / 2))
    image = cv2.resize(np.clip(image, 0, 255), (width, height), interpolation=cv2.INTER_LINEAR)
    if not alive:
        return Background(image)
    if rng.random() < 0.5:
        w, h = rng.uniform(0.15, 0.6, 2)
        x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
        return Background(
            image,
            flicker_hz=float(rng.uniform(0.3, 6.0)),
            flicker_depth=float(rng.uniform(0.02, 0.3)),
            flicker_box=(float(x), float(y), float(w), float(h)),
            _phase=float(rng.uniform()),
        )
    mover_shape = (int(rng.uniform(0.3, 0.9) * height), int(rng.uniform(0.1, 0.4) * width) + 2)
    mover = np.empty(mover_shape + (3,), np.float32)
    mover[:] = (
        rng.uniform(10, 230, 3) * (1.0 + 0.25 * fractal(rng, mover_shape, 12.0, 3))[..., None]
    )
    return Background(
        image,
        mover=np.clip(mover, 0, 255),
        mover_speed=float(rng.uniform(0.05, 0.6) * rng.choice([-1, 1])),
        mover_y=float(rng.uniform(0, 1)),
        _phase=float(rng.uniform()),
    )
