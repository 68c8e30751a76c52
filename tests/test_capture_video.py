from __future__ import annotations

import logging
import os
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from hrd.capture.decode import RgbConverter
from hrd.capture.files import lacks_moov
from hrd.capture.orientation import UPRIGHT, Orientation, orientation_from_matrix
from hrd.capture.source import SourceError
from hrd.capture.video import VideoFileSource
from tests import video_making
from tests.video_making import CORNERS, make_sound, make_video, set_display_matrix

STEADY_MS = [round(1000 * i / 30) for i in range(60)]


def one_sentence(message: str) -> bool:
    """One line, one full stop at its end, nothing of a traceback."""
    return "\n" not in message and message.endswith(".") and "Errno" not in message


def corner_colours(image: np.ndarray) -> dict:
    height, width = image.shape[:2]
    points = {
        "top_left": (height // 10, width // 10),
        "top_right": (height // 10, width - width // 10),
        "bottom_left": (height - height // 10, width // 10),
        "bottom_right": (height - height // 10, width - width // 10),
    }
    return {name: image[point] for name, point in points.items()}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_variable_rate_gives_true_times_from_zero(tmp_path, suffix):
    times_ms = [500, 533, 633, 640, 900, 2900, 2940]
    levels = [10, 50, 90, 130, 170, 210, 250]
    path = make_video(tmp_path / f"a.{suffix}", times_ms, levels=levels)
    with VideoFileSource(str(path)) as source:
        frames = list(source)
    assert [f.time_s for f in frames] == pytest.approx(
        [(t - 500) / 1000 for t in times_ms], abs=1e-3
    )
    assert [f.index for f in frames] == list(range(7))
    assert [video_making.level_of(f.image) for f in frames] == pytest.approx(levels, abs=6)


def test_b_frames_come_in_the_order_of_display(tmp_path):
    levels = list(range(0, 240, 4))
    path = make_video(tmp_path / "b.mp4", STEADY_MS, "libx264", levels=levels, options={"bf": "3"})
    with VideoFileSource(str(path)) as source:
        frames = list(source)
    assert [video_making.level_of(f.image) for f in frames] == pytest.approx(levels, abs=4)
    assert [f.time_s for f in frames] == pytest.approx([t / 1000 for t in STEADY_MS], abs=1e-3)


def test_frames_are_rgb_and_contiguous(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY_MS[:3], size=(98, 66))
    with VideoFileSource(str(path)) as source:
        frame = source.read()
        assert frame is not None
        assert (source.info.width_px, source.info.height_px) == (98, 66)
        assert (source.info.kind, source.live) == ("file", False)
    assert frame.image.shape == (66, 98, 3)
    assert frame.image.dtype == np.uint8
    assert frame.image.flags["C_CONTIGUOUS"]
    colours = corner_colours(frame.image)
    for name, colour in CORNERS.items():
        assert np.abs(colours[name].astype(int) - colour).max() < 30, name


@pytest.mark.parametrize(
    ("matrix", "shown_top_left", "shown_top_right", "swapped"),
    [
        (video_making.TKHD_ROTATE_CW, "bottom_left", "top_left", True),
        (video_making.TKHD_ROTATE_180, "bottom_right", "bottom_left", False),
        (video_making.TKHD_ROTATE_CCW, "top_right", "bottom_right", True),
        (video_making.TKHD_MIRROR, "top_right", "top_left", False),
    ],
)
def test_phone_videos_are_turned_upright(
    tmp_path, matrix, shown_top_left, shown_top_right, swapped
):
    path = make_video(tmp_path / "phone.mp4", STEADY_MS[:5])
    set_display_matrix(path, matrix)
    with VideoFileSource(str(path)) as source:
        frames = list(source)
        info = source.info
    assert (info.width_px, info.height_px) == ((64, 96) if swapped else (96, 64))
    stored = dict(CORNERS, bottom_right=(255, 255, 255))
    for frame in frames:
        assert frame.image.shape == (info.height_px, info.width_px, 3)
        assert frame.image.flags["C_CONTIGUOUS"]
        colours = corner_colours(frame.image)
        assert np.abs(colours["top_left"].astype(int) - stored[shown_top_left]).max() < 30
        assert np.abs(colours["top_right"].astype(int) - stored[shown_top_right]).max() < 30


def matrix_bytes(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_orientation_matches_the_matrix_it_came_from(mirror, turns):
    # the matrix of "mirror, then turn clockwise", multiplied out by hand: rows are the images
    # of the x and the y axis
    x_axis, y_axis = (-1, 0) if mirror else (1, 0), (0, 1)
    for _ in range(turns):
        x_axis, y_axis = (-x_axis[1], x_axis[0]), (-y_axis[1], y_axis[0])
    expected = Orientation(mirror, turns)
    assert orientation_from_matrix(matrix_bytes(*x_axis, *y_axis)) == expected

    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    turned = np.rot90(image[:, ::-1] if mirror else image, -turns)
    np.testing.assert_array_equal(expected.apply(image), turned)


@pytest.mark.parametrize("data", [b"", b"\0" * 36, b"\1" * 35])
def test_a_malformed_matrix_is_upright(data):
    assert orientation_from_matrix(data) == UPRIGHT


@pytest.mark.parametrize(("format", "codec"), [("mjpeg", "mjpeg"), ("m4v", "mpeg4")])
def test_a_file_without_times_is_refused_and_says_what_to_give(tmp_path, format, codec):
    path = make_video(tmp_path / f"raw.{format}", STEADY_MS, codec, format=format)
    message = refuse(path)
    assert "gives no times" in message
    assert "--fps 30" in message


@pytest.mark.parametrize(("format", "codec"), [("mjpeg", "mjpeg"), ("m4v", "mpeg4")])
def test_a_given_rate_places_the_frames_of_a_file_without_times(tmp_path, format, codec):
    path = make_video(tmp_path / f"raw.{format}", STEADY_MS, codec, format=format)
    with VideoFileSource(str(path), fps=12.5) as source:
        times_s = [f.time_s for f in source]
        assert source.info.nominal_fps == 12.5
    assert times_s == pytest.approx([i / 12.5 for i in range(60)])


def test_a_rate_in_the_codecs_own_header_is_taken(tmp_path):
    # libx264 writes it into the VUI: make_video encodes for 30 frames a second
    path = make_video(tmp_path / "raw.h264", STEADY_MS, "libx264", format="h264", rate=30)
    with VideoFileSource(str(path)) as source:
        assert source.info.nominal_fps == pytest.approx(30.0)
        assert [f.time_s for f in source] == pytest.approx([i / 30 for i in range(60)])


def test_a_given_rate_does_not_overrule_a_files_own_times(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY_MS)
    with VideoFileSource(str(path), fps=10.0) as source:
        assert [f.time_s for f in source][-1] == pytest.approx(STEADY_MS[-1] / 1000, abs=1e-3)


def test_reading_on_after_the_end_and_after_close_gives_none(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY_MS[:2])
    source = VideoFileSource(str(path))
    assert len(list(source)) == 2
    assert source.read() is None
    assert source.read() is None
    source.close()
    source.close()
    assert source.read() is None


def test_rewind_starts_again(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY_MS[:4], levels=[20, 80, 140, 200])
    with VideoFileSource(str(path)) as source:
        once = [(f.index, f.time_s, video_making.level_of(f.image)) for f in source]
        source.rewind()
        assert [(f.index, f.time_s, video_making.level_of(f.image)) for f in source] == once


def test_descriptors_are_released(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY_MS[:5])
    (tmp_path / "b.mp4").write_text("not a video\n" * 99)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with VideoFileSource(str(path)) as source:
            source.read()
        with pytest.raises(SourceError):
            VideoFileSource(str(tmp_path / "b.mp4"))
    assert len(os.listdir("/proc/self/fd")) == before


# What cannot be read


def refuse(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        VideoFileSource(str(path))
    message = str(caught.value)
    assert one_sentence(message), message
    assert str(path) in message
    return message


def test_refuses_what_is_not_there(tmp_path):
    assert "no file" in refuse(tmp_path / "none.mp4")


def test_refuses_a_directory(tmp_path):
    assert "is a directory" in refuse(tmp_path)


def test_refuses_an_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    assert "is empty" in refuse(tmp_path / "a.mp4")


@pytest.mark.parametrize("content", [b"this is a text\n" * 200, b"\0" * 5000, b"x"])
def test_refuses_a_file_that_is_no_video(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    assert "not a video that can be read" in refuse(tmp_path / "a.mp4")


def test_refuses_sound_without_a_picture(tmp_path):
    assert "sound but no picture" in refuse(make_sound(tmp_path / "a.m4a"))


def test_refuses_a_device():
    with pytest.raises(SourceError, match="is a device"):
        VideoFileSource("/dev/null")


def test_refuses_a_file_without_permission(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", STEADY_MS[:2])
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    assert "may not be read" in refuse(path)


@pytest.mark.parametrize("suffix", ["avi", "mkv", "mp4"])
def test_refuses_a_video_without_frames(tmp_path, suffix):
    path = tmp_path / f"zero.{suffix}"
    with video_making.av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.start_encoding()
    assert path.stat().st_size > 0
    message = refuse(path)
    assert "it holds no frames" in message or "no picture in it" in message


def test_refuses_an_mp4_whose_index_was_never_written(tmp_path):
    path = make_video(tmp_path / "a.mp4", STEADY_MS, "mpeg4", noise=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert lacks_moov(str(path))
    assert "index (moov)" in refuse(path)


def test_an_mp4_with_its_index_is_not_said_to_lack_it(tmp_path):
    assert not lacks_moov(str(make_video(tmp_path / "a.mp4", STEADY_MS[:3])))
    assert not lacks_moov(str(make_video(tmp_path / "a.mkv", STEADY_MS[:3])))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mp4", "mpeg4"), ("mkv", "libx264")]
)
def test_a_file_cut_off_at_its_end_gives_what_is_there_and_says_how_far(
    tmp_path, caplog, suffix, codec
):
    path = make_video(
        tmp_path / f"a.{suffix}",
        STEADY_MS,
        codec,
        noise=True,
        options={"movflags": "faststart"} if suffix == "mp4" else None,
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING), VideoFileSource(str(path)) as source:
        times = [f.time_s for f in source]
        assert source.read() is None
    assert 5 < len(times) < 50
    assert times == pytest.approx([t / 1000 for t in STEADY_MS[: len(times)]], abs=1.5e-3)
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 1
    assert f"is cut off: read up to {times[-1]:.1f} s of 2.0 s" in said[0]


def test_a_whole_file_ends_in_silence(tmp_path, caplog):
    path = make_video(tmp_path / "a.mp4", STEADY_MS, "libx264")
    with caplog.at_level(logging.INFO), VideoFileSource(str(path)) as source:
        assert len(list(source)) == 60
    assert caplog.records == []


def test_damage_in_the_middle_costs_some_frames_only(tmp_path, caplog):
    path = make_video(
        tmp_path / "a.mp4", STEADY_MS, "mjpeg", options={"movflags": "faststart"}, format="mov"
    )
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    size = len(data) - start
    data[start + size // 2 : start + size // 2 + size // 20] = bytes(size // 20)
    path.write_bytes(bytes(data))
    with caplog.at_level(logging.WARNING), VideoFileSource(str(path)) as source:
        frames = list(source)
    assert 50 <= len(frames) <= 60
    assert frames[-1].time_s == pytest.approx(STEADY_MS[-1] / 1000, abs=1e-3)


def test_damage_where_times_are_counts_begins_anew(tmp_path):
    # pictures are missing from an AVI, and nothing tells how many
    path = make_video(tmp_path / "a.avi", STEADY_MS, "mjpeg", rate=30)
    data = bytearray(path.read_bytes())
    start, end = data.index(b"movi"), data.index(b"idx1")
    middle, size = (start + end) // 2, (end - start) // 10
    data[middle : middle + size] = bytes(size)
    path.write_bytes(bytes(data))
    with VideoFileSource(str(path)) as source:
        cuts = [f.index for f in source if f.cut]
    assert cuts
    assert min(cuts) > 20


def test_pictures_lost_without_a_trace_begin_anew(tmp_path):
    path = make_video(tmp_path / "a.avi", STEADY_MS, "mjpeg", rate=30)
    data = bytearray(path.read_bytes())
    movi = data.index(b"movi")
    lost = [at for at in range(movi, len(data)) if data[at : at + 4] == b"00dc"][30]
    data[lost : lost + 4] = b"\0\0\0\0"  # a picture that is no picture any more
    cut_off = data.index(b"idx1", len(data) // 2)
    path.write_bytes(bytes(data[:cut_off]))
    with VideoFileSource(str(path)) as source:
        frames = list(source)
    assert [f.index for f in frames if f.cut] == [30]
    assert len(frames) == 59


def test_an_avi_with_padding_between_its_pictures_is_whole(tmp_path):
    path = make_video(tmp_path / "a.avi", STEADY_MS, "mjpeg", rate=30)
    data = path.read_bytes()
    start, end = data.index(b"movi") + 4, data.index(b"idx1")
    padded, at = bytearray(data[:start]), start
    while at < end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        size += size % 2
        padded += data[at : at + 8 + size] + b"JUNK\x20\0\0\0" + bytes(32)
        at += 8 + size
    path.write_bytes(bytes(padded))
    with VideoFileSource(str(path)) as source:
        frames = list(source)
    assert len(frames) == 60
    assert [f.index for f in frames if f.cut and f.index > 3] == []


def test_the_real_clip(face_clip):
    with VideoFileSource(str(face_clip)) as source:
        assert (source.info.width_px, source.info.height_px) == (528, 592)
        assert source.info.nominal_fps == pytest.approx(30.0)
        frames = 0
        last_s = -1.0
        for frame in source:
            assert frame.time_s > last_s
            last_s = frame.time_s
            frames += 1
    assert frames == 301
    assert last_s == pytest.approx(10.0, abs=0.01)


def test_pictures_that_cannot_be_converted_are_left_out_like_those_that_cannot_be_decoded(
    tmp_path, monkeypatch, caplog
):
    convert = RgbConverter._convert

    def fail(self, frame):
        if frame.pts is None or 10 <= round(float(frame.pts * frame.time_base) * 30) < 15:
            raise av.error.InvalidDataError(1, "as damage does")
        return convert(self, frame)

    monkeypatch.setattr(RgbConverter, "_convert", fail)
    path = make_video(tmp_path / "a.mp4", STEADY_MS)
    with caplog.at_level(logging.WARNING), VideoFileSource(str(path)) as source:
        assert len(list(source)) == len(STEADY_MS) - 5
    assert "is damaged: 5 packets left out" in caplog.text
