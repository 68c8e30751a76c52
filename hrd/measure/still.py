"""A film of one still picture: a photograph, a title, a camera that hangs."""

from __future__ import annotations

from typing import Optional

import numpy as np

_EVERY_PX = 8
_CODEC_LEVELS = 16
"""What a codec makes of a still picture stays nearer to its first frame than this, in levels of
0..255 (H.264, H.265, MPEG-4, VP8 at 0.2 to 2 Mbit/s: at most 13); a person who blinks does not."""
_LEAST_S = 1.0


class StillPicture:
    """``push`` the pictures of a film; ``seen`` says whether they were one and the same."""

    def __init__(self) -> None:
        self._first: Optional[np.ndarray] = None
        self._same = True
        self._end_s = 0.0

    def push(self, image: np.ndarray, time_s: float) -> None:
        """``image``: uint8 in any layout, all of a film in one; ``time_s`` from its beginning."""
        self._end_s = time_s
        if not self._same:
            return
        sample = image[::_EVERY_PX] if image.ndim == 1 else image[::_EVERY_PX, ::_EVERY_PX]
        if self._first is None:
            self._first = sample.astype(np.int16)
        elif sample.shape != self._first.shape:
            self._same = False
        else:
            self._same = int(np.abs(sample - self._first).max()) <= _CODEC_LEVELS

    def seen(self) -> bool:
        """Whether the film is of one picture, and long enough to tell."""
        return self._same and self._end_s >= _LEAST_S
