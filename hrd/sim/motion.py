"""How a head moves: swaying, shifting, nodding, turning, talking, blinking, breathing.

Lengths are in face widths, angles in radians, all as functions of time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List

import numpy as np

from hrd.sim.signals import Bumps, Gate, Levels, Signal, SmoothNoise, zero

STILL, TYPICAL, HARD = "still", "typical", "hard"
DIFFICULTIES = (STILL, TYPICAL, HARD)


@dataclass(frozen=True)
class Motion:
    """A head's movement. ``x``, ``y``: face widths; ``roll``, ``yaw``, ``pitch``: radians;
    ``zoom``: relative size - 1; ``jaw``, ``blink``: 0..1. ``shake_x``, ``shake_y``: the camera's
    own movement, face widths. ``turning`` is False if yaw, pitch and jaw are always zero."""

    x: Signal = zero
    y: Signal = zero
    roll: Signal = zero
    zoom: Signal = zero
    yaw: Signal = zero
    pitch: Signal = zero
    jaw: Signal = zero
    blink: Signal = zero
    shake_x: Signal = zero
    shake_y: Signal = zero
    turning: bool = False


class Sum:
    """Signals added up, each with a weight."""

    def __init__(self, *parts: Signal) -> None:
        self.parts = parts

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        total = np.zeros(np.shape(times_s))
        for part in self.parts:
            total = total + part(times_s)
        return total


class Product:
    """Two signals multiplied: a movement that comes in spells."""

    def __init__(self, a: Signal, b: Signal, scale: float = 1.0) -> None:
        self.a, self.b, self.scale = a, b, scale

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        return self.scale * self.a(times_s) * self.b(times_s)


class Positive:
    """The upper half of a signal, clipped to 0..1."""

    def __init__(self, inner: Signal) -> None:
        self.inner = inner

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        return np.clip(self.inner(times_s), 0.0, 1.0)


class Periodic:
    """A nod, a step, a rocking chair: a not quite regular wave at ``rate_hz``."""

    def __init__(self, rng: np.random.Generator, amplitude: float, rate_hz: float) -> None:
        self.amplitude = amplitude
        self.rate_hz = rate_hz
        self.wander = SmoothNoise(rng, 0.04 * rate_hz, 0.05, 0.3, terms=4)
        self.overtone = rng.uniform(0.0, 0.5)
        self.phase = rng.uniform(0.0, 2.0 * np.pi)

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        turns = self.rate_hz * times_s + self.wander.integral(times_s)
        angle = 2.0 * np.pi * turns + self.phase
        return self.amplitude * (np.sin(angle) + self.overtone * np.sin(2.0 * angle + 1.0))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def sample_motion(rng: np.random.Generator, difficulty: str, breath: Signal) -> Motion:
    """A random way of moving; ``breath`` is about -1..1."""
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty {difficulty!r} is not one of {DIFFICULTIES}")

    def seed() -> int:
        return int(rng.integers(1 << 31))

    sway, turn, shift, nod_share, talk_share, zoom = {
        STILL: (_between(rng, 0.0003, 0.004), _between(rng, 0.0005, 0.008), 0.0, 0.0, 0.0, 0.0007),
        TYPICAL: (_between(rng, 0.003, 0.016), _between(rng, 0.006, 0.05), 0.06, 0.15, 0.35, 0.006),
        HARD: (_between(rng, 0.008, 0.04), _between(rng, 0.02, 0.14), 0.16, 0.5, 0.5, 0.02),
    }[difficulty]
    breathing = _between(rng, 0.0003, 0.004)
    slow = (0.05, 0.5) if difficulty == STILL else (0.06, 0.9)
    x: List[Signal] = [SmoothNoise(rng, sway, *slow)]
    y: List[Signal] = [SmoothNoise(rng, 0.7 * sway, *slow), _Scaled(breath, breathing)]
    yaw: List[Signal] = [SmoothNoise(rng, turn, *slow)]
    pitch: List[Signal] = [SmoothNoise(rng, 0.7 * turn, *slow)]
    roll: List[Signal] = [SmoothNoise(rng, 0.4 * turn, *slow)]
    jaw: Signal = zero
    if shift > 0.0 and rng.random() < 0.7:
        slot_s = float(rng.uniform(2.0, 9.0))
        size = shift * rng.uniform(0.3, 1.0)
        pace = float(rng.uniform(0.4, 1.5))
        x.append(Levels(seed(), slot_s, size, pace))
        y.append(Levels(seed(), slot_s, 0.5 * size, pace))
        yaw.append(Levels(seed(), slot_s, float(rng.uniform(0.5, 3.0)) * size, pace))
        roll.append(Levels(seed(), slot_s, 0.6 * size, pace))
    if turn > 0.0 and rng.random() < {STILL: 0.02, TYPICAL: 0.12, HARD: 0.25}[difficulty]:
        # looking round: the head turns, stays, and turns on or back
        size = float(rng.uniform(0.1, 0.45))
        slot_s, pace = float(rng.uniform(1.5, 6.0)), float(rng.uniform(0.4, 1.6))
        looks = seed()
        yaw.append(Levels(looks, slot_s, size, pace))
        x.append(Levels(looks, slot_s, 0.25 * size, pace))
        pitch.append(Levels(seed(), slot_s, 0.4 * size, pace))
    if rng.random() < nod_share:
        rate = _in_band_rate(rng)
        size = _between(rng, 0.003, 0.03 if difficulty == TYPICAL else 0.07)
        gate = Gate(seed(), float(rng.uniform(3.0, 12.0)), float(rng.uniform(0.4, 1.0)))
        _swing(rng, Product(Periodic(rng, size, rate), gate), x, y, roll, yaw, pitch)
    if rng.random() < talk_share:
        gate = Gate(seed(), float(rng.uniform(1.5, 5.0)), float(rng.uniform(0.3, 0.9)), 0.2)
        syllables = SmoothNoise(rng, float(rng.uniform(0.2, 0.5)), 1.5, 6.0, slope=0.3)
        jaw = Product(Positive(syllables), gate)
        pitch.append(Product(SmoothNoise(rng, 0.015, 0.5, 3.0), gate))
    shake = 0.0
    if rng.random() < {STILL: 0.1, TYPICAL: 0.15, HARD: 0.3}[difficulty]:  # held in a hand
        shake = _between(rng, 0.001, 0.008)
    return Motion(
        x=Sum(*x),
        y=Sum(*y),
        roll=Sum(*roll),
        zoom=Sum(SmoothNoise(rng, zoom, *slow), _Scaled(breath, 0.3 * breathing)),
        yaw=Sum(*yaw),
        pitch=Sum(*pitch),
        jaw=jaw,
        blink=Bumps(seed(), float(rng.uniform(2.0, 5.0)), 0.85, float(rng.uniform(0.15, 0.35))),
        shake_x=SmoothNoise(rng, shake, 0.3, 8.0) if shake else zero,
        shake_y=SmoothNoise(rng, shake, 0.3, 8.0) if shake else zero,
        turning=True,
    )


def _in_band_rate(rng: np.random.Generator) -> float:
    """Rate in Hz at which heads bob, sway and nod: often 40 to 60 a minute, up to 180."""
    return float(rng.choice([rng.uniform(0.6, 1.1), rng.uniform(0.7, 3.0)], p=[0.4, 0.6]))


def _swing(
    rng: np.random.Generator,
    wave: Signal,
    x: List[Signal],
    y: List[Signal],
    roll: List[Signal],
    yaw: List[Signal],
    pitch: List[Signal],
) -> None:
    """Let a head follow a wave in one of the ways heads do."""
    kind = rng.choice(["nod", "sway", "turn", "bounce"])
    if kind == "nod":
        pitch.append(_Scaled(wave, 1.5))
        y.append(_Scaled(wave, -0.7))
    elif kind == "sway":
        x.append(wave)
        roll.append(_Scaled(wave, 0.7))
    elif kind == "turn":
        yaw.append(_Scaled(wave, 2.0))
        x.append(_Scaled(wave, 0.5))
    else:
        y.append(wave)


def sample_bobbing(
    rng: np.random.Generator, difficulty: str, breath: Signal, alive: bool
) -> Motion:
    """A head, or a picture of one (``alive`` False), that swings all the time at a rate that a
    heart could have."""
    base = sample_motion(rng, difficulty, breath) if alive else sample_photo_motion(rng, held=True)
    wave = Periodic(rng, _between(rng, 0.002, 0.06), _in_band_rate(rng))
    x, y, roll, yaw, pitch = [base.x], [base.y], [base.roll], [base.yaw], [base.pitch]
    if alive:
        _swing(rng, wave, x, y, roll, yaw, pitch)
    else:
        angle = float(rng.uniform(0.0, 2.0 * np.pi))
        x.append(_Scaled(wave, float(np.cos(angle))))
        y.append(_Scaled(wave, float(np.sin(angle))))
    return replace(base, x=Sum(*x), y=Sum(*y), roll=Sum(*roll), yaw=Sum(*yaw), pitch=Sum(*pitch))


def sample_photo_motion(rng: np.random.Generator, held: bool) -> Motion:
    """A picture of a face: nothing in it moves, but a hand may hold it."""
    if not held:
        return Motion()
    size = _between(rng, 0.001, 0.03)
    return Motion(
        x=SmoothNoise(rng, size, 0.1, 3.0),
        y=SmoothNoise(rng, size, 0.1, 3.0),
        roll=SmoothNoise(rng, 0.7 * size, 0.1, 3.0),
        zoom=SmoothNoise(rng, 0.3 * size, 0.1, 1.0),
    )


class _Scaled:
    def __init__(self, inner: Signal, scale: float) -> None:
        self.inner, self.scale = inner, scale

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        return self.scale * self.inner(times_s)
