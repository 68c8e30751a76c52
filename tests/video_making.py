"""Small videos made on the fly, for tests of whatever reads video."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Dict, Optional, Sequence

import av
import numpy as np

TICK = Fraction(1, 1000)

CORNERS = {"top_left": (220, 30, 30), "top_right": (30, 200, 30), "bottom_left": (30, 30, 220)}
"""RGB of three corners of every test picture; the fourth is white."""

TKHD_ROTATE_CW = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
TKHD_ROTATE_180 = (-(1 << 16), 0, 0, 0, -(1 << 16), 0, 0, 0, 1 << 30)
TKHD_ROTATE_CCW = (0, -(1 << 16), 0, 1 << 16, 0, 0, 0, 0, 1 << 30)
TKHD_MIRROR = (-(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def picture(width: int = 96, height: int = 64, level: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 RGB: four coloured corners and, in the middle, a grey of ``level``."""
    image = np.full((height, width, 3), 255, np.uint8)
    image[: height // 2, : width // 2] = CORNERS["top_left"]
    image[: height // 2, width // 2 :] = CORNERS["top_right"]
    image[height // 2 :, : width // 2] = CORNERS["bottom_left"]
    image[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = level
    return image


def level_of(image: np.ndarray) -> float:
    """The ``level`` that ``picture`` was drawn with, as decoded."""
    height, width = image.shape[:2]
    middle = image[3 * height // 8 : 5 * height // 8, 3 * width // 8 : 5 * width // 8]
    return float(middle.mean())


def make_video(
    path: Path,
    times_ms: Sequence[int],
    codec: str = "mpeg4",
    size: Sequence[int] = (96, 64),
    options: Optional[Dict[str, str]] = None,
    levels: Optional[Sequence[int]] = None,
    noise: bool = False,
    format: Optional[str] = None,
    rate: Optional[int] = None,
) -> Path:
    """Write a video whose frame i is shown at ``times_ms[i]``; with ``rate``, at ``i / rate``."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w", format=format, options=options or {}) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        tick = TICK if rate is None else Fraction(1, rate)
        stream.codec_context.time_base = tick
        for index, time_ms in enumerate(times_ms):
            image = picture(size[0], size[1], levels[index] if levels is not None else 0)
            if noise:
                image = random.integers(0, 256, image.shape).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base, frame.pts = tick, time_ms if rate is None else index
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def make_sound(path: Path) -> Path:
    """Write a second of silence, without a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for index in range(8):
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 8000, 1024 * index
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def set_display_matrix(path: Path, matrix: Sequence[int]) -> None:
    """Write a display matrix into an mp4's track header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    data[start : start + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(bytes(data))
