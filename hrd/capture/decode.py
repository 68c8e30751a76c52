"""Decoded FFmpeg pictures to upright RGB: what files and streams share."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

import numpy as np

from hrd.capture.orientation import UPRIGHT, Orientation, orientation_from_matrix


class RgbConverter:
    """Turns PyAV frames into (H, W, 3) uint8 RGB arrays, upright.

    One conversion context is kept for the whole stream: PyAV's own ``to_ndarray(format=...)``
    makes a new one for each frame, which doubles the cost (0.3 ms instead of 0.15 ms for
    528x592 on one x86 core).
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._settings: Dict[str, Any] = {"format": "rgb24", "threads": 1}
        self._orientation: Optional[Orientation] = None
        self.pixel_format: Optional[str] = None
        """As decoded, such as ``yuv420p``; known from the first frame on."""

    def __call__(self, frame: Any) -> np.ndarray:
        if self._orientation is None:  # a property of the track: the first frame tells it
            self._orientation = _orientation_of(frame)
            self.pixel_format = frame.format.name
        try:
            image = self._reformatter.reformat(frame, **self._settings).to_ndarray()
        except TypeError:  # PyAV before 15 has no such setting, and one thread
            self._settings.pop("threads", None)
            image = self._reformatter.reformat(frame, **self._settings).to_ndarray()
        # where lines are padded (odd widths), newer PyAV gives a view without the padding
        return np.ascontiguousarray(self._orientation.apply(image))


def _orientation_of(frame: Any) -> Orientation:
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    return UPRIGHT if matrix is None else orientation_from_matrix(bytes(matrix))


def frame_pts_s(frame: Any) -> Optional[float]:
    """Presentation time in seconds on the stream's own axis, None where it has none.

    A frame without PTS takes the DTS of the packet that completed it, which is right wherever
    frames are stored in the order they are shown (old AVI files).
    """
    ticks = frame.pts if frame.pts is not None else frame.dts
    if ticks is None or frame.time_base is None:
        return None
    return float(ticks * frame.time_base)


def decode_threads() -> int:
    """Threads for decoding a file: enough for 1080p on a Nano, few enough to bound memory."""
    return max(1, min(4, os.cpu_count() or 1))
