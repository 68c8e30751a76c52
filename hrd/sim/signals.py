"""Random signals that can be asked for any time: no state, no horizon, the same for a seed.

The simulated camera runs without end and the training generator wants whole clips at once, so
everything that varies in a scene is a closed-form function of time.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np

Signal = Callable[[np.ndarray], np.ndarray]
"""(N,) float64 seconds -> (N,) float64."""


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a cubic with flat ends between."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


class SmoothNoise:
    """A sum of sinusoids with log-spaced random frequencies: band-limited, never repeating.

    ``slope`` is the fall of amplitude with frequency (1: pink-like). The rms over a long time is
    ``rms``.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        rms: float,
        low_hz: float,
        high_hz: float,
        terms: int = 7,
        slope: float = 0.7,
    ) -> None:
        edges = np.exp(np.linspace(np.log(low_hz), np.log(high_hz), terms + 1))
        self.freqs_hz = rng.uniform(edges[:-1], edges[1:])
        amplitudes = self.freqs_hz**-slope * rng.uniform(0.5, 1.5, terms)
        norm = np.sqrt(np.sum(amplitudes**2) / 2.0)
        self.amplitudes = rms * amplitudes / norm
        self.phases = rng.uniform(0.0, 2.0 * np.pi, terms)

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        angles = 2.0 * np.pi * np.multiply.outer(times_s, self.freqs_hz) + self.phases
        return np.sin(angles) @ self.amplitudes

    def integral(self, times_s: np.ndarray) -> np.ndarray:
        """An antiderivative: what a phase needs when this signal is its rate."""
        omega = 2.0 * np.pi * self.freqs_hz
        return -np.cos(np.multiply.outer(times_s, omega) + self.phases) @ (self.amplitudes / omega)


class Slots:
    """Random numbers tied to stretches of time: slot k always draws the same ones."""

    def __init__(self, seed: int, slot_s: float, draws: int) -> None:
        self.seed = seed
        self.slot_s = slot_s
        self.draws = draws
        self._known: Dict[int, np.ndarray] = {}

    def get(self, slot: int) -> np.ndarray:
        """(draws,) uniform numbers in [0, 1) of the slot."""
        found = self._known.get(slot)
        if found is None:
            # slots before time zero exist too, seeds must not be negative
            generator = np.random.default_rng((self.seed, slot + 1_000_000))
            found = generator.random(self.draws)
            if len(self._known) > 64:  # endless sources must not collect slots for ever
                self._known.clear()
            self._known[slot] = found
        return found

    def range_of(self, times_s: np.ndarray) -> Tuple[int, int]:
        """First and last slot that may matter to these times (one before and after included)."""
        first = int(np.floor(times_s.min() / self.slot_s)) - 1
        last = int(np.floor(times_s.max() / self.slot_s)) + 1
        return first, last


class Bumps:
    """One bump per slot with a probability: blinks, exposure dips, sobs of a flickering screen.

    Rises and falls smoothly within ``width_s``; a bump stays in its slot and the next.
    """

    def __init__(self, seed: int, slot_s: float, probability: float, width_s: float) -> None:
        self._slots = Slots(seed, slot_s, 4)
        self.probability = probability
        self.width_s = min(width_s, slot_s)

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        total = np.zeros(np.shape(times_s))
        first, last = self._slots.range_of(times_s)
        for slot in range(first, last + 1):
            chance, where, width, height = self._slots.get(slot)
            if chance >= self.probability:
                continue
            center_s = (slot + where) * self._slots.slot_s
            width_s = self.width_s * (0.7 + 0.6 * width)
            x = 1.0 - np.abs(times_s - center_s) / (0.5 * width_s)
            total += (0.7 + 0.3 * height) * smoothstep(1.6 * x)
        return np.minimum(total, 1.0)


class Levels:
    """Holds a level and goes to another one once per slot: a person shifting in the chair.

    Levels are drawn from -1..1 (most of them near zero) times ``size``; a transition takes
    ``move_s`` (0.6 to 1.6 times that); ``probability`` that a slot has a new level at all.
    """

    def __init__(
        self, seed: int, slot_s: float, size: float, move_s: float, probability: float = 1.0
    ) -> None:
        self._slots = Slots(seed, slot_s, 4)
        self.size = size
        self.move_s = move_s
        self.probability = probability

    def _level(self, slot: int) -> float:
        chance, value, _, _ = self._slots.get(slot)
        if chance >= self.probability:
            return 0.0
        centered = 2.0 * value - 1.0
        return float(self.size * np.sign(centered) * abs(centered) ** 1.3)

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        first, last = self._slots.range_of(times_s)
        total = np.full(np.shape(times_s), self._level(first - 1))
        for slot in range(first, last + 1):
            _, _, where, pace = self._slots.get(slot)
            start_s = (slot + 0.8 * where) * self._slots.slot_s
            move_s = self.move_s * (0.6 + pace)
            step = self._level(slot) - self._level(slot - 1)
            total += step * smoothstep((times_s - start_s) / move_s)
        return total


class Gate:
    """0..1: on in a share of the slots, with soft edges (spells of talking, of nodding)."""

    def __init__(self, seed: int, slot_s: float, share: float, edge_s: float = 0.4) -> None:
        self._slots = Slots(seed, slot_s, 1)
        self.share = share
        self.edge_s = edge_s

    def __call__(self, times_s: np.ndarray) -> np.ndarray:
        first, last = self._slots.range_of(times_s)
        total = np.zeros(np.shape(times_s))
        previous = 0.0
        for slot in range(first, last + 1):
            on = 1.0 if self._slots.get(slot)[0] < self.share else 0.0
            if slot == first:
                total += on
            else:
                start_s = slot * self._slots.slot_s
                total += (on - previous) * smoothstep((times_s - start_s) / self.edge_s)
            previous = on
        return np.clip(total, 0.0, 1.0)


def zero(times_s: np.ndarray) -> np.ndarray:
    """The signal that is not there."""
    return np.zeros(np.shape(times_s))
