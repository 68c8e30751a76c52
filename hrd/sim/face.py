"""Faces drawn from numbers: colour, relief, and where and how strongly blood shows.

Geometry is in face units: 1 is the width of the face, the origin lies between the eyes and the
nose, x to the right, y down. A face is drawn once as a set of layers; the scene then lights,
moves and pulses it without drawing again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Tuple

import cv2
import numpy as np

SKIN_RGB = {
    1: (238, 205, 186),
    2: (226, 184, 158),
    3: (206, 160, 128),
    4: (172, 124, 94),
    5: (128, 87, 62),
    6: (86, 58, 44),
}
"""Mean skin colour under neutral light (8-bit sRGB) of six groups after Fitzpatrick. Simulated."""

PULSE_OF_GROUP = {1: 1.05, 2: 1.0, 3: 0.92, 4: 0.75, 5: 0.52, 6: 0.38}
"""Relative pulse amplitude: melanin absorbs light before and after it has met blood."""

HAIR_RGB: List[Tuple[float, float, float]] = [
    (28, 22, 20),
    (48, 34, 26),
    (82, 56, 38),
    (122, 84, 52),
    (186, 150, 98),
    (134, 66, 34),
    (140, 136, 132),
    (200, 198, 194),
]


@dataclass(frozen=True)
class FaceLook:
    """Everything that makes one face differ from another; lengths in face units."""

    seed: int
    skin_group: int
    skin_rgb: Tuple[float, float, float]
    hair_rgb: Tuple[float, float, float]
    hair: str  # bald, receding, short, long, fringe, cloth
    hairline: float
    hair_thickness: float
    beard: float  # 0 none, 0.3 stubble, 1 full
    glasses: str  # none, thin, thick
    brow_weight: float
    eye_size: float
    eye_spread: float
    eye_y: float
    iris_rgb: Tuple[float, float, float]
    nose_width: float
    nose_length: float
    mouth_width: float
    mouth_y: float
    lip_red: float
    jaw: float  # exponent of the lower face's outline: 1.8 pointed .. 3 square
    face_height: float
    cloth_rgb: Tuple[float, float, float]
    cloth_pattern: float
    freckles: float
    roughness: float


def sample_look(rng: np.random.Generator, skin_group: Optional[int] = None) -> FaceLook:
    """A random face, of a random skin group unless one is given (1..6)."""
    group = int(rng.integers(1, 7)) if skin_group is None else skin_group
    if group not in SKIN_RGB:
        raise ValueError(f"skin group {group} is not one of {sorted(SKIN_RGB)}")
    skin = np.array(SKIN_RGB[group], float)
    neighbour = np.array(SKIN_RGB[int(np.clip(group + rng.choice([-1, 1]), 1, 6))], float)
    skin += rng.uniform(0.0, 0.45) * (neighbour - skin)
    skin *= np.exp(rng.normal(0.0, 0.03, 3))
    dark_hair = group >= 4 and rng.random() < 0.85
    hair_rgb = np.array(HAIR_RGB[int(rng.integers(0, 3 if dark_hair else len(HAIR_RGB)))], float)
    hair_rgb *= np.exp(rng.normal(0.0, 0.15))
    hair = str(
        rng.choice(
            ["bald", "receding", "short", "long", "fringe", "cloth"],
            p=[0.08, 0.14, 0.38, 0.22, 0.12, 0.06],
        )
    )
    if hair == "cloth":
        hair_rgb = rng.uniform(20, 235, 3)
    beard = 0.0
    if hair != "long" and rng.random() < 0.35:
        beard = float(rng.choice([0.25, 0.45, 0.8, 0.95]))
    brown = np.array([70, 45, 28])
    light_eyes = group <= 3 and rng.random() < 0.5
    iris = rng.uniform([60, 90, 80], [120, 140, 170]) if light_eyes else brown * rng.uniform(0.5, 1)
    return FaceLook(
        seed=int(rng.integers(1 << 31)),
        skin_group=group,
        skin_rgb=_rgb(skin),
        hair_rgb=_rgb(hair_rgb),
        hair=hair,
        hairline=float(rng.uniform(-0.52, -0.38)),
        hair_thickness=float(rng.uniform(0.04, 0.16)),
        beard=beard,
        glasses=str(rng.choice(["none", "thin", "thick"], p=[0.7, 0.18, 0.12])),
        brow_weight=float(rng.uniform(0.35, 1.0)),
        eye_size=float(rng.uniform(0.85, 1.2)),
        eye_spread=float(rng.uniform(0.195, 0.225)),
        eye_y=float(rng.uniform(-0.15, -0.11)),
        iris_rgb=_rgb(iris),
        nose_width=float(rng.uniform(0.075, 0.12)),
        nose_length=float(rng.uniform(0.13, 0.18)),
        mouth_width=float(rng.uniform(0.15, 0.2)),
        mouth_y=float(rng.uniform(0.33, 0.38)),
        lip_red=float(rng.uniform(0.2, 1.0)),
        jaw=float(rng.uniform(1.9, 2.8)),
        face_height=float(rng.uniform(0.6, 0.68)),
        cloth_rgb=_rgb(rng.uniform(15, 240, 3)),
        cloth_pattern=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        freckles=float(rng.choice([0.0, rng.uniform(0.3, 1.0)], p=[0.8, 0.2])),
        roughness=float(rng.uniform(0.3, 1.0)),
    )


def _rgb(values: np.ndarray) -> Tuple[float, float, float]:
    r, g, b = np.clip(values, 4.0, 250.0)
    return float(r), float(g), float(b)


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


class _Canvas:
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


def draw_face(
    look: FaceLook,
    unit_px: float,
    half_width: float = 0.95,
    up: float = 0.95,
    down: float = 0.95,
) -> FaceLayers:
    """Draw a face at ``unit_px`` pixels per face width; extents of the layers in face units."""
    rng = np.random.default_rng((look.seed, 21))
    canvas = _Canvas(unit_px, half_width, up, down)
    shape = canvas.shape
    head = _head_cover(canvas, look)
    if look.hair == "long":
        _paint_long_hair(canvas, look, rng)
    _paint_body(canvas, look, rng)
    skin_texture = 0.035 * look.roughness * fractal(rng, shape, 0.25 * unit_px, 6)
    canvas.paint(_ears(canvas), look.skin_rgb, gain=1.0, gloss=0.4)
    canvas.tint(_ears(canvas), (1.0, 0.88, 0.86))
    canvas.paint(head, look.skin_rgb, skin_texture, gain=1.0, gloss=1.0)
    _paint_complexion(canvas, look, rng, head)
    skin_only = canvas.alpha.copy()

    lids = _paint_eyes(canvas, look)
    _paint_nose(canvas, look)
    mouth = _paint_mouth(canvas, look)
    _paint_beard(canvas, look, rng, head)
    _paint_brows(canvas, look, rng)
    _paint_hair(canvas, look, rng, head)
    _paint_glasses(canvas, look)

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


def _head_radius(canvas: _Canvas, look: FaceLook) -> np.ndarray:
    """1 on the outline of the skull and jaw, smaller inside."""
    top = (np.abs(canvas.x / 0.5) ** 2.3 + np.abs(canvas.y / 0.72) ** 2.3) ** (1 / 2.3)
    bottom_power = look.jaw
    bottom = (
        np.abs(canvas.x / 0.5) ** bottom_power + np.abs(canvas.y / look.face_height) ** bottom_power
    ) ** (1 / bottom_power)
    return np.where(canvas.y < 0.0, top, bottom).astype(np.float32)


def _head_cover(canvas: _Canvas, look: FaceLook) -> np.ndarray:
    return canvas.cover((_head_radius(canvas, look) - 1.0) * 0.5)


def _ears(canvas: _Canvas) -> np.ndarray:
    return canvas.pair(lambda side: canvas.ellipse(side * 0.5, 0.02, 0.065, 0.13))


def _paint_long_hair(canvas: _Canvas, look: FaceLook, rng: np.random.Generator) -> None:
    wide = 0.52 + look.hair_thickness
    fall = 0.3 + 0.6 * look.hair_thickness / 0.16
    mask = canvas.ellipse(0.0, fall - 0.35, wide, 0.45 + fall, power=2.6)
    canvas.paint(mask, look.hair_rgb, _streaks(canvas, rng), gloss=0.3)


def _streaks(canvas: _Canvas, rng: np.random.Generator) -> np.ndarray:
    """Texture of hair: fine across, long along."""
    height, width = canvas.shape
    strands = max(8, int(width / max(2.0, 0.02 / canvas.pixel)))
    fine = rng.standard_normal((6, strands)).astype(np.float32)
    fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.22 * fine + 0.15 * fractal(rng, canvas.shape, 0.2 / canvas.pixel, 3), -0.7, 1)


def _paint_body(canvas: _Canvas, look: FaceLook, rng: np.random.Generator) -> None:
    neck_width = float(rng.uniform(0.29, 0.38))
    flare = 0.5 * np.maximum(canvas.y - 0.68, 0.0) ** 1.5
    neck = canvas.cover(np.abs(canvas.x) - neck_width - flare) * canvas.cover(0.2 - canvas.y)
    canvas.paint(neck, look.skin_rgb, gain=0.55, gloss=0.3)
    canvas.tint(neck * canvas.blob(0.0, 0.6, 0.5, 0.22), (0.62, 0.58, 0.56))
    slope = float(rng.uniform(0.74, 0.86))
    shoulders = canvas.cover(
        slope + 0.25 * np.maximum(np.abs(canvas.x) - 0.35, 0.0) ** 1.3 - canvas.y, 0.01
    )
    collar = canvas.cover(neck_width + 0.03 - np.hypot(canvas.x, (canvas.y - slope + 0.1) * 0.9))
    texture = 0.08 * fractal(rng, canvas.shape, 0.4 / canvas.pixel, 4)
    if look.cloth_pattern > 0.0:
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(0.05, 0.25)
        wave = np.sin(2 * np.pi * (canvas.x * np.cos(angle) + canvas.y * np.sin(angle)) / pitch)
        texture = texture + look.cloth_pattern * np.clip(3.0 * wave, -1.0, 1.0) * 0.5
    canvas.paint(shoulders * collar, look.cloth_rgb, texture, gloss=0.05)


def _paint_complexion(
    canvas: _Canvas, look: FaceLook, rng: np.random.Generator, head: np.ndarray
) -> None:
    unit = 1.0 / canvas.pixel
    hue = fractal(rng, canvas.shape, 0.3 * unit, 3)[..., None] * head[..., None]
    canvas.albedo *= 1.0 + 0.02 * look.roughness * hue * np.array([0.3, -1.0, -0.8], np.float32)
    red = rng.uniform(0.03, 0.16) if look.skin_group <= 4 else rng.uniform(0.0, 0.06)
    for side in (-1.0, 1.0):
        cheek = head * canvas.blob(side * 0.27, 0.16, 0.12, 0.1)
        canvas.tint(cheek, (1.02, 1.0 - red, 1.0 - 0.8 * red))
        under_eye = canvas.blob(side * look.eye_spread, look.eye_y + 0.09, 0.08, 0.03)
        canvas.tint(under_eye, (0.86, 0.84, 0.88))
        socket = canvas.blob(side * look.eye_spread, look.eye_y - 0.02, 0.11, 0.055)
        canvas.tint(socket, (0.84, 0.8, 0.8))
    canvas.tint(canvas.blob(0.0, 0.13, 0.07, 0.06), (1.02, 1.0 - red, 1.0 - red))
    if look.freckles > 0.0:
        spots = fractal(rng, canvas.shape, 0.05 * unit, 2)
        mask = head * np.clip(spots - 1.5, 0.0, 1.0) * look.freckles
        canvas.tint(mask, (0.75, 0.62, 0.55))
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(-0.35, 0.35), rng.uniform(-0.35, 0.5)
        canvas.tint(canvas.ellipse(x, y, 0.012, 0.012), (0.5, 0.4, 0.4))
    if rng.random() < 0.5:  # lines of the forehead
        for y in (-0.36, -0.31):
            arc = canvas.cover(np.abs(canvas.y - y - 0.08 * canvas.x**2) - 0.003, 0.012)
            canvas.tint(arc * canvas.blob(0, y, 0.16, 0.1), (0.86, 0.83, 0.83))
    for side in (-1.0, 1.0):  # from the nose to the corners of the mouth
        curve = side * (0.11 + 0.42 * (canvas.y - 0.14))
        fold = canvas.cover(np.abs(canvas.x - curve) - 0.004, 0.03)
        strength = canvas.blob(side * 0.15, 0.24, 0.1, 0.07) * look.roughness
        canvas.tint(fold * strength, (0.78, 0.74, 0.74))


def _paint_eyes(canvas: _Canvas, look: FaceLook) -> Patch:
    size = look.eye_size
    wide, high = 0.075 * size, 0.034 * size
    skin = look.skin_rgb
    lid_rgb = _rgb(np.array(skin) * [0.8, 0.74, 0.73])
    before = canvas.albedo.copy()
    for side in (-1.0, 1.0):
        x = side * look.eye_spread
        opening = canvas.ellipse(x, look.eye_y, wide, high)
        canvas.tint(canvas.ellipse(x, look.eye_y, wide * 1.14, high * 1.35, 0.012), (0.55,) * 3)
        canvas.paint(opening, (218.0, 210.0, 204.0), gloss=1.5)
        iris = canvas.ellipse(x, look.eye_y, 0.035 * size, 0.035 * size)
        canvas.paint(iris * opening, look.iris_rgb, gloss=2.5)
        pupil = canvas.ellipse(x, look.eye_y, 0.015 * size, 0.015 * size)
        canvas.paint(pupil * opening, (12.0, 10.0, 10.0), gloss=2.5)
        canvas.tint(opening * canvas.blob(x, look.eye_y - high, wide, 0.5 * high), (0.5,) * 3)
        glint = canvas.ellipse(x + 0.012, look.eye_y - 0.012, 0.008, 0.008)
        canvas.paint(glint * opening, (245.0, 245.0, 245.0))
        lash = canvas.ellipse(x, look.eye_y - 0.004, wide * 1.05, high * 1.1)
        lash = lash * (1.0 - canvas.ellipse(x, look.eye_y + 0.006, wide * 1.05, high))
        canvas.paint(0.85 * lash * (canvas.y < look.eye_y), (30.0, 24.0, 22.0))
    opened = canvas.albedo
    closed = before
    for side in (-1.0, 1.0):
        x = side * look.eye_spread
        lid = canvas.ellipse(x, look.eye_y, wide * 1.1, high * 1.25, 0.01)[..., None]
        closed = closed + lid * (np.array(lid_rgb, np.float32) - closed)
        lash = canvas.ellipse(x, look.eye_y + 0.012, wide, 0.4 * high)
        closed = closed + 0.7 * lash[..., None] * (np.float32(35.0) - closed)
    return _patch(canvas, closed - opened, (-0.36, 0.36), (look.eye_y - 0.08, look.eye_y + 0.08))


def _patch(
    canvas: _Canvas, change: np.ndarray, xs: Tuple[float, float], ys: Tuple[float, float]
) -> Patch:
    height, width = canvas.shape
    left, right = (int(np.clip(c / canvas.pixel + canvas.center_px[0], 0, width)) for c in xs)
    top, bottom = (int(np.clip(c / canvas.pixel + canvas.center_px[1], 0, height)) for c in ys)
    rows, columns = slice(top, bottom), slice(left, right)
    return Patch(rows, columns, np.ascontiguousarray(change[rows, columns], np.float32))


def _paint_nose(canvas: _Canvas, look: FaceLook) -> None:
    tip_y = look.nose_length - 0.005
    wide = look.nose_width
    shadow = canvas.blob(0.0, tip_y + 0.055, wide * 0.9, 0.022)
    canvas.tint(shadow, (0.66, 0.6, 0.6))
    for side in (-1.0, 1.0):
        canvas.tint(canvas.blob(side * wide * 1.02, tip_y + 0.01, 0.016, 0.03), (0.76, 0.71, 0.71))
        canvas.tint(canvas.blob(side * 0.062, 0.0, 0.018, 0.09), (0.87, 0.84, 0.84))
        nostril = canvas.ellipse(side * wide * 0.52, tip_y + 0.04, 0.026, 0.013, 0.01)
        canvas.paint(0.8 * nostril, _rgb(np.array(look.skin_rgb) * 0.22))
    canvas.tint(canvas.blob(0.0, 0.02, 0.022, 0.11), (1.06, 1.05, 1.05))


def _paint_mouth(canvas: _Canvas, look: FaceLook) -> Patch:
    wide, y = look.mouth_width, look.mouth_y
    skin = np.array(look.skin_rgb)
    lips = _rgb(
        skin * [0.86 + 0.02 * look.lip_red, 0.74 - 0.2 * look.lip_red, 0.76 - 0.16 * look.lip_red]
    )
    before = canvas.albedo.copy()
    taper = np.sqrt(np.clip(1.0 - (canvas.x / wide) ** 2, 0.0, 1.0))
    bow = 0.008 * np.cos(canvas.x / wide * 2 * np.pi)
    upper = canvas.cover(np.abs(canvas.y - (y - 0.02 * taper) + bow * taper) - 0.02 * taper, 0.008)
    lower = canvas.cover(np.abs(canvas.y - (y + 0.027 * taper)) - 0.03 * taper, 0.008)
    inside = np.abs(canvas.x) < wide
    canvas.paint(upper * inside, _rgb(np.array(lips) * 0.9), gain=0.75, gloss=0.8)
    canvas.paint(lower * inside, lips, gain=0.75, gloss=1.3)
    line = canvas.cover(np.abs(canvas.y - y) - 0.006 * taper, 0.006) * inside
    canvas.paint(0.85 * line, _rgb(skin * [0.35, 0.22, 0.22]), gain=0.4)
    canvas.tint(canvas.blob(0.0, y + 0.075, 0.08, 0.016), (0.84, 0.81, 0.81))
    closed = canvas.albedo
    opened = before.copy()
    open_y = y + 0.045
    rim = canvas.ellipse(0.0, open_y, wide * 0.95, 0.1, 0.008)
    hole = canvas.ellipse(0.0, open_y, wide * 0.78, 0.066, 0.008)
    teeth = hole * canvas.ellipse(0.0, open_y - 0.05, wide * 0.6, 0.03, 0.008)
    for mask, rgb in (
        (rim, lips),
        (hole, (58.0, 22.0, 22.0)),
        (teeth, (205.0, 198.0, 185.0)),
    ):
        opened = opened + mask[..., None] * (np.array(rgb, np.float32) - opened)
    return _patch(canvas, opened - closed, (-0.26, 0.26), (y - 0.1, y + 0.2))


def _paint_beard(
    canvas: _Canvas, look: FaceLook, rng: np.random.Generator, head: np.ndarray
) -> None:
    if look.beard <= 0.0:
        return
    unit = 1.0 / canvas.pixel
    edge = (
        0.26
        + 0.05 * fractal(rng, canvas.shape, 0.2 * unit, 3)
        - 0.55 * np.maximum(np.abs(canvas.x) - 0.24, 0.0)
    )
    region = head * np.clip((canvas.y - edge) / 0.06, 0.0, 1.0)
    region = region * (
        1.0 - canvas.ellipse(0.0, look.mouth_y + 0.008, look.mouth_width, 0.055, 0.02)
    )
    grain = np.clip(0.85 + 0.3 * fractal(rng, canvas.shape, 0.03 * unit, 2), 0.0, 1.0)
    canvas.paint(
        (look.beard * region * grain).astype(np.float32),
        _rgb(0.8 * np.array(_own_hair(look)) + 0.2 * np.array(look.skin_rgb)),
        0.3 * _streaks(canvas, rng),
        gloss=0.1,
    )


def _own_hair(look: FaceLook) -> Tuple[float, float, float]:
    return HAIR_RGB[0] if look.hair == "cloth" else look.hair_rgb


def _paint_brows(canvas: _Canvas, look: FaceLook, rng: np.random.Generator) -> None:
    lift = float(rng.uniform(-0.01, 0.015))
    thick = 0.012 + 0.014 * look.brow_weight
    dark = np.minimum(np.array(_own_hair(look)) * 0.8, 110.0)
    for side in (-1.0, 1.0):
        across = (canvas.x * side - look.eye_spread) / 0.12
        arch = look.eye_y - 0.115 - lift + 0.022 * across**2 - 0.006 * across
        taper = np.clip(1.0 - 0.45 * np.maximum(across, 0.0), 0.0, 1.0)
        mask = canvas.cover(np.abs(canvas.y - arch) - thick * taper, 0.012)
        mask = mask * np.clip((1.05 - np.abs(across)) * 6.0, 0.0, 1.0)
        canvas.paint(
            ((0.55 + 0.4 * look.brow_weight) * mask).astype(np.float32), _rgb(dark), gloss=0.1
        )


def _paint_hair(
    canvas: _Canvas, look: FaceLook, rng: np.random.Generator, head: np.ndarray
) -> None:
    if look.hair == "bald":
        return
    unit = 1.0 / canvas.pixel
    radius = _head_radius(canvas, look)
    rough = np.clip(0.013 * fractal(rng, canvas.shape, 0.15 * unit, 4), -0.04, 0.04)
    thick = look.hair_thickness if look.hair != "receding" else 0.4 * look.hair_thickness
    outer = canvas.cover((radius - 1.0) * 0.5 - thick * (0.6 - canvas.y) - rough, 0.02)
    outer = outer * canvas.cover(canvas.y - (0.1 if look.hair != "long" else 0.75) + 2.0 * rough)
    line = look.hairline + 0.0 * canvas.x
    if look.hair == "receding":
        line = line - 0.12 - 0.1 * np.clip(1.0 - np.abs(np.abs(canvas.x) - 0.2) / 0.15, 0.0, 1.0)
    if look.hair == "fringe":
        line = line + 0.17 + 0.06 * canvas.x
    inner_side = 0.47 if look.hair in ("short", "receding") else 0.43
    drop = {"short": 0.9, "receding": 0.9, "cloth": 3.0, "fringe": 2.0, "long": 3.0}[look.hair]
    # the hair's edge runs along the forehead and then down the temples
    side = np.clip((np.abs(canvas.x) - inner_side + 0.06) / 0.06, 0.0, 1.0)
    edge = line + 0.06 * np.abs(canvas.x / 0.4) ** 3 + drop * side + rough
    soft = 0.05 if look.hair == "receding" else 0.025
    mask = outer * canvas.cover(canvas.y - edge, soft)
    if look.hair == "cloth":
        texture = 0.1 * fractal(rng, canvas.shape, 0.3 * unit, 4)
    else:
        texture = _streaks(canvas, rng)
    canvas.paint(mask.astype(np.float32), look.hair_rgb, texture, gloss=0.35)


def _paint_glasses(canvas: _Canvas, look: FaceLook) -> None:
    if look.glasses == "none":
        return
    thick = 0.008 if look.glasses == "thin" else 0.02
    rng = np.random.default_rng((look.seed, 22))
    rgb = _rgb(rng.uniform(10, 70, 3) if look.glasses == "thick" else rng.uniform(60, 180, 3))
    wide, high = rng.uniform(0.125, 0.15), rng.uniform(0.08, 0.115)
    power = float(rng.uniform(2.0, 4.0))
    y = look.eye_y + 0.015
    frame = np.zeros(canvas.shape, np.float32)
    lens = np.zeros(canvas.shape, np.float32)
    for side in (-1.0, 1.0):
        x = side * look.eye_spread * 1.02
        outer = canvas.ellipse(x, y, wide + thick, high + thick, 0.0, power)
        inner = canvas.ellipse(x, y, wide, high, 0.0, power)
        frame = np.maximum(frame, outer - inner)
        lens = np.maximum(lens, inner)
        arm = canvas.cover(np.abs(canvas.y - y + 0.02) - 0.7 * thick)
        outside = np.clip((canvas.x * side - look.eye_spread - wide) * 60.0, 0.0, 1.0)
        frame = np.maximum(frame, arm * outside * (canvas.x * side < 0.52))
    bridge = canvas.cover(np.abs(canvas.y - y + 0.02 - 0.3 * canvas.x**2) - 0.7 * thick)
    frame = np.maximum(frame, bridge * (np.abs(canvas.x) < look.eye_spread - wide + 0.01))
    canvas.tint(lens, (0.95, 0.96, 0.97))
    canvas.gain *= 1.0 - 0.15 * lens
    canvas.gloss += lens * 1.2
    canvas.paint(frame, rgb, gloss=1.5, solid=False)


def _regional_gain(canvas: _Canvas, look: FaceLook, rng: np.random.Generator) -> np.ndarray:
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


def _relief(canvas: _Canvas, look: FaceLook) -> np.ndarray:
    """Height towards the camera, face units; what the light's fall is computed from."""
    radius = _head_radius(canvas, look)
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
