"""Small networks and made-up clips for the tests of hrd.train."""

from __future__ import annotations

import numpy as np

from hrd.train.data import Clip, MemoryStore
from hrd.train.models import NetSpec, Pool, Spatial, Temporal

TINY = NetSpec(
    name="tiny",
    layers=(
        Spatial(4, kernel=5, stride=3, activation="none"),
        Temporal(4, kernel=3),
        Spatial(6, stride=2),
        Spatial(6, residual=True, activation="elu"),
        Temporal(6, dilation=2, residual=True),
        Pool(),
        Temporal(5, kernel=3, dilation=3),
    ),
    taps=(1, 4),
)

TINY_TEACHER = NetSpec(
    name="tiny-teacher",
    layers=(
        Spatial(6, kernel=5, stride=3, activation="none"),
        Temporal(6),
        Spatial(8, stride=2),
        Temporal(8, dilation=2, residual=True),
        Pool(),
    ),
    taps=(1, 3),
)


def make_clip(seed: int, frames: int = 128, pulse: bool = True, depth: float = 0.01) -> Clip:
    """A grey disc whose brightness beats, on a still background, with a little noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:36, :36]
    disc = (((columns - 18) / 11.0) ** 2 + ((rows - 18) / 14.0) ** 2 < 1.0)[..., None]
    picture = np.where(disc, rng.uniform(80, 200, 3), rng.uniform(30, 220, 3))
    bpm = float(np.exp(rng.uniform(np.log(50.0), np.log(150.0))))
    wave = np.sin(2 * np.pi * bpm / 60.0 / 30.0 * np.arange(frames) + rng.uniform(0, 6))
    beat = 1.0 - (depth if pulse else 0.0) * wave[:, None, None, None] * disc
    crops = picture * beat + 0.3 * rng.standard_normal((frames, 36, 36, 3))
    return Clip(
        crops.astype(np.float32),
        np.zeros(frames, bool),
        (wave if pulse else np.zeros(frames)).astype(np.float32),
        np.full(frames, bpm if pulse else 0.0, np.float32),
        pulse,
    )


def make_store(clips: int, seed: int = 0, frames: int = 128) -> MemoryStore:
    """Every fifth clip has no pulse."""
    return MemoryStore(tuple(make_clip(seed + k, frames, pulse=k % 5 != 4) for k in range(clips)))
