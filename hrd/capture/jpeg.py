"""JPEG pictures, decoded no larger than they are needed."""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np

try:
    import simplejpeg
except ImportError:  # no wheel for this machine: FFmpeg and OpenCV decode, at full size
    simplejpeg = None

AVAILABLE = simplejpeg is not None


class DamagedPicture(ValueError):
    """A picture that cannot be decoded, or not to its end."""


def decode_jpeg(
    data: bytes, reduced: int, allocate: Callable[[int], np.ndarray]
) -> Tuple[np.ndarray, Tuple[int, int], int]:
    """Decode to (H, W, 3) uint8 RGB in memory from ``allocate``.

    ``reduced``: 1, 2, 4 or 8 times smaller across and down, which libjpeg's scaled transform
    does by averaging, at less than the cost of the full size. Returns the picture, the (width,
    height) of the full one and ``reduced``. Raises ``DamagedPicture``.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        rows, columns = -(-height // reduced), -(-width // reduced)
        room = allocate(rows * columns * 3)
        image = simplejpeg.decode_jpeg(
            data,
            "RGB",
            fastupsample=True,
            min_height=rows,
            min_width=columns,
            min_factor=1,
            buffer=room,
            strict=True,
        )
    except ValueError as error:
        raise DamagedPicture(str(error)) from None
    if image.shape != (rows, columns, 3):
        raise DamagedPicture(f"decoded to {image.shape} instead of {(rows, columns, 3)}")
    return image, (width, height), reduced
