"""What changes the light: exposure control, white balance, screens, flickering mains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Tuple

import numpy as np

from hrd.sim.motion import HARD, STILL, TYPICAL, Periodic, Sum
from hrd.sim.signals import Gate, Levels, Signal, Slots, SmoothNoise, smoothstep, zero


class Jolts:
    """The exposure control answers to something: a jump, and a settling back.

    One per slot with a probability; log gain up to ``size``; settles with ``settle_s``, leaving
    ``rest`` of the jump (0..1) until the next slot's end.
    """

    def __init__(self, seed: int, slot_s: float, probability: float, size: float, settle_s: float):
        self._slots = Slots(seed, slot_s, 4)
        self.probability = probability
        self.size = size
        self.settle_s = settle_s

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        total = np.zeros(np.shape(times_s))
        first, last = self._slots.range_of(times_s)
        for slot in range(first, last + 1):
            chance, where, height, pace = self._slots.get(slot)
            if chance >= self.probability:
                continue
            since_s = times_s - (slot + where) * self._slots.slot_s
            settle_s = self.settle_s * (0.5 + pace)
            rise = smoothstep(since_s / (0.03 + 0.1 * pace))
            total += (
                self.size
                * (2.0 * height - 1.0)
                * rise
                * np.exp(-np.maximum(since_s, 0.0) / settle_s)
            )
        return total


@dataclass(frozen=True)
class Light:
    """Changes of light over time.

    ``exposure``: log gain of the whole picture; ``red``, ``blue``: log gain of these channels
    (white balance); ``screen``: log gain of the light on the face, coloured by ``screen_rgb``;
    ``lamp``: radians by which the lamp seems to swing round the face (clouds, passers-by).
    ``band``, ``band_rate_hz``, ``band_rows``: mains flicker as the rows of a rolling shutter see
    it: relative depth, apparent rate, bands per picture height.
    """

    exposure: Signal = zero
    red: Signal = zero
    blue: Signal = zero
    screen: Signal = zero
    screen_rgb: Tuple[float, float, float] = (1.0, 1.0, 1.0)
    lamp: Signal = zero
    band: float = 0.0
    band_rate_hz: float = 0.0
    band_rows: float = 0.0


def sample_light(rng: np.random.Generator, difficulty: str) -> Light:
    """Random changes of light, stronger with difficulty."""
    level = {STILL: 0.3, TYPICAL: 1.0, HARD: 2.2}[difficulty]

    def seed() -> int:
        return int(rng.integers(1 << 31))

    def small(low: float, high: float) -> float:
        return level * float(np.exp(rng.uniform(np.log(low), np.log(high))))

    exposure: List[Signal] = [SmoothNoise(rng, small(0.0004, 0.006), 0.03, 0.6, slope=1.0)]
    if rng.random() < 0.35 * level:
        exposure.append(
            Jolts(seed(), float(rng.uniform(3, 10)), 0.8, small(0.01, 0.07), rng.uniform(0.2, 2.0))
        )
    if rng.random() < 0.12 * level:
        exposure.append(Levels(seed(), float(rng.uniform(3, 8)), small(0.01, 0.06), 0.15))
    if rng.random() < 0.12 * level:  # the control hunts about its set point
        exposure.append(Periodic(rng, small(0.0005, 0.005), float(rng.uniform(0.3, 2.5))))
    balance = small(0.0003, 0.005)
    red: List[Signal] = [SmoothNoise(rng, balance, 0.02, 0.4, slope=1.0)]
    blue: List[Signal] = [SmoothNoise(rng, balance, 0.02, 0.4, slope=1.0)]
    if rng.random() < 0.15 * level:  # automatic white balance: red one way, blue the other
        hunting = seed()
        slot_s, size, pace = float(rng.uniform(2, 8)), small(0.003, 0.03), rng.uniform(0.2, 2.0)
        red.append(Levels(hunting, slot_s, size, pace))
        blue.append(Levels(hunting, slot_s, -float(rng.uniform(0.5, 1.5)) * size, pace))
    screen: Signal = zero
    screen_rgb = (1.0, 1.0, 1.0)
    if rng.random() < {STILL: 0.12, TYPICAL: 0.3, HARD: 0.45}[difficulty]:
        parts: List[Signal] = [SmoothNoise(rng, small(0.001, 0.012), 0.1, 3.0, slope=0.8)]
        if rng.random() < 0.7:
            size, slot_s = small(0.004, 0.03), float(rng.uniform(0.6, 4.0))
            parts.append(Levels(seed(), slot_s, size, 0.06))
        screen = Sum(*parts)
        r, g, b = rng.uniform(0.4, 1.3, 3)
        screen_rgb = (float(r), float(g), float(b))
    lamp: Signal = zero
    if rng.random() < 0.15 * level:
        lamp = SmoothNoise(rng, small(0.005, 0.03), 0.05, 1.0)
    band, rate, rows = 0.0, 0.0, 0.0
    if rng.random() < {STILL: 0.15, TYPICAL: 0.25, HARD: 0.3}[difficulty]:
        band = float(np.exp(rng.uniform(np.log(0.0008), np.log(0.012))))
        rate = float(rng.choice([rng.uniform(0.02, 1.0), rng.uniform(0.5, 5.0), 10.0]))
        rows = float(rng.choice([0.0, rng.uniform(0.5, 4.0)]))
    return Light(
        exposure=Sum(*exposure),
        red=Sum(*red),
        blue=Sum(*blue),
        screen=screen,
        screen_rgb=screen_rgb,
        lamp=lamp,
        band=band,
        band_rate_hz=rate,
        band_rows=rows,
    )


def sample_pulsing_light(rng: np.random.Generator) -> Light:
    """Light that beats like a heart where no heart is: what must not be taken for one."""
    rate = float(rng.uniform(0.7, 3.0))
    beat = Periodic(rng, float(np.exp(rng.uniform(np.log(0.001), np.log(0.01)))), rate)
    gate = Gate(int(rng.integers(1 << 31)), 6.0, 0.9)
    quiet = sample_light(rng, STILL)
    r, g, b = rng.uniform(0.7, 1.3, 3)
    # a lamp beside other light shows more on the side that it shines on
    swing = float(rng.choice([0.0, rng.uniform(-1.5, 1.5)]))
    return Light(
        exposure=quiet.exposure,
        red=quiet.red,
        blue=quiet.blue,
        screen=lambda times_s: beat(times_s) * gate(times_s),
        screen_rgb=(float(r), float(g), float(b)),
        lamp=lambda times_s: swing * beat(times_s) * gate(times_s),
    )


def sample_hunting_light(rng: np.random.Generator, difficulty: str) -> Light:
    """A camera whose exposure or white balance swings about its set point at a heart's rate."""
    size = float(np.exp(rng.uniform(np.log(0.0008), np.log(0.008))))
    swing = Periodic(rng, size, float(rng.uniform(0.6, 3.0)))
    other = sample_light(rng, difficulty)
    if rng.random() < 0.5:
        return replace(other, exposure=Sum(other.exposure, swing))
    blue = -float(rng.uniform(0.5, 1.5))
    return replace(
        other,
        red=Sum(other.red, swing),
        blue=Sum(other.blue, lambda times_s: blue * swing(times_s)),
    )
