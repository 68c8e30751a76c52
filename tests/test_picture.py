"""Parts of a picture at the size that is wanted, from however its pixels lie."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
import pytest

from hrd.capture import jpeg
from hrd.capture.decode import LiveDecoder
from hrd.capture.jpeg import DamagedPicture, decode_jpeg
from hrd.face.crop import CropSquare, extract
from hrd.picture import Region, average, overview, sample, thumbnail, to_rgb, whole
from hrd.types import Demand, Frame, Layout, Packing

WIDTH, HEIGHT = 322, 242
needs_simplejpeg = pytest.mark.skipif(not jpeg.AVAILABLE, reason="simplejpeg is not installed")


def new(count: int) -> np.ndarray:
    return np.empty(count, np.uint8)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Soft colours, nothing near the limits of a byte."""
    rng = np.random.default_rng(3)
    soft = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH, 3)).astype(np.float32), (0, 0), 6)
    return np.clip(128 + (soft - soft.mean()) * 6, 20, 235).astype(np.uint8)


@pytest.mark.parametrize(
    ("left", "top", "side"), [(40, 30, 36), (40, 30, 97), (10, 5, 200), (-40, 100, 180)]
)
def test_the_average_is_opencvs_with_the_edge_repeated(
    picture: np.ndarray, left: int, top: int, side: int
) -> None:
    margin = 256
    wide = cv2.copyMakeBorder(
        picture.astype(np.float32), margin, margin, margin, margin, cv2.BORDER_REPLICATE
    )
    patch = wide[top + margin : top + margin + side, left + margin : left + margin + side]
    expected = cv2.resize(patch, (36, 36), interpolation=cv2.INTER_AREA)
    got = average(Frame(picture, 0.0, 0), Region(left, top, side, side), 36, 36)
    np.testing.assert_allclose(got, expected, atol=1e-3)


def converted(picture: np.ndarray, name: str) -> Frame:
    """As a decoder delivers it."""
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=name)
    stream: Any = type("Stream", (), {"codec_context": type("C", (), {"name": "h264"})})
    made = LiveDecoder(stream, new).frame(frame, 0.0, Demand())
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("name", "packing"),
    [
        ("yuv420p", Packing.PLANAR),
        ("yuvj420p", Packing.PLANAR),
        ("yuvj422p", Packing.PLANAR),
        ("yuv444p", Packing.PLANAR),
        ("yuyv422", Packing.YUYV),
    ],
)
def test_luma_and_chroma_are_averaged_to_the_colours_they_came_from(
    picture: np.ndarray, name: str, packing: Packing
) -> None:
    frame = converted(picture, name)
    assert frame.layout is not None
    assert frame.layout.packing is packing
    assert (frame.layout.width_px, frame.layout.height_px) == (WIDTH, HEIGHT)
    square = CropSquare(60, 40, 150)
    got, expected = extract(frame, square), extract(Frame(picture, 0.0, 0), square)
    assert np.abs(got - expected).max() < 3.5  # chroma at half the size, rounded
    assert np.abs((got - expected).mean(axis=(0, 1))).max() < 1.7  # swscale rounds chroma down
    assert np.abs(to_rgb(frame).astype(int) - picture).mean() < 2.0


def test_formats_of_more_than_eight_bits_are_converted(picture: np.ndarray) -> None:
    frame = converted(picture, "yuv420p10le")
    assert frame.layout is None
    assert frame.image.shape == (HEIGHT, WIDTH, 3)


def test_a_region_outside_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="outside"):
        average(Frame(picture, 0.0, 0), Region(WIDTH, 0, 50, 50), 36, 36)


def test_a_thumbnail_keeps_shape_and_colour(picture: np.ndarray) -> None:
    frame = Frame(picture, 0.0, 0)
    small = thumbnail(frame, whole(frame), 128)
    assert small.shape == (round(HEIGHT * 128 / WIDTH), 128, 3)
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small.mean(axis=(0, 1)), picture.mean(axis=(0, 1)), atol=1.0)
    assert thumbnail(frame, Region(0, 0, 50, 20), 128).shape == (20, 50, 3)


def test_a_sample_tells_pictures_apart_in_every_packing(picture: np.ndarray) -> None:
    for name in ("yuv420p", "yuyv422"):
        frame = converted(picture, name)
        taken = sample(frame, 16)
        assert np.array_equal(taken, sample(frame, 16))
        frame.image[...] ^= 1
        assert not np.array_equal(taken, sample(frame, 16))


@needs_simplejpeg
@pytest.mark.parametrize("reduced", [1, 2, 4, 8])
def test_a_jpeg_is_decoded_at_the_size_asked_for(picture: np.ndarray, reduced: int) -> None:
    data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    room = new(WIDTH * HEIGHT * 3)
    image, size, factor = decode_jpeg(data, reduced, lambda count: room[:count])
    assert (size, factor) == ((WIDTH, HEIGHT), reduced)
    assert image.shape == (-(-HEIGHT // reduced), -(-WIDTH // reduced), 3)
    assert image.ctypes.data == room.ctypes.data  # decoded where it was to be
    frame = Frame(image, 0.0, 0, Layout(Packing.RGB, WIDTH, HEIGHT, reduced))
    square = CropSquare(20, 20, 200)
    expected = extract(Frame(picture, 0.0, 0), square)
    assert np.abs(extract(frame, square) - expected).mean() < 1.0 + 0.5 * reduced


@needs_simplejpeg
def test_a_damaged_jpeg_is_no_picture(picture: np.ndarray) -> None:
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    for broken in (data[: len(data) // 2], b"", b"nothing of the kind"):
        with pytest.raises(DamagedPicture):
            decode_jpeg(broken, 1, new)


@needs_simplejpeg
@pytest.mark.parametrize(("reduced", "side"), [(2, 101), (4, 202)])
def test_a_smaller_picture_leaves_the_crop_no_noisier(reduced: int, side: int) -> None:
    """What the tracker relies on: cells of 1.4 small pixels across keep noise and picture."""
    rng = np.random.default_rng(0)
    flat = np.full((480, 640, 3), 120.0)
    flat += 40 * np.sin(np.arange(640) / side * 12)[None, :, None]  # 3 cells of the crop a radian
    square = CropSquare(200, 100, side)
    crops = {}
    for size in (1, reduced):
        layout = Layout(Packing.RGB, 640, 480, size)
        rng = np.random.default_rng(0)
        seen = []
        for _ in range(24):
            noisy = np.clip(flat + rng.normal(0, 4, flat.shape), 0, 255).astype(np.uint8)
            data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
            seen.append(extract(Frame(decode_jpeg(data, size, new)[0], 0, 0, layout), square))
        crops[size] = np.stack(seen)[..., 1]
    noise = {size: float(crop.std(axis=0).mean()) for size, crop in crops.items()}
    assert noise[reduced] < 1.1 * noise[1]
    difference = crops[reduced].mean(axis=0) - crops[1].mean(axis=0)
    assert np.abs(difference).max() < 2.0  # of 80 from dark to bright


def packets(picture: np.ndarray, count: int) -> Any:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuvj420p"
    encoder.time_base = Fraction(1, 30)
    for _ in range(count):
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(picture[:48, :64]), format="rgb24"
        ).reformat(format="yuvj420p")
        yield from encoder.encode(frame)


def test_pictures_that_nobody_looks_at_are_counted(picture: np.ndarray) -> None:
    stream: Any = type("Stream", (), {"codec_context": av.CodecContext.create("mjpeg", "r")})
    decoder = LiveDecoder(stream, new)
    if not jpeg.AVAILABLE:
        pytest.skip("simplejpeg is not installed")
    frames = [
        decoder.frame(packet, k / 30, Demand(every_s=0.1))
        for k, packet in enumerate(packets(picture, 12))
    ]
    seen = [frame for frame in frames if frame is not None]
    assert [frame.index for frame in seen] == [0, 3, 6, 9]
    assert seen[1].earlier_s == pytest.approx((1 / 30, 2 / 30))


@needs_simplejpeg
def test_a_picture_that_takes_as_many_bytes_is_looked_at_more_rarely(picture: np.ndarray) -> None:
    stream: Any = type("Stream", (), {"codec_context": av.CodecContext.create("mjpeg", "r")})
    decoder = LiveDecoder(stream, new)
    still, other = (next(packets(image, 1)) for image in (picture, 0 * picture))
    assert abs(other.size / still.size - 1.0) > 0.02
    film = [still] * 12 + [other] * 12  # somebody comes in
    seen = [
        k
        for k, packet in enumerate(film)
        if decoder.frame(packet, k / 30, Demand(every_s=0.1, unchanged_s=0.3)) is not None
    ]
    assert seen == [0, 9, 12, 21]


def test_an_overview_is_of_green_or_luma_and_the_same_in_any_layout(picture: np.ndarray) -> None:
    rgb = Frame(picture, 0.0, 0)
    region = whole(rgb)
    means = overview(rgb, region, 8)
    assert means.shape == (8, 8)
    np.testing.assert_allclose(means, average(rgb, region, 8, 8)[..., 1], atol=1e-3)
    gray = np.repeat(picture[..., 1:2], 3, axis=2)
    made = av.VideoFrame.from_ndarray(gray, format="rgb24").reformat(format="yuv420p")
    stream: Any = type("Stream", (), {"codec_context": av.CodecContext.create("h264", "r")})
    planar = LiveDecoder(stream, new).frame(made, 0.0, Demand())
    assert planar is not None
    assert planar.layout is not None
    np.testing.assert_allclose(overview(planar, region, 8), means, atol=1.5)
