"""The parts of a face, painted one over the other: skin, eyes, nose, mouth, hair, glasses."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

from hrd.sim.canvas import Canvas, Patch, fractal
from hrd.sim.look import HAIR_RGB, FaceLook, as_rgb


def head_radius(canvas: Canvas, look: FaceLook) -> np.ndarray:
    """1 on the outline of the skull and jaw, smaller inside."""
    top = (np.abs(canvas.x / 0.5) ** 2.3 + np.abs(canvas.y / 0.72) ** 2.3) ** (1 / 2.3)
    bottom_power = look.jaw
    bottom = (
        np.abs(canvas.x / 0.5) ** bottom_power + np.abs(canvas.y / look.face_height) ** bottom_power
    ) ** (1 / bottom_power)
    return np.where(canvas.y < 0.0, top, bottom).astype(np.float32)


def head_cover(canvas: Canvas, look: FaceLook) -> np.ndarray:
    return canvas.cover((head_radius(canvas, look) - 1.0) * 0.5)


def ears(canvas: Canvas) -> np.ndarray:
    return canvas.pair(lambda side: canvas.ellipse(side * 0.5, 0.02, 0.065, 0.13))


def long_hair(canvas: Canvas, look: FaceLook, rng: np.random.Generator) -> None:
    wide = 0.52 + look.hair_thickness
    fall = 0.3 + 0.6 * look.hair_thickness / 0.16
    mask = canvas.ellipse(0.0, fall - 0.35, wide, 0.45 + fall, power=2.6)
    canvas.paint(mask, look.hair_rgb, _streaks(canvas, rng), gloss=0.3)


def _streaks(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Texture of hair: fine across, long along."""
    height, width = canvas.shape
    strands = max(8, int(width / max(2.0, 0.02 / canvas.pixel)))
    fine = rng.standard_normal((6, strands)).astype(np.float32)
    fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(0.22 * fine + 0.15 * fractal(rng, canvas.shape, 0.2 / canvas.pixel, 3), -0.7, 1)


def body(canvas: Canvas, look: FaceLook, rng: np.random.Generator) -> None:
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


def complexion(canvas: Canvas, look: FaceLook, rng: np.random.Generator, head: np.ndarray) -> None:
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


def eyes(canvas: Canvas, look: FaceLook) -> Patch:
    size = look.eye_size
    wide, high = 0.075 * size, 0.034 * size
    skin = look.skin_rgb
    lid_rgb = as_rgb(np.array(skin) * [0.8, 0.74, 0.73])
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
    canvas: Canvas, change: np.ndarray, xs: Tuple[float, float], ys: Tuple[float, float]
) -> Patch:
    height, width = canvas.shape
    left, right = (int(np.clip(c / canvas.pixel + canvas.center_px[0], 0, width)) for c in xs)
    top, bottom = (int(np.clip(c / canvas.pixel + canvas.center_px[1], 0, height)) for c in ys)
    rows, columns = slice(top, bottom), slice(left, right)
    return Patch(rows, columns, np.ascontiguousarray(change[rows, columns], np.float32))


def nose(canvas: Canvas, look: FaceLook) -> None:
    tip_y = look.nose_length - 0.005
    wide = look.nose_width
    shadow = canvas.blob(0.0, tip_y + 0.055, wide * 0.9, 0.022)
    canvas.tint(shadow, (0.66, 0.6, 0.6))
    for side in (-1.0, 1.0):
        canvas.tint(canvas.blob(side * wide * 1.02, tip_y + 0.01, 0.016, 0.03), (0.76, 0.71, 0.71))
        canvas.tint(canvas.blob(side * 0.062, 0.0, 0.018, 0.09), (0.87, 0.84, 0.84))
        nostril = canvas.ellipse(side * wide * 0.52, tip_y + 0.04, 0.026, 0.013, 0.01)
        canvas.paint(0.8 * nostril, as_rgb(np.array(look.skin_rgb) * 0.22))
    canvas.tint(canvas.blob(0.0, 0.02, 0.022, 0.11), (1.06, 1.05, 1.05))


def mouth(canvas: Canvas, look: FaceLook) -> Patch:
    wide, y = look.mouth_width, look.mouth_y
    skin = np.array(look.skin_rgb)
    lips = as_rgb(
        skin * [0.86 + 0.02 * look.lip_red, 0.74 - 0.2 * look.lip_red, 0.76 - 0.16 * look.lip_red]
    )
    before = canvas.albedo.copy()
    taper = np.sqrt(np.clip(1.0 - (canvas.x / wide) ** 2, 0.0, 1.0))
    bow = 0.008 * np.cos(canvas.x / wide * 2 * np.pi)
    upper = canvas.cover(np.abs(canvas.y - (y - 0.02 * taper) + bow * taper) - 0.02 * taper, 0.008)
    lower = canvas.cover(np.abs(canvas.y - (y + 0.027 * taper)) - 0.03 * taper, 0.008)
    inside = np.abs(canvas.x) < wide
    canvas.paint(upper * inside, as_rgb(np.array(lips) * 0.9), gain=0.75, gloss=0.8)
    canvas.paint(lower * inside, lips, gain=0.75, gloss=1.3)
    line = canvas.cover(np.abs(canvas.y - y) - 0.006 * taper, 0.006) * inside
    canvas.paint(0.85 * line, as_rgb(skin * [0.35, 0.22, 0.22]), gain=0.4)
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


def beard(canvas: Canvas, look: FaceLook, rng: np.random.Generator, head: np.ndarray) -> None:
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
        as_rgb(0.8 * np.array(_own_hair(look)) + 0.2 * np.array(look.skin_rgb)),
        0.3 * _streaks(canvas, rng),
        gloss=0.1,
    )


def _own_hair(look: FaceLook) -> Tuple[float, float, float]:
    return HAIR_RGB[0] if look.hair == "cloth" else look.hair_rgb


def brows(canvas: Canvas, look: FaceLook, rng: np.random.Generator) -> None:
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
            ((0.55 + 0.4 * look.brow_weight) * mask).astype(np.float32), as_rgb(dark), gloss=0.1
        )


def hair(canvas: Canvas, look: FaceLook, rng: np.random.Generator, head: np.ndarray) -> None:
    if look.hair == "bald":
        return
    unit = 1.0 / canvas.pixel
    radius = head_radius(canvas, look)
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


def glasses(canvas: Canvas, look: FaceLook) -> None:
    if look.glasses == "none":
        return
    thick = 0.008 if look.glasses == "thin" else 0.02
    rng = np.random.default_rng((look.seed, 22))
    rgb = as_rgb(rng.uniform(10, 70, 3) if look.glasses == "thick" else rng.uniform(60, 180, 3))
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
