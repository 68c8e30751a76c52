"""Looking at a frame's picture: the part that is wanted, at the size that is wanted.

A frame holds its pixels as the camera or the decoder left them. Averaging and the change from
luma and chroma to RGB are both linear, so what is wanted is averaged first and converted after:
a few thousand values instead of a few hundred thousand, and without rounding each pixel.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from hrd.types import Frame, Layout, Packing

_GROUP_ROWS = 48
"""Source rows that are averaged by one multiplication of matrices: more would mostly multiply by
zero, fewer would spend the time on calls."""

_SPARSE = 4
"""Samples per output pixel and axis that a thumbnail needs: more only cost time."""


@dataclass(frozen=True)
class Region:
    """A rectangle of a frame's picture in pixels; may hang over its edge."""

    left_px: float
    top_px: float
    width_px: float
    height_px: float


def layout_of(frame: Frame) -> Layout:
    """The frame's layout; that of plain RGB where it names none."""
    if frame.layout is not None:
        return frame.layout
    height, width = frame.image.shape[:2]
    return Layout(Packing.RGB, width, height)


def average(frame: Frame, region: Region, width: int, height: int) -> np.ndarray:
    """Area-average ``region`` to (height, width, 3) float32 RGB in 0..255, not rounded.

    Where the region hangs over the edge, the edge's pixels are repeated; a region smaller than
    the result is interpolated by area too. Raises ``ValueError`` for a region that lies wholly
    outside.
    """
    return _resample(frame, region, width, height, sparse=False)


def thumbnail(frame: Frame, region: Region, longest_px: int) -> np.ndarray:
    """``region`` as (H, W, 3) uint8 RGB, its longer side at most ``longest_px``.

    For finding things, not for measuring them: of a large picture only some pixels are read.
    """
    scale = min(1.0, longest_px / max(region.width_px, region.height_px))
    width = max(1, int(round(region.width_px * scale)))
    height = max(1, int(round(region.height_px * scale)))
    pixels = _resample(frame, region, width, height, sparse=True)
    return (pixels + np.float32(0.5)).astype(np.uint8)


def overview(frame: Frame, region: Region, side: int) -> np.ndarray:
    """``region`` as (side, side) float32 means of green, or of luma where that is what there is,
    0..255: to tell whether anything has changed.

    Of a large picture only some pixels are read. The same however small the picture was decoded.
    """
    layout = layout_of(frame)
    stored = max(layout.width_px, layout.height_px) // layout.reduced
    if layout.packing is Packing.RGB:
        scale = 1.0 / layout.reduced
        plane, scales = frame.image[..., 1:2], (scale, scale)
    else:
        plane, scales = _planes(frame.image, layout)[0]
    means = _average_plane(plane, scales, region, side, side, sparse=stored > 640)[..., 0]
    if layout.packing is not Packing.RGB and not layout.full_range:
        means = (means - np.float32(16.0)) * np.float32(255.0 / 219.0)
    return means


def whole(frame: Frame) -> Region:
    """The region that is all of the frame's picture."""
    layout = layout_of(frame)
    return Region(0.0, 0.0, float(layout.width_px), float(layout.height_px))


def sample(frame: Frame, step: int) -> np.ndarray:
    """A copy of every ``step``-th pixel across and down, as stored: to tell pictures apart."""
    layout = layout_of(frame)
    pixels = _planes(frame.image, layout)[0][0] if layout.packing is Packing.PLANAR else frame.image
    return np.ascontiguousarray(pixels[::step, ::step])


def to_rgb(frame: Frame) -> np.ndarray:
    """All of the picture as (H, W, 3) uint8 RGB at the size it is stored in."""
    layout = layout_of(frame)
    if layout.packing is Packing.RGB:
        return frame.image
    pixels = average(frame, whole(frame), layout.width_px, layout.height_px)
    return (pixels + np.float32(0.5)).astype(np.uint8)


def _resample(frame: Frame, region: Region, width: int, height: int, sparse: bool) -> np.ndarray:
    layout = layout_of(frame)
    outside = (
        region.left_px >= layout.width_px
        or region.top_px >= layout.height_px
        or region.left_px + region.width_px <= 0
        or region.top_px + region.height_px <= 0
    )
    if outside:
        size = f"{layout.width_px}x{layout.height_px}"
        raise ValueError(f"{region} lies outside the {size} image")
    if layout.packing is Packing.RGB:
        scale = 1.0 / layout.reduced
        return _average_plane(frame.image, (scale, scale), region, width, height, sparse)
    channels = [
        _average_plane(plane, scales, region, width, height, sparse)[..., 0]
        for plane, scales in _planes(frame.image, layout)
    ]
    return _yuv_to_rgb(np.stack(channels, axis=-1), layout)


def _planes(image: np.ndarray, layout: Layout) -> List[Tuple[np.ndarray, Tuple[float, float]]]:
    """Luma, blue and red chroma as (H, W, 1) views, with their size over the picture's."""
    width, height = layout.width_px, layout.height_px
    if layout.packing is Packing.YUYV:
        luma = image[:, :, :1]
        pairs = image.reshape(height, width // 2, 4)
        return [(luma, (1.0, 1.0)), (pairs[..., 1:2], (0.5, 1.0)), (pairs[..., 3:4], (0.5, 1.0))]
    across, down = layout.chroma
    small = (-(-height // down), -(-width // across))
    luma_bytes, chroma_bytes = height * width, small[0] * small[1]
    scales = (1.0 / across, 1.0 / down)
    planes = [(image[:luma_bytes].reshape(height, width, 1), (1.0, 1.0))]
    for begin in (luma_bytes, luma_bytes + chroma_bytes):
        plane = image[begin : begin + chroma_bytes].reshape(*small, 1)
        planes.append((plane, scales))
    return planes


def _average_plane(
    plane: np.ndarray,
    scales: Tuple[float, float],
    region: Region,
    width: int,
    height: int,
    sparse: bool,
) -> np.ndarray:
    """(H, W, C) uint8 -> (height, width, C) float32 area average of the region."""
    rows, columns, channels = plane.shape
    top, tall = region.top_px * scales[1], region.height_px * scales[1]
    left, wide = region.left_px * scales[0], region.width_px * scales[0]
    if sparse:
        every_y = max(1, int(tall / (_SPARSE * height)))
        every_x = max(1, int(wide / (_SPARSE * width)))
        plane = plane[every_y // 2 :: every_y, every_x // 2 :: every_x]
        rows, columns = plane.shape[:2]
        top, tall = top / every_y, tall / every_y
        left, wide = left / every_x, wide / every_x
    down = _bands(top, tall, height, rows)
    across = _bands(left, wide, width, columns)
    first, last = across[0].begin, across[-1].end
    # down: (h, n) @ (n, w * C)
    tall_done = np.empty((height, (last - first) * channels), np.float32)
    done = 0
    for band in down:
        source = plane[band.begin : band.end, first:last].astype(np.float32)
        count = len(band.weights)
        np.matmul(
            band.weights,
            source.reshape(band.end - band.begin, -1),
            out=tall_done[done : done + count],
        )
        done += count
    # across: the same on the transpose, a row for each pixel row and channel
    if channels > 1:
        lines = tall_done.reshape(height, last - first, channels).transpose(0, 2, 1)
        tall_done = np.ascontiguousarray(lines).reshape(height * channels, last - first)
    wide_done = np.empty((height * channels, width), np.float32)
    done = 0
    for band in across:
        count = len(band.weights)
        wide_done[:, done : done + count] = (
            tall_done[:, band.begin - first : band.end - first] @ band.weights.T
        )
        done += count
    if channels == 1:
        return wide_done[..., None]
    result = wide_done.reshape(height, channels, width).transpose(0, 2, 1)
    return np.ascontiguousarray(result)


@dataclass(frozen=True)
class _Band:
    """``weights``: (n, end - begin) float32 of n neighbouring output pixels over the source's."""

    begin: int
    end: int
    weights: np.ndarray


@functools.lru_cache(maxsize=64)
def _bands(start: float, length: float, count: int, limit: int) -> Tuple[_Band, ...]:
    """Weights that average ``count`` equal parts of [start, start + length) over pixels
    0..limit - 1, those beyond the edge counted as the edge's. Cached: a crop keeps still."""
    step = length / count
    edges = start + step * np.arange(count + 1)
    begins = np.clip(np.floor(edges[:-1]).astype(int), 0, limit - 1)
    ends = np.clip(np.ceil(edges[1:]).astype(int), begins + 1, limit)
    bands: List[_Band] = []
    first = 0
    while first < count:
        last = first + 1
        while last < count and ends[last] - begins[first] <= _GROUP_ROWS:
            last += 1
        begin, end = int(begins[first]), int(ends[last - 1])
        pixels = np.arange(begin, end)
        lower, upper = pixels.astype(float), pixels + 1.0
        if begin == 0:
            lower[0] = -np.inf
        if end == limit:
            upper[-1] = np.inf
        low = np.maximum(edges[first:last, None], lower[None])
        high = np.minimum(edges[first + 1 : last + 1, None], upper[None])
        weights = np.maximum(0.0, high - low) / step
        bands.append(_Band(begin, end, weights.astype(np.float32)))
        first = last
    return tuple(bands)


@functools.lru_cache(maxsize=4)
def _matrix(full_range: bool, bt709: bool) -> Tuple[np.ndarray, np.ndarray]:
    """(3, 3) float32 and (3,) float32: RGB = YUV @ matrix + offset (ITU-R BT.601, BT.709)."""
    red, blue = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    green = 1.0 - red - blue
    luma_gain, chroma_gain = (1.0, 1.0) if full_range else (255.0 / 219.0, 255.0 / 224.0)
    from_red, from_blue = 2.0 * (1.0 - red), 2.0 * (1.0 - blue)
    matrix = np.array(
        [
            [luma_gain, luma_gain, luma_gain],
            [0.0, -blue * from_blue / green * chroma_gain, from_blue * chroma_gain],
            [from_red * chroma_gain, -red * from_red / green * chroma_gain, 0.0],
        ]
    )
    zero = np.array([0.0 if full_range else 16.0, 128.0, 128.0])
    return matrix.astype(np.float32), (-zero @ matrix).astype(np.float32)


def _yuv_to_rgb(pixels: np.ndarray, layout: Layout) -> np.ndarray:
    """(H, W, 3) float32 YUV -> RGB, clipped to 0..255."""
    matrix, offset = _matrix(layout.full_range, layout.bt709)
    rgb = pixels.reshape(-1, 3) @ matrix
    rgb += offset
    np.clip(rgb, 0.0, 255.0, out=rgb)
    return rgb.reshape(pixels.shape)
