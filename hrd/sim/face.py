"""Faces drawn from numbers: colour, relief, and where and how strongly blood shows.

Geometry is in face units: 1 is the width of the face, the origin lies between the eyes and the
nose, x to the right, y down. A face is drawn once as a set of layers; the scene then lights,
moves and pulses it without drawing again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Tuple

import cv2
import numpy as np

from hrd.sim import paint
from hrd.sim.canvas import Canvas, Patch, fractal
from hrd.sim.look import FaceLook


@dataclass(frozen=True)
class FaceLayers:
    """A drawn face. All arrays are (h, w) or (h, w, 3) float32.

    ``albedo``: colour in even light, 0..255. ``alpha``: 1 where the person is. ``gain``: relative
    pulse amplitude, 0 off the skin. ``delay_s``: when the pulse arrives. ``skin``: 0..1.
    ``relief``: height towards the camera in face units. ``gloss``: how much it shines.
    ``lids``, ``mouth``: what blinking and talking change. ``unit_px``: pixels per face width.
    ``center_px``: (x, y) of the origin.
    """

    look: FaceLook
    albedo: np.ndarray
    alpha: np.ndarray
    gain: np.ndarray
    delay_s: np.ndarray
    skin: np.ndarray
    relief: np.ndarray
    gloss: np.ndarray
    lids: Patch
    mouth: Patch
    unit_px: float
    center_px: Tuple[float, float]

    def part(self, rows: slice, columns: slice) -> FaceLayers:
        """A rectangle of the layers that still holds the eyes and the mouth."""
        box = (rows, columns)
        return replace(
            self,
            albedo=self.albedo[box],
            alpha=self.alpha[box],
            gain=self.gain[box],
            delay_s=self.delay_s[box],
            skin=self.skin[box],
            relief=self.relief[box],
            gloss=self.gloss[box],
            lids=self.lids.moved(-rows.start, -columns.start),
            mouth=self.mouth.moved(-rows.start, -columns.start),
            center_px=(self.center_px[0] - columns.start, self.center_px[1] - rows.start),
        )


def draw_face(
    look: FaceLook,
    unit_px: float,
    half_width: float = 0.95,
    up: float = 0.95,
    down: float = 0.95,
) -> FaceLayers:
    """Draw a face at ``unit_px`` pixels per face width; extents of the layers in face units."""
    rng = np.random.default_rng((look.seed, 21))
    canvas = Canvas(unit_px, half_width, up, down)
    shape = canvas.shape
    head = paint.head_cover(canvas, look)
    if look.hair == "long":
        paint.long_hair(canvas, look, rng)
    paint.body(canvas, look, rng)
    skin_texture = 0.035 * look.roughness * fractal(rng, shape, 0.25 * unit_px, 6)
    canvas.paint(paint.ears(canvas), look.skin_rgb, gain=1.0, gloss=0.4)
    canvas.tint(paint.ears(canvas), (1.0, 0.88, 0.86))
    canvas.paint(head, look.skin_rgb, skin_texture, gain=1.0, gloss=1.0)
    paint.complexion(canvas, look, rng, head)
    skin_only = canvas.alpha.copy()

    lids = paint.eyes(canvas, look)
    paint.nose(canvas, look)
    mouth = paint.mouth(canvas, look)
    paint.beard(canvas, look, rng, head)
    paint.brows(canvas, look, rng)
    paint.hair(canvas, look, rng, head)
    paint.glasses(canvas, look)

    regions = _regional_gain(canvas, look, rng)
    skin = np.clip(canvas.gain, 0.0, 1.0)
    gain = canvas.gain * regions * (skin_only > 0)
    delay_s = 0.008 + 0.010 * fractal(rng, shape, 0.5 * unit_px, 2) + 0.012 * (canvas.y + 0.3)
    return FaceLayers(
        look=look,
        albedo=np.clip(canvas.albedo, 0.0, 255.0),
        alpha=canvas.alpha,
        gain=gain.astype(np.float32),
        delay_s=np.clip(delay_s, 0.0, 0.030).astype(np.float32),
        skin=skin,
        relief=_relief(canvas, look),
        gloss=canvas.gloss,
        lids=lids,
        mouth=mouth,
        unit_px=unit_px,
        center_px=canvas.center_px,
    )


def _regional_gain(canvas: Canvas, look: FaceLook, rng: np.random.Generator) -> np.ndarray:
    """Where blood shows: forehead and cheeks most, 0.3..1.5, patchy as it is in life."""
    strength = rng.uniform(0.75, 1.25, 6)
    gain = np.full(canvas.shape, 0.75, np.float32)
    gain += 0.4 * strength[0] * canvas.blob(0.0, -0.33, 0.24, 0.12)
    gain += 0.45 * strength[1] * canvas.blob(-0.25, 0.14, 0.12, 0.13)
    gain += 0.45 * strength[2] * canvas.blob(0.25, 0.14, 0.12, 0.13)
    gain += 0.1 * strength[3] * canvas.blob(0.0, 0.5, 0.14, 0.08)
    gain -= 0.15 * strength[4] * canvas.blob(0.0, 0.08, 0.05, 0.12)
    for side in (-1.0, 1.0):
        gain -= 0.25 * strength[5] * canvas.blob(side * look.eye_spread, look.eye_y, 0.1, 0.06)
    gain *= 1.0 + 0.16 * fractal(rng, canvas.shape, 0.3 / canvas.pixel, 4)
    gain *= 1.0 + rng.uniform(-0.3, 0.3) * canvas.x  # one side of a face often shows more
    return np.clip(gain, 0.3, 1.5)


def _relief(canvas: Canvas, look: FaceLook) -> np.ndarray:
    """Height towards the camera, face units; what the light's fall is computed from."""
    radius = paint.head_radius(canvas, look)
    z = 0.42 * np.sqrt(np.clip(1.0 - 0.93 * radius**2, 0.02, 1.0))
    ridge = np.clip((canvas.y + 0.16) / 0.3, 0.0, 1.0) * canvas.cover(
        canvas.y - look.nose_length, 0.06
    )
    z = z + 0.085 * ridge * np.exp(-0.5 * (canvas.x / (0.4 * look.nose_width)) ** 2)
    z = z + 0.03 * canvas.blob(0.0, look.nose_length, 0.6 * look.nose_width, 0.04)
    z = z + 0.02 * canvas.blob(0.0, look.eye_y - 0.1, 0.3, 0.04)
    for side in (-1.0, 1.0):
        z = z - 0.035 * canvas.blob(side * look.eye_spread, look.eye_y, 0.08, 0.05)
        z = z + 0.025 * canvas.blob(side * 0.27, 0.08, 0.11, 0.09)
    z = z + 0.02 * canvas.blob(0.0, look.mouth_y, 0.12, 0.05)
    z = z + 0.025 * canvas.blob(0.0, 0.52, 0.1, 0.06)
    return z.astype(np.float32)


@dataclass(frozen=True)
class Lighting:
    """A lamp: direction in radians (0, 0 is from the camera; positive: right, above)."""

    azimuth: float = 0.3
    elevation: float = 0.4
    ambient: float = 0.5
    hardness: float = 0.6


@dataclass(frozen=True)
class LitFace:
    """What light makes of the relief: (h, w) float32 factors, about 1 on average over skin.

    ``turn``, ``nod``: change of the shading per radian of yaw and of pitch. ``shine``: mirrored
    light, 0..1, to be scaled and added.
    """

    shading: np.ndarray
    turn: np.ndarray
    nod: np.ndarray
    shine: np.ndarray

    def part(self, rows: slice, columns: slice) -> LitFace:
        """A rectangle of it, as ``FaceLayers.part``."""
        box = (rows, columns)
        return LitFace(self.shading[box], self.turn[box], self.nod[box], self.shine[box])


def light_face(layers: FaceLayers, lighting: Lighting) -> LitFace:
    """Shade a face under a lamp: Lambert's law plus ambient light, Blinn's highlight."""
    relief = cv2.GaussianBlur(layers.relief, (0, 0), max(0.012 * layers.unit_px, 0.6))
    slope_x = cv2.Sobel(relief, cv2.CV_32F, 1, 0, ksize=3, scale=layers.unit_px / 8.0)
    slope_y = cv2.Sobel(relief, cv2.CV_32F, 0, 1, ksize=3, scale=layers.unit_px / 8.0)
    length = np.sqrt(1.0 + slope_x**2 + slope_y**2)
    weight = layers.skin * layers.alpha
    total = float(weight.sum()) + 1e-6

    def lambert(azimuth: float, elevation: float) -> np.ndarray:
        direction = (
            np.sin(azimuth) * np.cos(elevation),
            -np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        )
        dot = (-slope_x * direction[0] - slope_y * direction[1] + direction[2]) / length
        lit = lighting.ambient + (1.0 - lighting.ambient) * np.maximum(dot, 0.0)
        return lit**lighting.hardness

    shading = lambert(lighting.azimuth, lighting.elevation)
    scale = total / float((shading * weight).sum() + 1e-6)
    small = 0.05
    turned = lambert(lighting.azimuth - small, lighting.elevation)
    nodded = lambert(lighting.azimuth, lighting.elevation - small)
    half = (0.5 * lighting.azimuth, 0.5 * lighting.elevation)
    mirror = (
        -slope_x * np.sin(half[0]) * np.cos(half[1])
        + slope_y * np.sin(half[1])
        + np.cos(half[0]) * np.cos(half[1])
    ) / length
    shine = layers.gloss * np.maximum(mirror, 0.0) ** 40
    return LitFace(
        shading=(shading * scale).astype(np.float32),
        turn=((turned - shading) * (scale / small)).astype(np.float32),
        nod=((nodded - shading) * (scale / small)).astype(np.float32),
        shine=shine.astype(np.float32),
    )
