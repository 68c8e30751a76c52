"""FFmpeg's packets and pictures to frames: what files and streams share."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from hrd.capture import jpeg
from hrd.capture.orientation import UPRIGHT, Orientation, orientation_from_matrix
from hrd.types import Demand, Frame, Layout, Packing

_PLANAR = {
    "yuv420p": ((2, 2), False),
    "yuvj420p": ((2, 2), True),
    "yuv422p": ((2, 1), False),
    "yuvj422p": ((2, 1), True),
    "yuv444p": ((1, 1), False),
    "yuvj444p": ((1, 1), True),
}
"""Formats of planes of 8 bits: subsampling of the chroma, and whether the name says full range."""

_BT709 = 1  # AVCOL_SPC_BT709
_FULL = 2  # AVCOL_RANGE_JPEG
_UNSPECIFIED = 2  # AVCOL_PRI_UNSPECIFIED, AVCOL_TRC_UNSPECIFIED

_AS_LARGE = 0.015
"""A JPEG's bytes differ by less from another's that shows the same but for the noise: 0.6 % at most
of a still room drawn at 640x480; whoever comes in changes them by more."""


class RgbConverter:
    """Turns PyAV frames into (H, W, 3) uint8 RGB arrays, upright.

    One conversion context is kept for the whole stream: PyAV's own ``to_ndarray(format=...)``
    makes a new one for each frame, which doubles the cost (0.3 ms instead of 0.15 ms for
    528x592 on one x86 core). Raises ``DamagedPicture``.
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
        import av

        try:
            image = self._convert(frame)
        except av.error.FFmpegError:
            # a damaged header names colours that no standard has: take the usual ones for them
            self._settings["src_colorspace"] = "ITU601"
            for name in ("color_primaries", "color_trc"):
                with contextlib.suppress(AttributeError):  # before PyAV 16 they are not asked for
                    setattr(frame, name, _UNSPECIFIED)
            try:
                image = self._convert(frame)
            except av.error.FFmpegError as error:
                raise jpeg.DamagedPicture(str(error)) from None
        # where lines are padded (odd widths), newer PyAV gives a view without the padding
        return np.ascontiguousarray(self._orientation.apply(image))

    def _convert(self, frame: Any) -> np.ndarray:
        try:
            image: np.ndarray = self._reformatter.reformat(frame, **self._settings).to_ndarray()
        except TypeError:  # PyAV before 15 has no such setting, and one thread
            self._settings.pop("threads", None)
            image = self._reformatter.reformat(frame, **self._settings).to_ndarray()
        return image


class LiveDecoder:
    """Turns a live stream's packets into frames, as little of each as ``demand`` asks for.

    JPEG packets are decoded at the size that is needed, and those that nobody is going to look at
    not at all. Other codecs must see every packet; of their pictures those that are wanted are
    copied as they are, planes of luma and chroma. Turned pictures and formats of more than 8 bits
    are converted to RGB.
    """

    def __init__(self, stream: Any, allocate: Callable[[int], np.ndarray]) -> None:
        self._jpeg = jpeg.AVAILABLE and stream.codec_context.name == "mjpeg"
        self._allocate = allocate
        self._to_rgb = RgbConverter()
        self._orientation: Optional[Orientation] = None
        self._earlier: List[float] = []
        self._looked_s: Optional[float] = None
        self._looked_bytes = 0  # of that one, compressed
        self._index = 0
        self.pixel_format: Optional[str] = None

    def decode(self, packet: Any) -> List[Any]:
        """The pictures of a packet, for ``frame``; raises what PyAV raises."""
        if self._jpeg:
            return [packet] if packet.size else []
        return list(packet.decode())

    def frame(self, picture: Any, time_s: float, demand: Demand) -> Optional[Frame]:
        """The frame of a picture; None for one that is only counted (``Frame.earlier_s``).

        Raises ``DamagedPicture``.
        """
        self._index += 1
        if self._looked_s is not None:
            rest_s = demand.every_s
            if demand.unchanged_s > rest_s and self._jpeg and self._is_like_before(picture.size):
                rest_s = demand.unchanged_s
            if 0.0 <= time_s - self._looked_s < rest_s - 2e-3:
                self._earlier.append(time_s)
                return None
        image, layout = self._jpeg_pixels(picture, demand) if self._jpeg else self._pixels(picture)
        earlier, self._earlier = tuple(self._earlier), []
        self._looked_s = time_s
        return Frame(image, time_s, self._index - 1, layout, earlier)

    def _is_like_before(self, size_bytes: int) -> bool:
        """Whether a JPEG is about as large as the last that was looked at."""
        return abs(size_bytes - self._looked_bytes) <= _AS_LARGE * self._looked_bytes

    def _jpeg_pixels(self, packet: Any, demand: Demand) -> Tuple[np.ndarray, Layout]:
        self._looked_bytes = packet.size
        image, (width, height), reduced = jpeg.decode_jpeg(
            bytes(packet), demand.reduced, self._allocate
        )
        self.pixel_format = "jpeg"
        return image, Layout(Packing.RGB, width, height, reduced)

    def _pixels(self, picture: Any) -> Tuple[np.ndarray, Optional[Layout]]:
        if self._orientation is None:  # a property of the track: the first frame tells it
            self._orientation = _orientation_of(picture)
            self.pixel_format = picture.format.name
        name = picture.format.name
        if self._orientation == UPRIGHT:
            if name in _PLANAR:
                return _copy_planes(picture, self._allocate, *_PLANAR[name])
            if name == "yuyv422" and picture.width % 2 == 0:
                return _copy_yuyv(picture, self._allocate)
        return self._to_rgb(picture), None


def _copy_planes(
    picture: Any,
    allocate: Callable[[int], np.ndarray],
    chroma: Tuple[int, int],
    full_range: bool,
) -> Tuple[np.ndarray, Layout]:
    """The planes of a picture one after the other, without the padding of their lines."""
    width, height = picture.width, picture.height
    across, down = chroma
    small = (-(-height // down), -(-width // across))
    shapes = [(height, width), small, small]
    room = allocate(sum(rows * columns for rows, columns in shapes))
    begin = 0
    for plane, (rows, columns) in zip(picture.planes, shapes):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        end = begin + rows * columns
        room[begin:end].reshape(rows, columns)[...] = lines[:rows, :columns]
        begin = end
    return room, _layout(picture, Packing.PLANAR, chroma, full_range)


def _copy_yuyv(picture: Any, allocate: Callable[[int], np.ndarray]) -> Tuple[np.ndarray, Layout]:
    width, height = picture.width, picture.height
    room = allocate(2 * width * height).reshape(height, width, 2)
    plane = picture.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    room.reshape(height, 2 * width)[...] = lines[:height, : 2 * width]
    return room, _layout(picture, Packing.YUYV, (2, 1), False)


def _layout(picture: Any, packing: Packing, chroma: Tuple[int, int], full_range: bool) -> Layout:
    return Layout(
        packing,
        picture.width,
        picture.height,
        chroma=chroma,
        full_range=full_range or int(picture.color_range or 0) == _FULL,
        bt709=int(picture.colorspace or 0) == _BT709,
    )


def _orientation_of(frame: Any) -> Orientation:
    from av.sidedata.sidedata import Type

    try:
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV lists none where FFmpeg gives a kind that it does not know (TIFF)
        return UPRIGHT
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
