"""Signals moved down to zero frequency: what beats with a rate, whatever its wave or wavering.

Multiplying by exp(-2 pi i f t) moves the component near f to zero; a Gaussian low-pass keeps what
lies within some bpm of it. The angle of what is left is the beats' phase: its advance over a
stretch is the number of beats in it, as a count of the beats themselves would give, also where the
rate wavers (a spectrum's peak only says where most of the power is).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple, Optional, Tuple

import numpy as np

HALF_WIDTH_BPM = 14.0
"""Standard deviation of the low-pass: wide enough for a heart that speeds up by 15 bpm in 10 s."""

BASEBAND_HZ = 5.0
"""Samples a second of the result: the low-pass leaves nothing above half of it."""


class Band(NamedTuple):
    """``value`` (M,) or (M, C) complex; ``time_s`` (M,): the moments it is of, from the signal's
    first sample. At the signal's ends the low-pass is one-sided, and its moment further in."""

    time_s: np.ndarray
    value: np.ndarray

    def newest(self, seconds: float) -> Band:
        """The last ``seconds`` of it."""
        count = _rows(seconds)
        return Band(self.time_s[-count:], self.value[-count:])


def baseband(
    signals: np.ndarray, fs_hz: float, bpm: float, newest_s: Optional[float] = None
) -> Band:
    """Move (N,) or (N, C) real signals down by ``bpm``; M = N * BASEBAND_HZ / fs_hz.

    ``newest_s``: only so many seconds of the result are wanted, and computed.
    """
    count = len(signals)
    smooth, time_s = _low_pass(count, fs_hz)
    if newest_s is not None:
        rows = _rows(newest_s)
        smooth, time_s = smooth[-rows:], time_s[-rows:]
    angle = ((-2.0 * np.pi * bpm / 60.0 / fs_hz) * np.arange(count)).reshape(-1, 1)
    centred = (signals - signals.mean(axis=0)).reshape(count, -1).astype(np.float32)
    # real and imaginary parts side by side: a product of real matrices is half the work of one
    # that BLAS must first make complex
    parts = np.hstack(
        [centred * np.cos(angle).astype(np.float32), centred * np.sin(angle).astype(np.float32)]
    )
    real, imaginary = np.hsplit(smooth @ parts, 2)
    value = (real + 1j * imaginary).reshape(-1, *signals.shape[1:])
    return Band(time_s, value)


def _rows(seconds: float) -> int:
    """Samples of the baseband in so many seconds, both ends counted."""
    return int(round(seconds * BASEBAND_HZ)) + 1


@functools.lru_cache(maxsize=32)
def _low_pass(count: int, fs_hz: float) -> Tuple[np.ndarray, np.ndarray]:
    """(M, N) float32, each row the Gaussian's weights about one sample of the result; (M,) seconds,
    where each row's weight lies."""
    step = int(round(fs_hz / BASEBAND_HZ))
    at = np.arange(count - 1, -1, -step)[::-1]
    sd = fs_hz / (2.0 * np.pi * HALF_WIDTH_BPM / 60.0)
    weights = np.exp(-0.5 * ((np.arange(count)[None, :] - at[:, None]) / sd) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32), weights @ np.arange(count) / fs_hz


def mean_rate_bpm(band: Band, bpm: float) -> float:
    """Mean rate of the beats over a band of one signal at ``bpm``.

    The phase's advance from end to end, a quarter of it by the line through all of it, weighted by
    amplitude: the ends of a noisy stretch are as noisy as the rest.
    """
    weight = np.abs(band.value)
    total = float(weight.sum())
    if len(weight) < 2 or total <= 0.0:
        return bpm
    time_s = band.time_s
    phase = np.unwrap(np.angle(band.value))
    ends = float((phase[-1] - phase[0]) / (time_s[-1] - time_s[0]))
    lean = weight * (time_s - float(weight @ time_s) / total)
    line = float(lean @ phase) / max(float(lean @ time_s), 1e-12)
    return bpm + 60.0 / (2.0 * math.pi) * (0.75 * ends + 0.25 * line)


def phase_jitter(band: Band) -> float:
    """Deviation of the phase from a parabola through it, radians, weighted by amplitude: small
    where one heart beats, whose rate moves slowly; large where noise does."""
    weight = np.sqrt(np.abs(band.value)).astype(np.float64)
    if len(weight) < 4 or not weight.any():
        return math.pi
    # in double precision: what is left is a thousandth of what is taken away
    phase = np.unwrap(np.angle(band.value)).astype(np.float64)
    shapes = _parabolas(len(phase)) * weight
    fit = np.linalg.solve(shapes @ shapes.T, shapes @ (phase * weight))
    left = phase * weight - fit @ shapes
    return math.sqrt(float(left @ left) / float(weight @ weight))


@functools.lru_cache(maxsize=64)
def _parabolas(count: int) -> np.ndarray:
    """(3, count): 1, x and x squared for x from -1 to 1."""
    x = np.linspace(-1.0, 1.0, count)
    return np.stack([np.ones_like(x), x, x * x])
