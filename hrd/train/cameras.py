"""Cameras as people have them: sensors, codecs and frame times of the training clips."""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np

from hrd.sim.lens import CodecConfig, SensorConfig
from hrd.sim.motion import HARD, STILL, TYPICAL
from hrd.types import MODEL_FS_HZ

_GOPS = (12, 15, 30, 48, 60, 250)


def sample_sensor(rng: np.random.Generator, difficulty: str) -> SensorConfig:
    """A sensor and its signal processor: one in three denoises over time, one in twelve smooths
    skin."""
    noisy = {STILL: 0.8, TYPICAL: 1.0, HARD: 1.3}[difficulty]
    denoise = float(rng.choice([0.0, rng.uniform(0.2, 0.85)], p=[0.67, 0.33]))
    return SensorConfig(
        read_noise=noisy * _log_uniform(rng, 0.4, 4.0),
        shot_noise=noisy * _log_uniform(rng, 0.003, 0.08),
        grain=str(rng.choice(["white", "fine", "blotchy"], p=[0.25, 0.45, 0.3])),
        blur_px=float(rng.choice([0.0, rng.uniform(0.5, 1.8)])),
        sharpen=float(rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.7, 0.3])),
        denoise=denoise,
        beautify=float(rng.choice([0.0, rng.uniform(8.0, 40.0)], p=[0.92, 0.08])),
    )


def sample_codec(rng: np.random.Generator, shares: Dict[str, float]) -> CodecConfig:
    """A codec out of ``shares`` (name -> probability) and its settings.

    Bit rates are per pixel of the face's own surroundings, which is all that is drawn: of the 150
    to 600 kb/s that a recorder spends on 640x480, nearly everything goes there, because the room
    behind does not move. 0.03 to 0.25 bits per pixel is that.
    """
    kind = str(rng.choice(list(shares), p=list(shares.values())))
    if kind == "jpeg":
        return CodecConfig(
            kind, quality=int(rng.integers(50, 96)), subsample=bool(rng.random() < 0.7)
        )
    if kind in ("raw", "yuv420"):
        return CodecConfig(kind)
    gop = int(rng.choice(_GOPS))
    if kind == "vp8":
        return CodecConfig(kind, gop=gop, bitrate=_log_uniform(rng, 0.03, 0.3))
    limited = rng.random() < 0.4
    bitrate = _log_uniform(rng, 0.03, 0.3) if limited else 0.0
    if kind == "mpeg4":
        return CodecConfig(
            kind,
            quantiser=round(_log_uniform(rng, 2.0, 14.0)),
            gop=gop,
            bframes=int(rng.choice([0, 0, 0, 2])),
            bitrate=bitrate,
        )
    if kind == "h265":
        return CodecConfig(
            kind, crf=int(rng.integers(18, 31)), preset="ultrafast", gop=gop, bitrate=bitrate
        )
    return CodecConfig(
        kind,
        crf=12 + int(20 * rng.beta(1.4, 1.6)),
        preset=str(
            rng.choice(["ultrafast", "superfast", "veryfast", "faster"], p=[0.2, 0.25, 0.4, 0.15])
        ),
        tune=str(rng.choice(["", "zerolatency"])),
        gop=gop,
        bframes=int(rng.choice([0, 0, 2])),
        bitrate=bitrate,
    )


def sample_times(rng: np.random.Generator, frames: int, codec: str) -> Tuple[float, np.ndarray]:
    """Frame rate and times of capture, seconds from about zero, enough to fill the grid.

    What cheap recorders compress comes more often at 15 to 25 frames a second.
    """
    slow = codec in ("mpeg4", "vp8", "h265")
    fps = float(
        rng.choice(
            [30.0, 25.0, 20.0, 15.0, rng.uniform(15.0, 29.0), rng.uniform(28.0, 31.0), 60.0],
            p=[0.28, 0.2, 0.2, 0.08, 0.16, 0.06, 0.02]
            if slow
            else [0.5, 0.13, 0.06, 0.03, 0.13, 0.12, 0.03],
        )
    )
    needed_s = (frames - 1) / MODEL_FS_HZ
    count = int(needed_s * fps * 1.25) + 12
    steps = np.full(count, 1.0 / fps)
    style = rng.choice(["steady", "jitter", "drops", "wild"], p=[0.45, 0.3, 0.15, 0.1])
    if style in ("jitter", "wild"):
        steps *= np.clip(1.0 + rng.normal(0.0, rng.uniform(0.01, 0.15), count), 0.4, 1.6)
    if style in ("drops", "wild"):
        dropped = rng.random(count) < rng.uniform(0.005, 0.06)
        steps += dropped * rng.integers(1, 3, count) / fps
    times_s = np.cumsum(steps) - steps[0]
    last = int(np.searchsorted(times_s, needed_s + 1e-6))
    return fps, times_s[: min(last + 2, count)]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
